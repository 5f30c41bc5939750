// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A pool and a device through the C functions.
#pragma once

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "bounce/bounce.h"

namespace bounce {

inline constexpr std::uint64_t kBase = 0x1'0000'0000;

inline bounce_region_options region_options(std::uint64_t bytes = 4u << 20, std::uint64_t base = kBase) {
    bounce_region_options options{};
    options.size = sizeof options;
    options.bytes = bytes;
    options.base_gpa = base;
    return options;
}

inline bounce_pool_options pool_options(std::uint64_t bytes = 4u << 20) {
    bounce_pool_options options{};
    options.size = sizeof options;
    options.region = region_options(bytes);
    return options;
}

inline bounce_device_options device_options() {
    bounce_device_options options{};
    options.size = sizeof options;
    return options;
}

inline bounce_ring_options ring_options(std::uint32_t queue_size = 8) {
    bounce_ring_options options{};
    options.size = sizeof options;
    options.queue_size = queue_size;
    return options;
}

/// A failure always comes with a sentence.
inline void expect_error(int status, int code, const char* part = "") {
    EXPECT_EQ(status, -code) << bounce_last_error();
    EXPECT_STRNE(bounce_last_error(), "");
    EXPECT_NE(std::string(bounce_last_error()).find(part), std::string::npos)
        << "\"" << bounce_last_error() << "\" does not name " << part;
}

class AbiTest : public testing::Test {
protected:
    void SetUp() override {
        const auto options = pool_options();
        ASSERT_EQ(bounce_pool_create(&options, &pool_), 0) << bounce_last_error();
        const auto of_device = device_options();
        ASSERT_EQ(bounce_device_create(pool_, &of_device, &device_), 0) << bounce_last_error();
    }
    void TearDown() override {
        EXPECT_EQ(bounce_device_destroy(device_), 0) << bounce_last_error();
        EXPECT_EQ(bounce_pool_destroy(pool_), 0) << bounce_last_error();
    }
    bounce_pool_stats stats() {
        bounce_pool_stats stats;
        EXPECT_EQ(bounce_pool_get_stats(pool_, &stats), 0);
        return stats;
    }

    bounce_pool* pool_ = nullptr;
    bounce_device* device_ = nullptr;
};

}  // namespace bounce
