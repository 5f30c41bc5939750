// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Connecting and reconnecting when private memory runs out at each place in turn.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <new>

#include "tests/unit/api/vhost/frontend_fixture.hpp"

namespace {
// Of this thread only: the back-end's thread has all the memory it wants.
thread_local bool t_armed = false;
thread_local unsigned t_left = 0;
thread_local unsigned t_failed = 0;

void* take(std::size_t bytes, std::size_t align) noexcept {
    if (t_armed && t_left-- == 0) {
        t_left = 0;  // from here on every one fails
        ++t_failed;
        return nullptr;
    }
    return align <= __STDCPP_DEFAULT_NEW_ALIGNMENT__ ? std::malloc(bytes)
                                                     : std::aligned_alloc(align, (bytes + align - 1) / align * align);
}
void* take_or_throw(std::size_t bytes, std::size_t align) {
    if (void* memory = take(bytes, align)) return memory;
    throw std::bad_alloc();
}
}  // namespace

// Weak: a sanitizer may bring operators of its own, and the test then skips.
[[gnu::weak]] void* operator new(std::size_t n) {
    return take_or_throw(n, 1);
}
[[gnu::weak]] void* operator new[](std::size_t n) {
    return take_or_throw(n, 1);
}
[[gnu::weak]] void* operator new(std::size_t n, const std::nothrow_t&) noexcept {
    return take(n, 1);
}
[[gnu::weak]] void* operator new[](std::size_t n, const std::nothrow_t&) noexcept {
    return take(n, 1);
}
[[gnu::weak]] void* operator new(std::size_t n, std::align_val_t a) {
    return take_or_throw(n, static_cast<std::size_t>(a));
}
[[gnu::weak]] void* operator new[](std::size_t n, std::align_val_t a) {
    return take_or_throw(n, static_cast<std::size_t>(a));
}
[[gnu::weak]] void* operator new(std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
    return take(n, static_cast<std::size_t>(a));
}
[[gnu::weak]] void* operator new[](std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
    return take(n, static_cast<std::size_t>(a));
}
[[gnu::weak]] void operator delete(void* p) noexcept {
    std::free(p);
}
[[gnu::weak]] void operator delete[](void* p) noexcept {
    std::free(p);
}
[[gnu::weak]] void operator delete(void* p, std::size_t) noexcept {
    std::free(p);
}
[[gnu::weak]] void operator delete[](void* p, std::size_t) noexcept {
    std::free(p);
}
[[gnu::weak]] void operator delete(void* p, std::align_val_t) noexcept {
    std::free(p);
}
[[gnu::weak]] void operator delete[](void* p, std::align_val_t) noexcept {
    std::free(p);
}
[[gnu::weak]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
    std::free(p);
}
[[gnu::weak]] void operator delete[](void* p, std::size_t, std::align_val_t) noexcept {
    std::free(p);
}

namespace bounce::vhost {
namespace {

TEST_F(FrontendTest, RunsOutOfMemoryCleanly) {
    t_left = 0;
    t_armed = true;
    void* nothing = ::operator new(1, std::nothrow);
    t_armed = false;
    ::operator delete(nothing);
    if (nothing != nullptr) GTEST_SKIP() << "the sanitizer's operator new cannot be replaced";
    config_.queues = 2;
    backend_.start();
    unsigned refusals = 0;
    for (unsigned at = 0;; ++at) {
        t_left = at;
        t_failed = 0;
        t_armed = true;
        const Result<void> result = connect();
        t_armed = false;
        if (result) {
            EXPECT_EQ(t_failed, 0U);
            break;
        }
        ASSERT_EQ(result.code(), ENOMEM) << last_error();
        EXPECT_GT(t_failed, 0U);
        expect_clean();
        ++refusals;
        ASSERT_LT(at, 1000U);
    }
    EXPECT_GE(refusals, 5U);
    // With no memory at all, what was begun can still be ended.
    char data[100] = {};
    const bounce_sg sg{data, sizeof data, 0, 0};
    t_left = 0;
    t_armed = true;
    const bool added = static_cast<bool>(frontend_->ring(0).add({&sg, 1}, 0, data));
    const bool submitted = static_cast<bool>(frontend_->submit(0));
    const bool closed = static_cast<bool>(frontend_->close());
    frontend_.reset();
    t_armed = false;
    EXPECT_TRUE(added);
    EXPECT_TRUE(submitted);
    EXPECT_TRUE(closed) << last_error();
    expect_clean();
}

}  // namespace
}  // namespace bounce::vhost
