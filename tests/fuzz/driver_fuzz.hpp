// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Rings of one layout against the hostile device of tests/hostile, which does what the fuzzer's bytes say.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <span>

#include "tests/fuzz/fuzz_target.hpp"
#include "tests/hostile/session.hpp"

namespace bounce::test {

inline int fuzz_driver(const std::uint8_t* data, std::size_t size, bool packed) {
    const auto script = hostile::Script::from_bytes(std::span(data, size), packed);
    const hostile::Report report = hostile::play(script);
    if (report.finding.empty()) return 0;
    std::fprintf(stderr, "finding: %s\n%s", report.finding.c_str(), script.text().c_str());
    std::abort();
}

}  // namespace bounce::test
