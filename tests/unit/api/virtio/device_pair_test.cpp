// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Our driver against our device side, both through the C functions: the pool is the guest's memory. Chains of all
// shapes are answered in any order, and every byte is checked.
#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <vector>

#include "bounce/virtio_device.h"
#include "tests/support/emulator.hpp"
#include "tests/support/guest.hpp"

namespace bounce {
namespace {

using namespace test;

struct Load {
    std::uint32_t size;
    std::uint32_t ring_flags;
    std::uint32_t requests;
    std::uint32_t max_segments;
};

class DevicePairTest : public testing::TestWithParam<Load> {
protected:
    struct Request {
        std::vector<std::vector<std::byte>> out, in;
        std::uint32_t hash = 0;
        std::uint64_t writable = 0;
        bool busy = false;
    };

    void SetUp() override {
        bounce_pool_options pool{};
        pool.size = sizeof pool;
        pool.region.size = sizeof pool.region;
        pool.region.bytes = 64U << 20;
        pool.region.base_gpa = std::uint64_t{1} << 32;
        ASSERT_EQ(bounce_pool_create(&pool, &pool_), 0) << bounce_last_error();
        bounce_device_options device{};
        device.size = sizeof device;
        ASSERT_EQ(bounce_device_create(pool_, &device, &device_), 0);
        bounce_region_info region{};
        ASSERT_EQ(bounce_pool_region(pool_, 0, &region), 0);
        ASSERT_EQ(bounce_guest_memory_create(&memory_), 0);
        // As four regions: elements cross the borders.
        for (std::uint64_t i = 0; i < 4; ++i) {
            const std::uint64_t part = region.bytes / 4;
            const bounce_guest_region one{region.base_gpa + i * part, part,
                                          static_cast<std::byte*>(region.hva) + i * part, 0, 0};
            ASSERT_EQ(bounce_guest_memory_add(memory_, &one, 1), 0) << bounce_last_error();
        }
    }
    void TearDown() override {
        EXPECT_EQ(bounce_virtqueue_destroy(queue_), 0) << bounce_last_error();
        EXPECT_EQ(bounce_guest_memory_destroy(memory_), 0);
        EXPECT_EQ(bounce_ring_destroy(ring_), 0) << bounce_last_error();
        EXPECT_EQ(bounce_device_destroy(device_), 0) << bounce_last_error();
        EXPECT_EQ(bounce_pool_destroy(pool_), 0) << bounce_last_error();
    }
    void connect(const Load& load) {
        bounce_ring_options ring{};
        ring.size = sizeof ring;
        ring.queue_size = load.size;
        ring.flags = load.ring_flags;
        ring.max_chain = std::min(std::max(load.max_segments, load.size), 1024U);
        if ((load.ring_flags & BOUNCE_RING_INDIRECT) == 0) ring.max_chain = 0;
        ASSERT_EQ(bounce_ring_create(device_, &ring, &ring_), 0) << bounce_last_error();
        bounce_ring_layout layout{};
        ASSERT_EQ(bounce_ring_get_layout(ring_, &layout), 0);
        bounce_virtqueue_options options{};
        options.size = sizeof options;
        options.queue_size = load.size;
        options.max_chain = ring.max_chain;
        options.desc_addr = layout.desc_addr;
        options.driver_addr = layout.avail_addr;
        options.device_addr = layout.used_addr;
        options.avail_index = layout.avail_index;
        options.used_index = layout.used_index;
        if ((load.ring_flags & BOUNCE_RING_INDIRECT) != 0) options.flags |= BOUNCE_VIRTQUEUE_INDIRECT;
        if ((load.ring_flags & BOUNCE_RING_EVENT_IDX) != 0) options.flags |= BOUNCE_VIRTQUEUE_EVENT_IDX;
        if ((load.ring_flags & BOUNCE_RING_PACKED) != 0) options.flags |= BOUNCE_VIRTQUEUE_PACKED;
        if ((load.ring_flags & BOUNCE_RING_IN_ORDER) != 0) options.flags |= BOUNCE_VIRTQUEUE_IN_ORDER;
        ASSERT_EQ(bounce_virtqueue_create(memory_, &options, &queue_), 0) << bounce_last_error();
    }

