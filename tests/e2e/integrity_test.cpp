// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Data integrity through a real device: QD32 on two queues, one thread each, random sizes from 512 B to 4 MiB at random
// offsets in random pieces, against a model of the disk in memory.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <thread>

#include "tests/e2e/support/blk.hpp"
#include "tests/e2e/support/storage_daemon.hpp"

namespace bounce::e2e {
namespace {

constexpr std::uint64_t kMiB = 1U << 20;
constexpr std::uint64_t kDiskBytes = 64 * kMiB;
constexpr std::uint64_t kMaxBytes = 4 * kMiB;
constexpr unsigned kDepth = 32;
constexpr unsigned kRequests = 300;  // per queue

struct Load {
    const char* name;
    std::uint64_t pool_bytes;
    bool calls;
    bool born_shared;
};

/// One thread: the half of the disk from `first` on, and the model of it.
class Worker {
public:
    Worker(const Load& load, bounce_frontend* frontend, std::uint32_t queue, std::uint8_t* model, std::uint64_t first,
           std::uint64_t bytes)
        : load_(load),
          device_(bounce_frontend_device(frontend)),
          frontend_(frontend),
          queue_(frontend, queue),
          model_(model),
          first_(first),
          bytes_(bytes),
          random_(1000 + queue) {
        for (Slot& slot : slots_) slot.memory.resize(kMaxBytes);
    }

    void run() try {
        unsigned started = 0;
        while (started < kRequests || queue_.outstanding() != 0) {
            bool stuck = false;
            for (Slot& slot : slots_) {
                if (slot.busy || started == kRequests) continue;
                if (!slot.prepared) prepare(slot);
                const int code = start(slot);
                if (code == -ENOSPC || code == -EAGAIN) {
                    ++refused;
                    stuck = true;
                    break;
                }
                if (code != 0) throw std::runtime_error(std::string("add: ") + bounce_last_error());
                ++started;
            }
            if (const int code = queue_.submit(); code != 0) throw std::runtime_error("submit: " + text(code));
            if (queue_.outstanding() != 0) {
                reap();
            } else if (stuck) {
                ::sched_yield();  // the other queue has the pool
            }
        }
        BlkRequest flush = blk_request(BlkType::kFlush, 0, nullptr, 0);
        if (const int code = queue_.run(flush); code != 0 || !flush.good()) throw std::runtime_error("flush failed");
    } catch (const std::exception& problem) {
        failure = problem.what();
    }

    std::string failure;
    std::uint64_t refused = 0;
    std::uint64_t bytes_moved = 0;

private:
    struct Slot {
        BlkRequest request;
        std::vector<std::uint8_t> memory;
        bounce_block block{};
        std::uint8_t* data = nullptr;
        std::uint64_t offset = 0;
        std::uint64_t bytes = 0;
        bool prepared = false;
        bool busy = false;
    };

    static std::string text(int code) { return std::string(bounce_error_text(code)) + ": " + bounce_last_error(); }

    bool overlaps(std::uint64_t offset, std::uint64_t bytes) const {
        return std::any_of(std::begin(slots_), std::end(slots_), [&](const Slot& other) {
            return (other.busy || other.prepared) && offset < other.offset + other.bytes &&
                   other.offset < offset + bytes;
        });
    }

    std::uint64_t below(std::uint64_t limit) {
        return std::uniform_int_distribution<std::uint64_t>(0, limit - 1)(random_);
    }

    void prepare(Slot& slot) {
        do {
            const double power =
                std::uniform_real_distribution<double>(0, std::log2(kMaxBytes / kSectorBytes))(random_);
            slot.bytes = std::min(static_cast<std::uint64_t>(std::exp2(power)) * kSectorBytes, kMaxBytes);
            slot.offset = first_ + below((bytes_ - slot.bytes) / kSectorBytes + 1) * kSectorBytes;
        } while (overlaps(slot.offset, slot.bytes));
        slot.request = BlkRequest{};
        slot.request.type = below(2) == 0 ? BlkType::kRead : BlkType::kWrite;
        slot.request.sector = slot.offset / kSectorBytes;
        slot.prepared = true;
    }

    /// Adds it to the ring, in one to four pieces; -ENOSPC when the pool is full.
    int start(Slot& slot) {
        std::uint32_t flags = 0;
        slot.data = slot.memory.data();
        if (load_.born_shared) {
            if (const int code = bounce_buffer_alloc(device_, slot.bytes, 0, &slot.block); code != 0) return code;
            slot.data = static_cast<std::uint8_t*>(slot.block.ptr);
            flags = BOUNCE_SG_SHARED | BOUNCE_SG_SHARED_IN;  // content is compared once it has been read
        }
        if (slot.request.type == BlkType::kWrite) {
            for (std::uint64_t i = 0; i < slot.bytes; i += 8) {
                const std::uint64_t word = random_();
                std::memcpy(slot.data + i, &word, 8);
            }
        } else {
            std::memset(slot.data, 0xdd, slot.bytes);
        }
        slot.request.data.clear();
        std::uint64_t at = 0;
        for (std::uint64_t pieces = 1 + below(4); pieces > 0; --pieces) {
            const std::uint64_t n = pieces == 1 ? slot.bytes - at : (slot.bytes - at) / pieces;
            if (n != 0) slot.request.data.push_back({slot.data + at, n, flags, 0});
            at += n;
        }
        const int code = queue_.add(slot.request);
        if (code != 0) {
            release(slot);
            return code;
        }
        slot.prepared = false;
        slot.busy = true;
        return 0;
    }

