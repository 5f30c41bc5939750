// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Long random runs with an honest device that completes in any order: every byte is checked, the 16-bit indices of a
// split ring wrap several times and the wrap counters of a packed one flip often, and nothing is left in the pool.
#include <cerrno>
#include <deque>
#include <random>

#include "tests/unit/api/virtio/ring_fixture.hpp"

namespace bounce {
namespace {

using namespace test;

constexpr std::byte kUntouched{0xee};

std::uint64_t hash_more(std::uint64_t hash, const std::byte* at, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) hash = (hash ^ std::to_integer<std::uint64_t>(at[i])) * 0x100000001b3;
    return hash;
}
constexpr std::uint64_t kHashStart = 0xcbf29ce484222325;

/// Byte `i` of what the device answers to a request whose readable bytes have this hash.
std::byte answer(std::uint64_t hash, std::uint64_t i) {
    return static_cast<std::byte>((hash >> (8 * (i % 7))) + i * 13);
}
std::uint32_t answer_bytes(std::uint64_t hash, std::uint64_t writable) {
    return static_cast<std::uint32_t>(hash % (writable + 1));
}

struct Load {
    QueueConfig config;
    std::uint64_t requests;
    std::size_t max_segments;
    std::size_t max_bytes;
    std::uint64_t seed;
};

class RingRandomTest : public RingTest, public testing::WithParamInterface<Load> {
protected:
    struct Submitted {
        std::vector<Bytes> out, in;
        std::uint64_t hash = kHashStart;
        std::uint64_t writable = 0;
        bounce_block block{};  // last segment of each side, when there are shared ones
        std::size_t shared_in = 0;
        bool busy = false;
    };

    std::size_t below(std::size_t n) { return n == 0 ? 0 : random_() % n; }
    std::size_t some_bytes(std::size_t most) {
        return 1 + below(below(16) == 0 ? most : std::min<std::size_t>(most, 96));
    }

    /// One more request, if ring and pool have room.
    bool submit(std::size_t index, const Load& load) {
        Submitted& s = submitted_[index];
        std::vector<bounce_sg> sg;
        const std::size_t n =
            1 + below(below(8) == 0 ? load.max_segments : std::min<std::size_t>(load.max_segments, 4));
        const std::size_t n_out = below(n + 1);
        s.out.clear();
        s.in.clear();
        s.hash = kHashStart;
        s.writable = 0;
        s.shared_in = 0;
        for (std::size_t i = 0; i < n; ++i) {
            const bool out = i < n_out;
            // A born-shared buffer of 512 bytes stands by: the first half for the device to read, the second to write.
            const bool shared = below(8) == 0 && (i + 1 == n_out || i + 1 == n);
            if (shared) {
                const std::size_t bytes = 1 + below(256);
                sg.push_back(shared_sg(s.block, out ? 0 : 256, bytes));
                auto* at = static_cast<std::byte*>(s.block.ptr) + (out ? 0 : 256);
                for (std::size_t k = 0; k < bytes; ++k) at[k] = out ? static_cast<std::byte>(random_()) : kUntouched;
                if (out) s.hash = hash_more(s.hash, at, bytes);
                s.shared_in = out ? 0 : bytes;
                s.writable += out ? 0 : bytes;
                continue;
            }
            Bytes bytes(some_bytes(load.max_bytes), kUntouched);
            if (out) {
                for (std::byte& byte : bytes) byte = static_cast<std::byte>(random_());
                s.hash = hash_more(s.hash, bytes.data(), bytes.size());
                s.out.push_back(std::move(bytes));
                sg.push_back(sg_of(s.out.back()));
            } else {
                s.writable += bytes.size();
                s.in.push_back(std::move(bytes));
                sg.push_back(sg_of(s.in.back()));
            }
        }
        const auto added = queue_->add(sg, n_out, cookie_of(index));
        EXPECT_TRUE(added || added.code() == EAGAIN || added.code() == ENOSPC) << last_error();
        return s.busy = static_cast<bool>(added);
    }

    void serve(DeviceModel::Request& request) {
        std::uint64_t hash = kHashStart;
        for (const auto& piece : request.pieces) {
            if (!piece.write) hash = hash_more(hash, piece.hva, piece.len);
        }
        const std::uint32_t len = answer_bytes(hash, request.bytes(true));
        std::uint64_t i = 0;
        for (const auto& piece : request.pieces) {
            for (std::uint32_t k = 0; piece.write && k < piece.len; ++k, ++i) {
                // Beyond what it reports the device scribbles: none of that may arrive.
                piece.hva[k] = i < len ? answer(hash, i) : std::byte{0x99};
            }
        }
        model_->complete(request.head, len);
    }

    void verify(const bounce_completion& completion) {
        const auto index = reinterpret_cast<std::uintptr_t>(completion.cookie);
        ASSERT_LT(index, submitted_.size());
        Submitted& s = submitted_[index];
        ASSERT_TRUE(s.busy);
        s.busy = false;
        idle_.push_back(index);
        const std::uint32_t len = answer_bytes(s.hash, s.writable);
        ASSERT_EQ(completion.status, 0);
        ASSERT_EQ(completion.written, len);
        ASSERT_EQ(completion.reported, len);
        std::uint64_t i = 0;
        for (const Bytes& bytes : s.in) {
            for (const std::byte byte : bytes) {
                ASSERT_EQ(byte, i < len ? answer(s.hash, i) : kUntouched) << i << " of " << len;
                ++i;
            }
        }
        const auto* at = static_cast<const std::byte*>(s.block.ptr) + 256;
        for (std::size_t k = 0; k < s.shared_in; ++k, ++i) {
            ASSERT_EQ(at[k], i < len ? answer(s.hash, i) : std::byte{0x99});
        }
    }

