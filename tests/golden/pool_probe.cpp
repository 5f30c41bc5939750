// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Pool::alloc() and Pool::free() as the static library gives them, with link-time optimisation.
#include <cstdint>
#include <memory>
#include <utility>

#include "allocator/pool/pool.hpp"
#include "tests/golden/single_step.hpp"

namespace {

using namespace bounce;

constexpr const char* kOperations[] = {"alloc", "free"};

volatile std::uint64_t g_bytes = 4096;  // the optimiser must not pick the size class
std::unique_ptr<Pool> g_pool;
Slot g_slot;

bool prepare() {
    RegionConfig config;
    config.bytes = std::uint64_t{16} << 20;
    config.base_gpa = Gpa{std::uint64_t{1} << 32};
    auto pool = Pool::create(config);
    if (!pool) return false;
    g_pool = std::move(*pool);
    return true;
}

bool round() {
    golden::begin(0);
    const auto slot = g_pool->alloc({.bytes = g_bytes});
    if (!slot) return false;
    g_slot = *slot;
    golden::end();

    golden::begin(1);
    const auto freed = g_pool->free(g_slot, SlotKind::kStreaming);
    golden::end();
    return static_cast<bool>(freed);
}

}  // namespace

int main(int argc, char** argv) {
    return golden::probe_main(argc, argv, {kOperations, nullptr, prepare, round});
}
