// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tests/fuzz/device_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return bounce::test::fuzz_device(data, size, false);
}
