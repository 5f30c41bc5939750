// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A forked child has no pool: every function says so and touches nothing; the parent goes on.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "bounce/debug.h"
#include "bounce/records.h"
#include "bounce/save.h"
#include "tests/unit/api/abi/abi_fixture.hpp"

namespace bounce {
namespace {

/// Runs in the child: counts what did not end as it should.
class Child {
public:
    void dead(const char* call, int status) {
        if (status != -EOWNERDEAD) complain(call, status);
        if (*bounce_last_error() == '\0') complain(call, 0);
    }
    void complain(const char* call, int status) {
        std::fprintf(stderr, "in the child: %s gave %d (%s)\n", call, status, bounce_last_error());
        failed_ = true;
    }
    [[nodiscard]] int exit_status() const { return failed_ ? 1 : 0; }

private:
    bool failed_ = false;
};
#define DEAD(call) child.dead(#call, call)

class Fork : public AbiTest {
protected:
    void SetUp() override {
        AbiTest::SetUp();
        const auto options = ring_options();
        ASSERT_EQ(bounce_ring_create(device_, &options, &ring_), 0);
        ASSERT_EQ(bounce_device_map(device_, text_, sizeof text_, BOUNCE_BIDIRECTIONAL, 0, &mapping_), 0);
        ASSERT_EQ(bounce_coherent_alloc(device_, 100, 0, &coherent_), 0);
        ASSERT_EQ(bounce_buffer_alloc(device_, 100, 0, &buffer_), 0);
        const bounce_sg sg{text_, sizeof text_, 0, 0};
        ASSERT_EQ(bounce_ring_add(ring_, &sg, 1, 0, this), 0);
        auto of_watched = device_options();
        of_watched.flags = BOUNCE_DEVICE_RECORDS | BOUNCE_DEVICE_DEBUG;
        ASSERT_EQ(bounce_device_create(pool_, &of_watched, &watched_), 0);
        ASSERT_EQ(bounce_device_map(watched_, text_, sizeof text_, BOUNCE_TO_DEVICE, 0, &watched_mapping_), 0);
        ASSERT_EQ(bounce_coherent_alloc(watched_, 100, 0, &watched_block_), 0);
        bounce_pool_stats before = stats();
        ASSERT_GT(before.slots, 3u);
    }
    void TearDown() override {
        bounce_completion completion;
        EXPECT_EQ(bounce_ring_abort(ring_, &completion, 1), 1);
        EXPECT_EQ(bounce_ring_destroy(ring_), 0) << bounce_last_error();
        EXPECT_EQ(bounce_device_unmap(device_, &mapping_, 0), 0) << bounce_last_error();
        EXPECT_EQ(bounce_device_unmap_addr(watched_, watched_mapping_.addr, 0, BOUNCE_ANY_DIRECTION, 0), 0);
        EXPECT_EQ(bounce_coherent_free(watched_, &watched_block_), 0);
        EXPECT_EQ(bounce_device_destroy(watched_), 0) << bounce_last_error();
        EXPECT_EQ(bounce_coherent_free(device_, &coherent_), 0);
        EXPECT_EQ(bounce_buffer_free(device_, &buffer_), 0);
        EXPECT_EQ(stats().slots, 0u);
        AbiTest::TearDown();
    }

