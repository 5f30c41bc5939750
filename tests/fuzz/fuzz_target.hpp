// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a fuzz target is: libFuzzer calls it, or replay.cpp does with the files of a corpus.
#pragma once

#include <cstddef>
#include <cstdint>

/// Returns 0; what is found ends the process (a sanitizer, or an exception that nobody catches).
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
