// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A driver in one thread, a device in another, and a third that takes regions away and brings them back meanwhile. What
// was removed and waited for is unmapped at once: a device that still used it would crash, or be a race.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <utility>

#include "tests/support/emulator.hpp"
#include "tests/unit/api/virtio/device_fixture.hpp"

namespace bounce {
namespace {

using namespace test;

constexpr std::uint32_t kRequests = kEmulated ? 2000 : 20000;
constexpr std::uint32_t kSize = 64;
constexpr std::uint64_t kMoving = 0xa000'0000;
constexpr std::uint64_t kMovingBytes = 256 * 1024;

class DeviceThreadsTest : public DeviceSideTest, public testing::WithParamInterface<std::uint32_t> {
protected:
    bool packed() const { return (GetParam() & BOUNCE_VIRTQUEUE_PACKED) != 0; }

    static std::uint64_t out_of(std::uint16_t i) { return Guest::kHigh + 64 * std::uint64_t{i}; }
    static std::uint64_t in_of(std::uint16_t i) { return kMoving + 4000 * std::uint64_t{i}; }
    static void offer(PackedDriver& ring, std::uint16_t i) {
        ring.offer({{out_of(i), 4, 0}, {in_of(i), 100, kWrite}}, i);
    }
    static void offer(SplitDriver& ring, std::uint16_t i) {
        const auto head = static_cast<std::uint16_t>(2 * i);
        ring.desc(head, out_of(i), 4, kNext, static_cast<std::uint16_t>(head + 1));
        ring.desc(head + 1U, in_of(i), 100, kWrite);
        ring.offer(head);
    }

    /// The driver: keeps all its requests out, and checks the answers through its own view of the memory.
    template <class Offer, class Used>
    void drive(const std::byte* view, Offer&& offer_one, Used&& used_one) {
        std::uint32_t numbers[kSize / 2] = {};
        bool busy[kSize / 2] = {};
        std::uint32_t offered = 0;
        std::uint32_t done = 0;
        const auto limit = std::chrono::steady_clock::now() + std::chrono::minutes(4);
        while (done < kRequests && !failed_.load(std::memory_order_relaxed)) {
            for (std::uint16_t i = 0; i < kSize / 2 && offered < kRequests; ++i) {
                if (std::exchange(busy[i], true)) continue;
                numbers[i] = offered++;
                std::memcpy(guest_.at(out_of(i)), &numbers[i], 4);
                offer_one(i);
            }
            const std::uint32_t before = done;
            std::uint16_t i = 0;
            std::uint32_t len = 0;
            for (; used_one(i, len); ++done) {
                ASSERT_LT(i, kSize / 2);
                ASSERT_TRUE(std::exchange(busy[i], false));
                ASSERT_EQ(len, 100U);
                for (int k = 0; k < 100; ++k)
                    ASSERT_EQ(std::to_integer<std::uint32_t>(view[4000 * i + k]), numbers[i] & 0xff);
            }
            if (done == before) std::this_thread::yield();
            ASSERT_LT(std::chrono::steady_clock::now(), limit) << done << " of " << kRequests;
        }
    }

    /// The device: answers each request with its number, in the memory that comes and goes.
    void serve() {
        Popped popped[4];
        bounce_element elements[4];
        for (int i = 0; i < 4; ++i) elements[i] = popped[i].element;
        std::uint32_t served = 0;
        while (served < kRequests && !failed_.load(std::memory_order_relaxed)) {
            const int n = bounce_virtqueue_pop_many(queue_, elements, 4);
            if (n < 0) {
                failed_.store(true, std::memory_order_relaxed);
                ADD_FAILURE() << bounce_last_error();
                return;
            }
            if (n == 0) std::this_thread::yield();
            for (int i = 0; i < n; ++i, ++served) {
                const bounce_element& element = elements[i];
                std::uint32_t number = 0;
                std::memcpy(&number, element.segments[0].hva, sizeof number);
                for (std::uint32_t k = 0; k < element.n_in; ++k) {
                    auto* at = static_cast<std::byte*>(element.segments[element.n_out + k].hva);
                    std::memset(at, static_cast<int>(number & 0xff), element.segments[element.n_out + k].bytes);
                }
                (void)bounce_virtqueue_push(queue_, &element, static_cast<std::uint32_t>(element.in_bytes));
            }
            if (n > 0) (void)bounce_virtqueue_needs_call(queue_);
        }
    }

    std::atomic<bool> failed_{false};
};

// Regions beside the ones in use come and go; and one that is in use is replaced by another mapping of the same memory.
TEST_P(DeviceThreadsTest, RegionsChangeUnderLoad) {
    SplitDriver split(guest_, kSize);
    PackedDriver ring(guest_, kSize);
    const int fd = ::memfd_create("moving", MFD_CLOEXEC);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(::ftruncate(fd, kMovingBytes), 0);
    const auto map = [&] { return ::mmap(nullptr, kMovingBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0); };
    auto* const view = static_cast<std::byte*>(map());  // the driver's
    ASSERT_NE(view, MAP_FAILED);
    auto regions = guest_.regions();
    regions.push_back({kMoving, kMovingBytes, map(), 0, 0});
    ASSERT_NE(regions.back().hva, MAP_FAILED);
    ASSERT_EQ(bounce_guest_memory_set(memory_, regions.data(), regions.size(), nullptr), 0);
    make(packed() ? ring.options(GetParam()) : split.options(GetParam()));

    std::thread device([this] { serve(); });
    std::atomic<bool> stop{false};
    std::uint32_t changes = 0;
    std::thread changer([&] {
        std::byte spare[64];
        while (!stop.load(std::memory_order_relaxed) && !failed_.load(std::memory_order_relaxed)) {
            const bounce_guest_region more{0xb000'0000, sizeof spare, spare, 0, 0};
            std::uint64_t ticket = 0;
            EXPECT_EQ(bounce_guest_memory_add(memory_, &more, 1), 0);
            EXPECT_EQ(bounce_guest_memory_remove(memory_, more.gpa, more.bytes, nullptr), 0);
            void* const old = std::exchange(regions.back().hva, map());
            EXPECT_EQ(bounce_guest_memory_set(memory_, regions.data(), regions.size(), &ticket), 0);
            EXPECT_EQ(bounce_guest_memory_wait(memory_, ticket, 60000), 0) << bounce_last_error();
            ::munmap(old, kMovingBytes);
            ++changes;
        }
    });
    if (packed())
        drive(
            view, [&](std::uint16_t i) { offer(ring, i); },
            [&](std::uint16_t& i, std::uint32_t& len) {
                if (!ring.used(i, len)) return false;
                ring.skip(2);
                return true;
            });
    else
        drive(
            view, [&](std::uint16_t i) { offer(split, i); },
            [&, used = std::uint16_t{0}](std::uint16_t& i, std::uint32_t& len) mutable {
                if (split.used_index() == used) return false;
                i = static_cast<std::uint16_t>(split.used_id(used) / 2);
                len = split.used_len(used++);
                return true;
            });
    if (HasFailure()) failed_.store(true);
    device.join();
    stop.store(true);
    changer.join();
    EXPECT_GT(changes, 10U);
    EXPECT_EQ(info().outstanding, 0U);
    ::munmap(regions.back().hva, kMovingBytes);
    ::munmap(view, kMovingBytes);
    ::close(fd);
}

INSTANTIATE_TEST_SUITE_P(Kinds, DeviceThreadsTest,
                         testing::Values(0U, BOUNCE_VIRTQUEUE_EVENT_IDX, BOUNCE_VIRTQUEUE_PACKED));

}  // namespace
}  // namespace bounce