    void pool_calls(Child& child) {
        const auto region = region_options(65536, 2 * kBase);
        bounce_region_info info;
        bounce_pool_stats pool_stats;
        void* hva = nullptr;
        std::uint64_t gpa = 0;
        DEAD(bounce_pool_add_region(pool_, &region));
        DEAD(bounce_pool_region(pool_, 0, &info));
        DEAD(bounce_pool_renew(pool_));
        DEAD(bounce_pool_get_stats(pool_, &pool_stats));
        DEAD(bounce_pool_gpa_to_hva(pool_, kBase, 1, &hva));
        DEAD(bounce_pool_hva_to_gpa(pool_, mapping_.slot, 1, &gpa));
    }
    void device_calls(Child& child) {
        const auto options = device_options();
        bounce_device* device = nullptr;
        bounce_mapping mapping;
        bounce_block block;
        const bounce_sg sg{text_, sizeof text_, 0, 0};
        DEAD(bounce_device_create(pool_, &options, &device));
        DEAD(bounce_device_map(device_, text_, sizeof text_, BOUNCE_TO_DEVICE, 0, &mapping));
        DEAD(bounce_device_map_sg(device_, &sg, 1, BOUNCE_TO_DEVICE, 0, &mapping));
        DEAD(bounce_device_sync_for_cpu(device_, &mapping_, 0, 1, BOUNCE_BIDIRECTIONAL));
        DEAD(bounce_device_sync_for_device(device_, &mapping_, 0, 1, BOUNCE_BIDIRECTIONAL));
        DEAD(bounce_device_unmap(device_, &mapping_, SIZE_MAX));
        DEAD(bounce_device_unmap_sg(device_, &mapping_, 1, SIZE_MAX));
        DEAD(bounce_coherent_alloc(device_, 64, 0, &block));
        DEAD(bounce_coherent_free(device_, &coherent_));
        DEAD(bounce_buffer_alloc(device_, 64, 0, &block));
        DEAD(bounce_buffer_free(device_, &buffer_));
    }
    void watched_calls(Child& child) {
        bounce_mapping mapping;
        bounce_block block;
        bounce_record record;
        bounce_debug_stats debug_stats;
        const void* view = nullptr;
        std::size_t bytes = 0;
        bounce_restore* restore = nullptr;
        const bounce_sg sg{text_, sizeof text_, 0, 0};
        DEAD(bounce_device_map(watched_, text_, sizeof text_, BOUNCE_TO_DEVICE, 0, &mapping));
        DEAD(bounce_device_map_sg(watched_, &sg, 1, BOUNCE_TO_DEVICE, 0, &mapping));
        DEAD(bounce_device_sync_for_cpu(watched_, &watched_mapping_, 0, 1, BOUNCE_TO_DEVICE));
        DEAD(bounce_device_sync_for_device(watched_, &watched_mapping_, 0, 1, BOUNCE_TO_DEVICE));
        DEAD(bounce_device_unmap(watched_, &watched_mapping_, SIZE_MAX));
        DEAD(bounce_device_unmap_sg(watched_, &watched_mapping_, 1, SIZE_MAX));
        DEAD(bounce_device_unmap_addr(watched_, watched_mapping_.addr, 0, BOUNCE_ANY_DIRECTION, 0));
        DEAD(bounce_device_lookup(watched_, watched_mapping_.addr, &record, nullptr));
        DEAD(bounce_device_peek(watched_, watched_block_.addr, 1, &view));
        DEAD(bounce_coherent_alloc(watched_, 64, 0, &block));
        DEAD(bounce_coherent_free(watched_, &watched_block_));
        DEAD(bounce_debug_get_stats(watched_, &debug_stats));
        DEAD(bounce_debug_visit(
            watched_, [](void*, const bounce_debug_report*) {}, nullptr));
        DEAD(bounce_pool_save(pool_, nullptr, 0, &bytes));
        DEAD(bounce_pool_restore(pool_, text_, sizeof text_, &restore));
        DEAD(bounce_device_destroy(watched_));
    }
    void ring_calls(Child& child) {
        const auto options = ring_options();
        bounce_ring* ring = nullptr;
        bounce_ring_layout layout;
        bounce_ring_stats ring_stats;
        bounce_completion completion;
        const bounce_sg sg{text_, sizeof text_, 0, 0};
        DEAD(bounce_ring_create(device_, &options, &ring));
        DEAD(bounce_ring_get_layout(ring_, &layout));
        DEAD(bounce_ring_add(ring_, &sg, 1, 0, nullptr));
        DEAD(bounce_ring_publish(ring_));
        DEAD(bounce_ring_collect(ring_, &completion, 1));
        DEAD(bounce_ring_arm(ring_));
        DEAD(bounce_ring_disarm(ring_));
        DEAD(bounce_ring_abort(ring_, &completion, 1));
        DEAD(bounce_ring_reset(ring_));
        DEAD(bounce_ring_get_stats(ring_, &ring_stats));
    }
    void destroy_calls(Child& child) {
        bounce_frontend_options options{};
        options.size = sizeof options;
        options.socket_path = "/nonexistent/socket";
        bounce_frontend* frontend = nullptr;
        DEAD(bounce_frontend_connect(pool_, &options, &frontend));
        DEAD(bounce_ring_destroy(ring_));
        DEAD(bounce_device_destroy(device_));
        DEAD(bounce_pool_destroy(pool_));
        DEAD(bounce_pool_destroy(pool_));  // nothing happened the first time
    }
    /// A pool of its own is the way out.
    void own_pool(Child& child) {
        const auto of_pool = pool_options();
        const auto of_device = device_options();
        bounce_pool* pool = nullptr;
        bounce_device* device = nullptr;
        bounce_mapping mapping;
        char text[] = "child";
        int status = bounce_pool_create(&of_pool, &pool);
        if (status == 0) status = bounce_device_create(pool, &of_device, &device);
        if (status == 0) status = bounce_device_map(device, text, 5, BOUNCE_TO_DEVICE, 0, &mapping);
        if (status == 0) status = bounce_device_unmap(device, &mapping, 0);
        if (status == 0) status = bounce_device_destroy(device);
        if (status == 0) status = bounce_pool_destroy(pool);
        if (status != 0) child.complain("a pool of its own", status);
    }

    bounce_ring* ring_ = nullptr;
    bounce_device* watched_ = nullptr;
    bounce_mapping watched_mapping_{};
    bounce_block watched_block_{};
    bounce_mapping mapping_{};
    bounce_block coherent_{};
    bounce_block buffer_{};
    char text_[16] = "parent";
};

TEST_F(Fork, AChildHasNoPoolAndTheParentGoesOn) {
    const pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
        Child child;
        pool_calls(child);
        device_calls(child);
        watched_calls(child);
        ring_calls(child);
        destroy_calls(child);
        own_pool(child);
        _exit(child.exit_status());
    }
    int status = -1;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
    EXPECT_EQ(WEXITSTATUS(status), 0);
    EXPECT_STREQ(text_, "parent");
    // What the parent had is untouched.
    EXPECT_EQ(bounce_device_sync_for_device(device_, &mapping_, 0, 6, BOUNCE_BIDIRECTIONAL), 0) << bounce_last_error();
    EXPECT_EQ(std::memcmp(mapping_.slot, "parent", 6), 0);
}

}  // namespace
}  // namespace bounce
