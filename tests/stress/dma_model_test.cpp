// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The DMA API against a reference model: random streams of everything that it can do, a device that writes random bytes
// to whatever it was given, and callers who get it wrong. After every step data, errors and accounts are what the model
// says; a difference is told with seed and step, which give it again.
//
// BOUNCE_MODEL_OPS: operations per seed. BOUNCE_MODEL_SEED: one seed instead of three.
#include <gtest/gtest.h>

#include <cstdlib>
#include <exception>

#include "tests/stress/dma_model_run.hpp"

namespace bounce::model {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
    const char* const given = std::getenv(name);
    return given != nullptr ? std::strtoull(given, nullptr, 0) : otherwise;
}

TEST(DmaModel, NoDifferenceInDataErrorsOrAccounts) {
    const std::uint64_t operations = from_environment("BOUNCE_MODEL_OPS", 20000);
    const std::uint64_t only = from_environment("BOUNCE_MODEL_SEED", 0);
    for (std::uint64_t seed = only != 0 ? only : 1; seed <= (only != 0 ? only : 3); ++seed) {
        ModelRun run(seed, operations);
        try {
            run.all();
        } catch (const std::exception& difference) {
            FAIL() << difference.what();
        }
    }
}

}  // namespace
}  // namespace bounce::model
