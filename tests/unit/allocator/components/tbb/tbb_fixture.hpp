// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A pool for the functions of bounce/tbb.h.
#pragma once

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "bounce/tbb.h"
#include "tests/unit/api/abi/abi_fixture.hpp"

namespace bounce {

inline constexpr std::uint64_t kPoolBytes = 24u << 20;

/// A failure comes with a sentence, which is not libbounce's.
inline void expect_tbb_error(int status, int code, const char* part) {
    EXPECT_EQ(status, -code) << bounce_tbb_last_error();
    EXPECT_NE(std::string(bounce_tbb_last_error()).find(part), std::string::npos)
        << "\"" << bounce_tbb_last_error() << "\" does not name " << part;
}

class TbbTest : public testing::Test {
protected:
    void SetUp() override { pool_ = make_pool(kPoolBytes); }
    void TearDown() override { EXPECT_EQ(bounce_pool_destroy(pool_), 0); }

    static bounce_pool* make_pool(std::uint64_t bytes) {
        const auto options = pool_options(bytes);
        bounce_pool* pool = nullptr;
        EXPECT_EQ(bounce_pool_create(&options, &pool), 0) << bounce_last_error();
        return pool;
    }
    static bounce_region_info region_of(bounce_pool* pool, std::uint32_t index = 0) {
        bounce_region_info info{};
        EXPECT_EQ(bounce_pool_region(pool, index, &info), 0) << bounce_last_error();
        return info;
    }

    bounce_pool* pool_ = nullptr;
};

}  // namespace bounce