    std::mt19937 random_;
    std::vector<Submitted> submitted_;
    std::vector<std::size_t> idle_;
};

TEST_P(RingRandomTest, EveryByteArrivesAndNothingStays) {
    const Load& load = GetParam();
    random_.seed(static_cast<std::mt19937::result_type>(load.seed));
    make(load.config);
    submitted_.resize(load.config.queue_size);
    for (std::size_t i = 0; i < submitted_.size(); ++i) {
        ASSERT_TRUE(device_->alloc_block(SlotKind::kBuffer, 512, 0, submitted_[i].block)) << last_error();
        idle_.push_back(i);
    }
    std::deque<DeviceModel::Request> at_device;
    std::uint64_t done = 0;
    bool used_tables = false;
    while (done < load.requests && !HasFatalFailure()) {
        for (std::size_t n = below(submitted_.size() + 1); n > 0 && !idle_.empty(); --n) {
            if (!submit(idle_.back(), load)) break;
            idle_.pop_back();
        }
        if (below(4) != 0) queue_->publish();
        DeviceModel::Request request;
        while (below(16) != 0 && model_->pop(request)) {
            used_tables |= request.table_len != 0;
            at_device.push_back(request);
        }
        for (std::size_t n = below(at_device.size() + 1); n > 0; --n) {
            std::swap(at_device[below(at_device.size())], at_device.back());
            serve(at_device.back());
            at_device.pop_back();
        }
        bounce_completion completions[24];
        const auto n = queue_->collect({completions, 1 + below(24)});
        ASSERT_TRUE(n) << last_error();
        for (std::size_t i = 0; i < *n && !HasFatalFailure(); ++i) verify(completions[i]);
        done += *n;
    }
    EXPECT_EQ(queue_->stats().violations, 0U);
    EXPECT_EQ(used_tables, load.config.indirect && load.max_segments > 1);
    abort_all();
    EXPECT_EQ(queue_->stats().added, queue_->stats().completed + queue_->stats().aborted);
    EXPECT_EQ(queue_->stats().free_descriptors, load.config.queue_size);
    for (auto& s : submitted_) ASSERT_TRUE(device_->free_block(SlotKind::kBuffer, s.block));
    expect_all_given_back();
}

INSTANTIATE_TEST_SUITE_P(Loads, RingRandomTest,
                         testing::Values(
                             // Point 9: the smallest ring, several wraps of the 16-bit indices.
                             Load{{.queue_size = 2}, 200000, 2, 100, 1},
                             Load{{.queue_size = 2, .indirect = true, .max_chain = 9}, 20000, 9, 100, 2},
                             Load{{.queue_size = 64, .event_idx = true}, 150000, 8, 300, 3},
                             Load{{.queue_size = 64, .indirect = true, .event_idx = true}, 20000, 40, 20000, 4},
                             Load{{.queue_size = 256, .indirect = true, .max_chain = 600}, 5000, 600, 3000, 5}));
// The wrap counters flip inside of chains and between them.
INSTANTIATE_TEST_SUITE_P(
    PackedLoads, RingRandomTest,
    testing::Values(Load{{.queue_size = 1, .packed = true}, 100000, 1, 100, 11},
                    Load{{.queue_size = 1, .indirect = true, .max_chain = 9, .packed = true}, 20000, 9, 100, 12},
                    Load{{.queue_size = 2, .packed = true}, 100000, 2, 100, 13},
                    Load{{.queue_size = 3, .packed = true}, 100000, 3, 100, 14},
                    Load{{.queue_size = 61, .event_idx = true, .packed = true}, 150000, 8, 300, 15},
                    Load{{.queue_size = 64, .indirect = true, .event_idx = true, .packed = true}, 20000, 40, 20000, 16},
                    Load{
                        {.queue_size = 200, .indirect = true, .max_chain = 600, .packed = true}, 5000, 600, 3000, 17}));

class RingLongestTest : public LayoutTest {};

// Point 9: the longest ring, half of what the indices can tell apart.
TEST_P(RingLongestTest, TheLongestRingIsFilledToTheLastDescriptor) {
    make({.queue_size = 32768});
    bounce_block block{};
    ASSERT_TRUE(device_->alloc_block(SlotKind::kBuffer, 4096, 0, block));
    bounce_completion completions[512];
    for (int round = 0; round < 3; ++round) {
        const bounce_sg one = shared_sg(block, 0, 64);
        for (std::uintptr_t i = 0; i < 32768; ++i) ASSERT_TRUE(queue_->add({&one, 1}, 0, cookie_of(i)));
        EXPECT_EQ(queue_->add({&one, 1}, 0, nullptr).code(), EAGAIN);
        queue_->publish();
        DeviceModel::Request request;
        for (std::uint32_t i = 0; i < 32768; ++i) {
            ASSERT_TRUE(model_->pop(request));
            model_->put_used(request.head, i % 65);
        }
        model_->show_used();
        std::uintptr_t next = 0;
        while (next < 32768) {
            const auto n = queue_->collect(completions);
            ASSERT_TRUE(n && *n > 0) << last_error();
            for (std::size_t i = 0; i < *n; ++i, ++next) {
                ASSERT_EQ(completions[i].cookie, cookie_of(next));
                ASSERT_EQ(completions[i].written, next % 65);
            }
        }
    }
    ASSERT_TRUE(device_->free_block(SlotKind::kBuffer, block));
    expect_all_given_back();
}

INSTANTIATE_TEST_SUITE_P(Layouts, RingLongestTest, testing::Bool(), layout_name);

}  // namespace
}  // namespace bounce
