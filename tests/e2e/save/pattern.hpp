// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What the processes of the save test tell each other beside the saved form: which requests there are and what their
// bytes are to be.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace save_test {

inline constexpr std::uint64_t kRegions = 2;
inline constexpr std::uint64_t kRegionBytes = 48u << 20;
inline constexpr std::uint64_t kBases[kRegions] = {0x1'0000'0000, 0x7'0020'1000};
inline constexpr std::uint64_t kMappings = 10'000;
inline constexpr std::uint64_t kBlocks = 40;
inline constexpr std::uint64_t kGhosts = 7;  // the last mappings; their device does not come back
inline constexpr std::uint64_t kMaxForm = 4u << 20;
inline const char* const kDevices[3] = {"disk", "net", "ghost"};

struct Request {
    std::uint64_t addr;
    std::uint64_t bytes;
    std::uint64_t seed;
    std::uint32_t kind;  // as in bounce_saved
    std::int32_t direction;
    std::uint32_t device;
    std::uint32_t reserved;
};

/// In a memfd of its own.
struct Handover {
    std::uint64_t old_hva[kRegions];  // where the old process had the memory
    std::uint64_t n;
    std::uint64_t form_bytes;
    Request requests[kMappings + kBlocks];
    unsigned char form[kMaxForm];
};

inline unsigned char expected_byte(std::uint64_t seed, std::uint64_t i) {
    std::uint64_t x = (seed + i / 8) * 0x9e37'79b9'7f4a'7c15U;
    x ^= x >> 29;
    return static_cast<unsigned char>(x >> (i % 8 * 8));
}
inline void fill(void* to, std::uint64_t bytes, std::uint64_t seed) {
    for (std::uint64_t i = 0; i < bytes; ++i) static_cast<unsigned char*>(to)[i] = expected_byte(seed, i);
}
/// How many bytes are other than they should be.
inline std::uint64_t wrong(const void* at, std::uint64_t bytes, std::uint64_t seed) {
    std::uint64_t n = 0;
    for (std::uint64_t i = 0; i < bytes; ++i) n += static_cast<const unsigned char*>(at)[i] != expected_byte(seed, i);
    return n;
}
/// What the device answers to a request.
inline std::uint64_t answer_seed(std::uint64_t seed) {
    return seed ^ 0x5555'0000'0000'0000U;
}

}  // namespace save_test
