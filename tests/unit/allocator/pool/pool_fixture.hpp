// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What the tests of the pool share.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>

#include "allocator/pool/pool_fast.hpp"

namespace bounce {

inline constexpr std::uint64_t kKiB = 1024;
inline constexpr std::uint64_t kMiB = kKiB * kKiB;
inline constexpr std::uint64_t kGiB = kMiB * kKiB;

inline RegionConfig region_config(std::uint64_t bytes, std::uint64_t base) {
    RegionConfig config;
    config.bytes = bytes;
    config.base_gpa = Gpa{base};
    return config;
}

inline std::unique_ptr<Pool> make_pool(std::uint64_t bytes, std::uint64_t base = 4 * kGiB) {
    auto pool = Pool::create(region_config(bytes, base));
    EXPECT_TRUE(pool) << last_error();
    return pool ? std::move(*pool) : nullptr;
}

inline AllocRequest request_of(std::uint64_t bytes, std::uint64_t align = 1, SlotKind kind = SlotKind::kStreaming) {
    AllocRequest request;
    request.bytes = bytes;
    request.align = align;
    request.kind = kind;
    return request;
}

}  // namespace bounce