    static std::uint32_t more(std::uint32_t hash, const std::byte* at, std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) hash = (hash ^ std::to_integer<std::uint32_t>(at[i])) * 16777619U;
        return hash;
    }
    static std::uint32_t answer_bytes(std::uint32_t hash, std::uint64_t writable) {
        return static_cast<std::uint32_t>(hash % (writable + 1));
    }
    static std::byte answer(std::uint32_t hash, std::uint64_t i) {
        return static_cast<std::byte>((hash >> (8 * (i % 3))) + i * 13);
    }

    bool submit(Request& request, void* cookie, std::uint32_t most) {
        request = Request{};
        std::vector<bounce_sg> sg;
        const std::uint32_t n = 1 + static_cast<std::uint32_t>(random_() % most);
        const std::uint32_t n_out = static_cast<std::uint32_t>(random_() % (n + 1));
        for (std::uint32_t i = 0; i < n; ++i) {
            std::vector<std::byte> bytes(1 + random_() % (random_() % 16 == 0 ? 5000 : 100), std::byte{0xee});
            if (i < n_out) {
                for (std::byte& one : bytes) one = static_cast<std::byte>(random_());
                request.hash = more(request.hash, bytes.data(), bytes.size());
                request.out.push_back(std::move(bytes));
                sg.push_back({request.out.back().data(), request.out.back().size(), 0, 0});
            } else {
                request.writable += bytes.size();
                request.in.push_back(std::move(bytes));
                sg.push_back({request.in.back().data(), request.in.back().size(), 0, 0});
            }
        }
        const int status = bounce_ring_add(ring_, sg.data(), n_out, n - n_out, cookie);
        EXPECT_TRUE(status == 0 || status == -EAGAIN || status == -ENOSPC) << bounce_last_error();
        return request.busy = status == 0;
    }

    /// By the copies, or where the bytes are.
    void serve(const bounce_element& element) {
        std::uint32_t hash = 0;
        if (random_() % 2 == 0) {
            std::vector<std::byte> all(element.out_bytes + 1);
            ASSERT_EQ(bounce_virtqueue_read(queue_, &element, 0, all.data(), element.out_bytes), 0);
            hash = more(0, all.data(), element.out_bytes);
        } else {
            for (std::uint32_t i = 0; i < element.n_out; ++i)
                hash = more(hash, static_cast<const std::byte*>(element.segments[i].hva), element.segments[i].bytes);
        }
        const std::uint32_t len = answer_bytes(hash, element.in_bytes);
        std::vector<std::byte> reply(len + 1);
        for (std::uint32_t i = 0; i < len; ++i) reply[i] = answer(hash, i);
        const std::uint32_t half = len / 2;
        ASSERT_EQ(bounce_virtqueue_write(queue_, &element, half, reply.data() + half, len - half), 0);
        ASSERT_EQ(bounce_virtqueue_write(queue_, &element, 0, reply.data(), half), 0);
        ASSERT_EQ(bounce_virtqueue_push(queue_, &element, len), 0) << bounce_last_error();
    }

    static void verify(const Request& request, const bounce_completion& completion) {
        const std::uint32_t len = answer_bytes(request.hash, request.writable);
        ASSERT_EQ(completion.status, 0);
        ASSERT_EQ(completion.written, len);
        std::uint64_t i = 0;
        for (const auto& bytes : request.in) {
            for (const std::byte byte : bytes) {
                ASSERT_EQ(byte, i < len ? answer(request.hash, i) : std::byte{0xee});
                ++i;
            }
        }
    }

