// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A pool, a device and a heap over it.
#pragma once

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "bounce/jemalloc.h"
#include "tests/unit/api/abi/abi_fixture.hpp"

namespace bounce {

/// A failure comes with a sentence, which is not libbounce's.
inline void expect_heap_error(int status, int code, const char* part = "") {
    EXPECT_EQ(status, -code) << bounce_jemalloc_last_error();
    EXPECT_NE(std::string(bounce_jemalloc_last_error()).find(part), std::string::npos)
        << "\"" << bounce_jemalloc_last_error() << "\" does not name " << part;
}
inline void expect_no_memory(const void* ptr, int code, const char* part = "") {
    EXPECT_EQ(ptr, nullptr);
    expect_heap_error(-errno, code, part);
}

class HeapTest : public AbiTest {
protected:
    void SetUp() override {
        AbiTest::SetUp();
        heap_ = create({});
        ASSERT_NE(heap_, nullptr);
    }
    void TearDown() override {
        EXPECT_EQ(bounce_jemalloc_destroy(heap_), 0) << bounce_jemalloc_last_error();
        EXPECT_EQ(stats().slots, 0u) << "all blocks went back";
        AbiTest::TearDown();
    }
    bounce_jemalloc_heap* create(bounce_jemalloc_options options) {
        options.size = sizeof options;
        bounce_jemalloc_heap* heap = nullptr;
        EXPECT_EQ(bounce_jemalloc_create(pool_, device_, &options, &heap), 0) << bounce_jemalloc_last_error();
        return heap;
    }
    bounce_jemalloc_info info() {
        bounce_jemalloc_info info{};
        EXPECT_EQ(bounce_jemalloc_get_info(heap_, &info), 0);
        return info;
    }
    bounce_region_info region() {
        bounce_region_info info{};
        EXPECT_EQ(bounce_pool_region(pool_, 0, &info), 0);
        return info;
    }
    bool in_region(const void* ptr) {
        const bounce_region_info info = region();
        return reinterpret_cast<std::uintptr_t>(ptr) - reinterpret_cast<std::uintptr_t>(info.hva) < info.bytes;
    }

    bounce_jemalloc_heap* heap_ = nullptr;
};

}  // namespace bounce
