// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// One queue of a real device is stopped and started anew, again and again, while another one has requests under way.
#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/e2e/support/blk.hpp"
#include "tests/e2e/support/storage_daemon.hpp"

namespace bounce::e2e {
namespace {

constexpr std::uint64_t kMiB = 1U << 20;
constexpr std::size_t kBytes = 64 * kSectorBytes;

/// Writes and reads back until it is told to end.
class OtherQueue {
public:
    explicit OtherQueue(bounce_frontend* frontend) : thread_([this, frontend] { run(frontend); }) {}
    ~OtherQueue() { finish(); }
    OtherQueue(const OtherQueue&) = delete;
    OtherQueue& operator=(const OtherQueue&) = delete;
    void finish() {
        end_ = true;
        if (thread_.joinable()) thread_.join();
    }
    /// Until it has done some more, or ended.
    void wait_for(unsigned more) const {
        const unsigned until = turns_.load() + more;
        while (turns_.load() < until && !ended_.load()) ::sched_yield();
    }
    /// After finish().
    [[nodiscard]] const std::string& failure() const { return failure_; }

private:
    void run(bounce_frontend* frontend) {
        BlkQueue queue(frontend, 1);
        std::vector<unsigned char> out(kBytes), in(kBytes);
        for (unsigned i = 0; !end_.load() && failure_.empty(); ++i) {
            std::fill(out.begin(), out.end(), static_cast<unsigned char>(i));
            const std::uint64_t at = 8 * kMiB + i % 64 * kBytes;
            BlkRequest write = blk_request(BlkType::kWrite, at, out.data(), kBytes);
            BlkRequest read = blk_request(BlkType::kRead, at, in.data(), kBytes);
            if (queue.run(write) != 0 || !write.good()) failure_ = "a write failed";
            if (queue.run(read) != 0 || !read.good()) failure_ = "a read failed";
            if (in != out) failure_ = "other data came back";
            ++turns_;
        }
        ended_ = true;
    }

    std::atomic<bool> end_{false};
    std::atomic<bool> ended_{false};
    std::atomic<unsigned> turns_{0};
    std::string failure_;
    std::thread thread_;  // the last: it uses the others
};

TEST(QueueReset, LeavesTheOtherQueueAlone) {
    if (!StorageDaemon::available()) GTEST_SKIP() << StorageDaemon::kMissing;
    StorageDaemon daemon(32 * kMiB, 2);
    daemon.start();
    const PoolHandle pool = make_pool(16 * kMiB);
    const FrontendHandle frontend = connect_blk(pool.get(), daemon.socket(), 2, false);
    const std::uint64_t idle = stats_of(pool.get()).used_bytes;
    OtherQueue other(frontend.get());
    BlkQueue queue(frontend.get(), 0);
    std::vector<unsigned char> out(kBytes), in(kBytes);
    for (unsigned round = 0; round < 20; ++round) {
        std::fill(out.begin(), out.end(), static_cast<unsigned char>(100 + round));
        BlkRequest write = blk_request(BlkType::kWrite, round * kBytes, out.data(), kBytes);
        ASSERT_EQ(queue.run(write), 0) << round << ": " << bounce_last_error();
        ASSERT_TRUE(write.good());
        ASSERT_EQ(bounce_frontend_stop_queue(frontend.get(), 0), 0) << bounce_last_error();
        other.wait_for(2);
        ASSERT_EQ(bounce_frontend_start_queue(frontend.get(), 0), 0) << bounce_last_error();
        BlkRequest read = blk_request(BlkType::kRead, round * kBytes, in.data(), kBytes);
        ASSERT_EQ(queue.run(read), 0) << round << ": " << bounce_last_error();
        ASSERT_TRUE(read.good());
        ASSERT_TRUE(in == out) << round;
    }
    other.finish();
    EXPECT_EQ(other.failure(), "");
    EXPECT_EQ(bounce_frontend_check(frontend.get()), 0) << bounce_last_error();
    EXPECT_EQ(stats_of(pool.get()).violations, 0U);
    EXPECT_EQ(stats_of(pool.get()).used_bytes, idle);
}

}  // namespace
}  // namespace bounce::e2e