    std::mt19937 random_{7};
    bounce_pool* pool_ = nullptr;
    bounce_device* device_ = nullptr;
    bounce_ring* ring_ = nullptr;
    bounce_guest_memory* memory_ = nullptr;
    bounce_virtqueue* queue_ = nullptr;
};

TEST_P(DevicePairTest, EveryByteArrives) {
    const Load load = GetParam();
    connect(load);
    std::vector<Request> requests(load.size);
    std::vector<std::uintptr_t> idle;
    for (std::uint32_t i = 0; i < load.size; ++i) idle.push_back(i);
    std::deque<std::unique_ptr<Popped>> out;
    std::uint32_t done = 0;
    while (done < load.requests && !HasFatalFailure()) {
        for (std::size_t n = random_() % (2 * load.size) % 700; n > 0 && !idle.empty(); --n) {
            const std::uintptr_t index = idle.back();
            if (!submit(requests[index], reinterpret_cast<void*>(index), load.max_segments)) break;
            idle.pop_back();
        }
        if (random_() % 4 != 0) {
            ASSERT_GE(bounce_ring_publish(ring_), 0);
        }
        while (random_() % 32 != 0) {
            auto popped = std::make_unique<Popped>(2 * load.max_segments + 8);
            const int got = bounce_virtqueue_pop(queue_, &popped->element);
            ASSERT_GE(got, 0) << bounce_last_error();
            if (got == 0) break;
            out.push_back(std::move(popped));
        }
        for (std::size_t n = random_() % (out.size() + 1); n > 0 && !HasFatalFailure(); --n) {
            std::swap(out[random_() % out.size()], out.back());
            serve(out.back()->element);
            out.pop_back();
        }
        if (random_() % 2 != 0) {
            ASSERT_GE(bounce_virtqueue_needs_call(queue_), 0);
        }
        bounce_completion completions[32];
        const int n = bounce_ring_collect(ring_, completions, 1 + random_() % 32);
        ASSERT_GE(n, 0) << bounce_last_error();
        for (int i = 0; i < n && !HasFatalFailure(); ++i, ++done) {
            const auto index = reinterpret_cast<std::uintptr_t>(completions[i].cookie);
            ASSERT_LT(index, requests.size());
            ASSERT_TRUE(requests[index].busy);
            requests[index].busy = false;
            verify(requests[index], completions[i]);
            idle.push_back(index);
        }
    }
    for (auto& one : out) ASSERT_EQ(bounce_virtqueue_drop(queue_, &one->element), 0);
    bounce_completion completions[32];
    while (bounce_ring_abort(ring_, completions, 32) > 0) {
    }
}

constexpr std::uint32_t kScale = kEmulated ? 10 : 1;

INSTANTIATE_TEST_SUITE_P(Split, DevicePairTest,
                         testing::Values(Load{2, 0, 50000 / kScale, 2},
                                         Load{2, BOUNCE_RING_INDIRECT, 20000 / kScale, 9},
                                         Load{256, BOUNCE_RING_EVENT_IDX, 50000 / kScale, 6},
                                         Load{256, BOUNCE_RING_INDIRECT | BOUNCE_RING_EVENT_IDX, 20000 / kScale, 40},
                                         Load{256, BOUNCE_RING_IN_ORDER, 50000 / kScale, 4},
                                         Load{32768, 0, 100000 / kScale, 3}));

constexpr std::uint32_t kPacked = BOUNCE_RING_PACKED;

INSTANTIATE_TEST_SUITE_P(
    Packed, DevicePairTest,
    testing::Values(Load{1, kPacked, 30000 / kScale, 1}, Load{1, kPacked | BOUNCE_RING_INDIRECT, 10000 / kScale, 9},
                    Load{2, kPacked, 50000 / kScale, 2}, Load{3, kPacked, 50000 / kScale, 3},
                    Load{3, kPacked | BOUNCE_RING_INDIRECT | BOUNCE_RING_EVENT_IDX, 20000 / kScale, 9},
                    Load{256, kPacked | BOUNCE_RING_EVENT_IDX, 50000 / kScale, 6},
                    Load{256, kPacked | BOUNCE_RING_IN_ORDER, 50000 / kScale, 4},
                    Load{256, kPacked | BOUNCE_RING_INDIRECT | BOUNCE_RING_EVENT_IDX, 20000 / kScale, 40},
                    Load{32768, kPacked, 100000 / kScale, 3}));

}  // namespace
}  // namespace bounce
