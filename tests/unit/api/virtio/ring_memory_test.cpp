// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The heap: making a ring fails cleanly at every allocation, and requests do without it. The program replaces operator
// new.
#include <cerrno>
#include <cstdlib>
#include <limits>
#include <new>

#include "tests/unit/api/virtio/ring_fixture.hpp"

namespace {

// Only the thread of the tests allocates here.
std::uint64_t g_allocations = 0;
std::uint64_t g_allowed = std::numeric_limits<std::uint64_t>::max();

void* take(std::size_t bytes, std::size_t align) noexcept {
    ++g_allocations;
    if (g_allowed == 0) return nullptr;
    if (g_allowed != std::numeric_limits<std::uint64_t>::max()) --g_allowed;
    return std::aligned_alloc(align, (bytes + align - 1) / align * align);
}
void* take_or_throw(std::size_t bytes, std::size_t align) {
    void* memory = take(bytes, align);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}

}  // namespace

// Weak, because a sanitizer may bring operators of its own; the tests then skip.
[[gnu::weak]] void* operator new(std::size_t bytes) {
    return take_or_throw(bytes, 16);
}
[[gnu::weak]] void* operator new[](std::size_t bytes) {
    return take_or_throw(bytes, 16);
}
[[gnu::weak]] void* operator new(std::size_t bytes, std::align_val_t align) {
    return take_or_throw(bytes, static_cast<std::size_t>(align));
}
[[gnu::weak]] void* operator new[](std::size_t bytes, std::align_val_t align) {
    return take_or_throw(bytes, static_cast<std::size_t>(align));
}
[[gnu::weak]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
    return take(bytes, 16);
}
[[gnu::weak]] void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
    return take(bytes, 16);
}
[[gnu::weak]] void* operator new(std::size_t bytes, std::align_val_t align, const std::nothrow_t&) noexcept {
    return take(bytes, static_cast<std::size_t>(align));
}
[[gnu::weak]] void* operator new[](std::size_t bytes, std::align_val_t align, const std::nothrow_t&) noexcept {
    return take(bytes, static_cast<std::size_t>(align));
}
[[gnu::weak]] void operator delete(void* memory) noexcept {
    std::free(memory);
}
[[gnu::weak]] void operator delete[](void* memory) noexcept {
    std::free(memory);
}
[[gnu::weak]] void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
[[gnu::weak]] void operator delete[](void* memory, std::size_t) noexcept {
    std::free(memory);
}
[[gnu::weak]] void operator delete(void* memory, std::align_val_t) noexcept {
    std::free(memory);
}
[[gnu::weak]] void operator delete[](void* memory, std::align_val_t) noexcept {
    std::free(memory);
}
[[gnu::weak]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    std::free(memory);
}
[[gnu::weak]] void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
    std::free(memory);
}
[[gnu::weak]] void operator delete(void* memory, const std::nothrow_t&) noexcept {
    std::free(memory);
}
[[gnu::weak]] void operator delete[](void* memory, const std::nothrow_t&) noexcept {
    std::free(memory);
}
[[gnu::weak]] void operator delete(void* memory, std::align_val_t, const std::nothrow_t&) noexcept {
    std::free(memory);
}
[[gnu::weak]] void operator delete[](void* memory, std::align_val_t, const std::nothrow_t&) noexcept {
    std::free(memory);
}

namespace bounce {
namespace {

using namespace test;

class RingMemoryTest : public LayoutTest {
protected:
    void SetUp() override {
        const std::uint64_t before = g_allocations;
        ::operator delete(::operator new(1));
        if (g_allocations == before) GTEST_SKIP() << "the sanitizer's operator new cannot be replaced";
        LayoutTest::SetUp();
    }
};

TEST_P(RingMemoryTest, EveryFailedAllocationOfCreateIsNoMemory) {
    std::uint64_t failures = 0;
    for (std::uint64_t allowed = 0;; ++allowed) {
        g_allowed = allowed;
        auto queue = Virtqueue::create(*device_, {.queue_size = 64, .indirect = true, .packed = GetParam()});
        g_allowed = std::numeric_limits<std::uint64_t>::max();
        if (queue) break;
        ++failures;
        ASSERT_EQ(queue.code(), ENOMEM) << last_error();
        ASSERT_EQ(device_->outstanding(), 0U);
        ASSERT_EQ(pool_->stats().slots, 0U);
    }
    EXPECT_GE(failures, 7U);
    expect_all_given_back();
}

TEST_P(RingMemoryTest, AFailedChangeOfFeaturesKeepsTheOldOnes) {
    make({.queue_size = 64});
    Bytes out = bytes_of(64, 1);
    for (std::uint64_t allowed = 0; allowed < 2; ++allowed) {
        g_allowed = allowed;
        const int code = queue_->set_features(true, false).code();
        g_allowed = std::numeric_limits<std::uint64_t>::max();
        ASSERT_EQ(code, ENOMEM);
        std::vector<bounce_sg> list(64, sg_of(out));
        ASSERT_TRUE(queue_->add(list, 64, nullptr));
        abort_all();
        ASSERT_TRUE(queue_->reset());
    }
    ASSERT_TRUE(queue_->set_features(true, false));
    expect_all_given_back();
}

TEST_P(RingMemoryTest, RequestsDoWithoutTheHeap) {
    make({.queue_size = 16, .indirect = true, .max_chain = 30});
    Bytes out = bytes_of(64, 1);
    Bytes in = bytes_of(5000, 1);
    const bounce_sg shorter[] = {sg_of(out), sg_of(in), sg_of(in)};
    std::vector<bounce_sg> longer(30, sg_of(out));
    bounce_completion completions[16];
    DeviceModel::Request request;
    (void)queue_->add({}, 0, nullptr);  // the first failure of a thread may allocate
    for (int round = 0; round < 200; ++round) {
        const std::uint64_t before = g_allocations;
        for (int i = 0; i < 5; ++i) ASSERT_TRUE(queue_->add(shorter, 1, nullptr)) << last_error();
        for (int i = 0; i < 2; ++i) ASSERT_TRUE(queue_->add(longer, 30, nullptr)) << last_error();
        queue_->publish();
        ASSERT_EQ(g_allocations, before);
        for (int i = 0; i < 7; ++i) {
            ASSERT_TRUE(model_->pop(request));
            model_->complete(request.head, 0);
        }
        const std::uint64_t served = g_allocations;
        const auto n = queue_->collect(completions);
        ASSERT_TRUE(n);
        ASSERT_EQ(*n, 7U);
        ASSERT_EQ(g_allocations, served);
    }
    expect_all_given_back();
}

INSTANTIATE_TEST_SUITE_P(Layouts, RingMemoryTest, testing::Bool(), layout_name);

}  // namespace
}  // namespace bounce