    void release(Slot& slot) {
        if (load_.born_shared && bounce_buffer_free(device_, &slot.block) != 0)
            throw std::runtime_error(std::string("buffer_free: ") + bounce_last_error());
    }

    void reap() {
        if (load_.calls) {
            if (const int code = queue_.wait(20000); code != 0) throw std::runtime_error("wait: " + text(code));
        }
        const int n = queue_.collect();
        if (n < 0) throw std::runtime_error("collect: " + text(n));
        if (n == 0) {
            if (const int code = bounce_frontend_check(frontend_); code != 0)
                throw std::runtime_error("check: " + text(code));
            ::sched_yield();
        }
        for (Slot& slot : slots_) {
            if (slot.busy && !slot.request.pending) finish(slot);
        }
    }

    void finish(Slot& slot) {
        if (!slot.request.good())
            throw std::runtime_error("a request failed: result " + std::to_string(slot.request.result) + ", status " +
                                     std::to_string(slot.request.status));
        if (slot.request.type == BlkType::kWrite) {
            std::memcpy(model_ + slot.offset, slot.data, slot.bytes);
        } else if (std::memcmp(model_ + slot.offset, slot.data, slot.bytes) != 0) {
            throw std::runtime_error("what was read differs at offset " + std::to_string(slot.offset) + ", " +
                                     std::to_string(slot.bytes) + " bytes");
        }
        bytes_moved += slot.bytes;
        release(slot);
        slot.busy = false;
    }

    const Load& load_;
    bounce_device* device_;
    bounce_frontend* frontend_;
    BlkQueue queue_;
    std::uint8_t* model_;
    std::uint64_t first_;
    std::uint64_t bytes_;
    std::mt19937_64 random_;
    Slot slots_[kDepth];
};

class Integrity : public ::testing::TestWithParam<Load> {
protected:
    void SetUp() override {
        if (!StorageDaemon::available()) GTEST_SKIP() << StorageDaemon::kMissing;
    }
};

TEST_P(Integrity, WhatIsReadIsWhatWasWritten) {
    const Load& load = GetParam();
    StorageDaemon daemon(kDiskBytes, 2);
    daemon.start();
    const PoolHandle pool = make_pool(load.pool_bytes);
    FrontendHandle frontend = connect_blk(pool.get(), daemon.socket(), 2, load.calls);
    const bounce_pool_stats idle = stats_of(pool.get());

    std::vector<std::uint8_t> model(kDiskBytes);
    Worker first(load, frontend.get(), 0, model.data(), 0, kDiskBytes / 2);
    Worker second(load, frontend.get(), 1, model.data(), kDiskBytes / 2, kDiskBytes / 2);
    std::thread other([&second] { second.run(); });
    first.run();
    other.join();
    ASSERT_EQ(first.failure, "");
    ASSERT_EQ(second.failure, "");
    EXPECT_GT(first.bytes_moved + second.bytes_moved, 32 * kMiB);
    if (load.pool_bytes < kDepth * kMiB) {
        EXPECT_GT(first.refused + second.refused, 0U);
    }

    // The file is what the device did, seen without the library.
    std::vector<std::uint8_t> disk(kDiskBytes);
    const int fd = ::open(daemon.image().c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(::pread(fd, disk.data(), disk.size(), 0), static_cast<ssize_t>(disk.size()));
    ::close(fd);
    EXPECT_TRUE(disk == model);

    const bounce_pool_stats after = stats_of(pool.get());
    EXPECT_EQ(after.mappings, 0U);
    EXPECT_EQ(after.buffers, 0U);
    EXPECT_EQ(after.used_bytes, idle.used_bytes);
    EXPECT_EQ(after.violations, 0U);
    frontend.reset();
    EXPECT_EQ(stats_of(pool.get()).used_bytes, 0U);
}

constexpr Load kLoads[] = {
    {"polling", 256 * kMiB, false, false},
    {"calls", 256 * kMiB, true, false},
    {"polling_born_shared", 256 * kMiB, false, true},
    {"calls_born_shared", 256 * kMiB, true, true},
    {"polling_small_pool", 10 * kMiB, false, false},
    {"calls_small_pool", 10 * kMiB, true, false},
    {"small_pool_born_shared", 10 * kMiB, true, true},
};

INSTANTIATE_TEST_SUITE_P(Loads, Integrity, ::testing::ValuesIn(kLoads),
                         [](const auto& about) { return std::string(about.param.name); });

}  // namespace
}  // namespace bounce::e2e
