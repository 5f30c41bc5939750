// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The front-end through the C ABI and its wrapper: what may not be done while a back-end has the memory.
#include <algorithm>
#include <cerrno>
#include <vector>

#include "bounce/bounce.hpp"
#include "bounce/debug.h"
#include "tests/support/temp_folder.hpp"
#include "tests/unit/api/abi/abi_fixture.hpp"
#include "tests/unit/api/vhost/fake_backend.hpp"

namespace bounce {
namespace {

class FrontendAbi : public testing::Test {
protected:
    void SetUp() override {
        const auto options = pool_options();
        ASSERT_EQ(bounce_pool_create(&options, &pool_), 0) << bounce_last_error();
        backend_.start();
    }
    void TearDown() override { EXPECT_EQ(bounce_pool_destroy(pool_), 0) << bounce_last_error(); }
    bounce_frontend_options options() {
        bounce_frontend_options options{};
        options.size = sizeof options;
        options.socket_path = path_.c_str();
        options.timeout_ms = 20000;
        return options;
    }

    const test::TempFolder folder_;
    const std::string path_ = folder_ / "s";
    test::FakeBackend backend_{path_};
    bounce_pool* pool_ = nullptr;
};

TEST_F(FrontendAbi, WhatTheBackEndMaySeeIsNotRecycled) {
    const auto how = options();
    bounce_frontend* frontend = nullptr;
    ASSERT_EQ(bounce_frontend_connect(pool_, &how, &frontend), 0) << bounce_last_error();
    bounce_ring* ring = bounce_frontend_ring(frontend, 0);
    char data[64] = {};
    const bounce_sg sg{data, sizeof data, 0, 0};
    ASSERT_EQ(bounce_ring_add(ring, &sg, 1, 0, data), 0) << bounce_last_error();
    ASSERT_EQ(bounce_frontend_submit(frontend, 0), 0) << bounce_last_error();
    EXPECT_EQ(bounce_frontend_kick(frontend, 0), 0) << bounce_last_error();
    bounce_completion completion;
    expect_error(bounce_ring_abort(ring, &completion, 1), EBUSY, "may still use");
    expect_error(bounce_ring_reset(ring), EBUSY);
    expect_error(bounce_pool_renew(pool_), EBUSY, "lent");
    // Nor when it has only gone silent: its process may be there.
    backend_.stop();
    EXPECT_EQ(bounce_frontend_check(frontend), -ECONNRESET);
    expect_error(bounce_ring_abort(ring, &completion, 1), EBUSY, "may still use");
    ASSERT_EQ(bounce_frontend_disconnect(frontend), 0) << bounce_last_error();
    ASSERT_EQ(bounce_ring_abort(ring, &completion, 1), 1) << bounce_last_error();
    EXPECT_EQ(completion.cookie, data);
    EXPECT_EQ(bounce_ring_reset(ring), 0) << bounce_last_error();
    EXPECT_EQ(bounce_frontend_close(frontend), 0) << bounce_last_error();
}

TEST_F(FrontendAbi, ItsDeviceIsDebuggedAndLimited) {
    std::vector<int> kinds;
    bounce_debug_options debug{};
    debug.size = sizeof debug;
    debug.user = &kinds;
    debug.report = [](void* user, const bounce_debug_report* report) {
        static_cast<std::vector<int>*>(user)->push_back(report->kind);
    };
    bounce_device_options device{};
    device.size = sizeof device;
    device.flags = BOUNCE_DEVICE_DEBUG;
    device.debug = &debug;
    device.min_align_mask = 511;
    device.max_segment_bytes = 8192;
    auto how = options();
    how.device = &device;
    how.max_segment_bytes = 4096;
    bounce_frontend* frontend = nullptr;
    device.name = "other";
    expect_error(bounce_frontend_connect(pool_, &how, &frontend), EINVAL, "its own name");
    device.name = nullptr;
    ASSERT_EQ(bounce_frontend_connect(pool_, &how, &frontend), 0) << bounce_last_error();
    bounce_device* const mine = bounce_frontend_device(frontend);
    alignas(512) char data[8192] = {};
    bounce_mapping mapping;
    expect_error(bounce_device_map(mine, data, 8192, BOUNCE_TO_DEVICE, 0, &mapping), E2BIG);
    ASSERT_EQ(bounce_device_map(mine, data + 77, 100, BOUNCE_TO_DEVICE, 0, &mapping), 0) << bounce_last_error();
    EXPECT_EQ(mapping.addr & 511, 77U);
    bounce_debug_stats stats;
    EXPECT_EQ(bounce_debug_get_stats(mine, &stats), 0) << bounce_last_error();
    expect_error(bounce_frontend_close(frontend), EBUSY);
    EXPECT_EQ(std::count(kinds.begin(), kinds.end(), BOUNCE_DEBUG_LEAK), 1);
    EXPECT_EQ(bounce_device_unmap(mine, &mapping, 100), 0) << bounce_last_error();
    EXPECT_EQ(bounce_frontend_close(frontend), 0) << bounce_last_error();
}

TEST_F(FrontendAbi, TheWrapperKeepsAFrontEndThatIsNotClosed) {
    auto pool = Pool::create({.region = {.bytes = 1U << 20, .base_gpa = kBase}});
    ASSERT_TRUE(pool) << bounce_last_error();
    auto how = options();
    auto frontend = pool->connect(how);
    ASSERT_TRUE(frontend) << bounce_last_error();
    EXPECT_TRUE(frontend->kick(0)) << bounce_last_error();
    bounce_block buffer;
    ASSERT_EQ(bounce_buffer_alloc(bounce_frontend_device(frontend->handle()), 64, 0, &buffer), 0)
        << bounce_last_error();
    EXPECT_EQ(frontend->close().code(), EBUSY) << bounce_last_error();
    ASSERT_EQ(bounce_buffer_free(bounce_frontend_device(frontend->handle()), &buffer), 0) << bounce_last_error();
    EXPECT_TRUE(frontend->close()) << bounce_last_error();
    // The pool may be lent again.
    auto again = pool->connect(how);
    EXPECT_TRUE(again) << bounce_last_error();
}

}  // namespace
}  // namespace bounce
