// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/base/error.hpp"

#include <gtest/gtest.h>
#include <pthread.h>

#include <cerrno>
#include <memory>
#include <string>
#include <thread>

namespace bounce {
namespace {

Result<std::unique_ptr<int>> make(bool good) {
    if (!good) return fail(EINVAL, "got %llu, expected at most 0x%llx", 7, 255);
    return std::make_unique<int>(42);
}

TEST(Error, KeepsTheSentenceOfTheLastFailure) {
    auto bad = make(false);
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.code(), EINVAL);
    EXPECT_STREQ(last_error(), "got 7, expected at most 0xff");
    EXPECT_STREQ(last_error(), "got 7, expected at most 0xff");
    (void)fail_text(ENOENT, "no socket at %s", "/nowhere");
    EXPECT_STREQ(last_error(), "no socket at /nowhere");
}

TEST(Error, IsPerThread) {
    (void)fail(EINVAL, "mine");
    std::thread([] { EXPECT_STREQ(last_error(), ""); }).join();
    EXPECT_STREQ(last_error(), "mine");
}

// A library that calls this one from a destructor of its thread, after this one's own has run.
TEST(Error, MayBeRecordedWhileAThreadEnds) {
    static pthread_key_t key;
    static int left = 2;
    ASSERT_EQ(pthread_key_create(&key,
                                 [](void* value) {
                                     (void)fail(EINVAL, "round %llu", static_cast<std::uint64_t>(left));
                                     if (--left > 0) pthread_setspecific(key, value);
                                 }),
              0);
    std::thread([] {
        (void)fail(EINVAL, "first");
        pthread_setspecific(key, &left);
    }).join();
    EXPECT_EQ(left, 0);
    pthread_key_delete(key);
}

TEST(Error, LongTextsAreCutNotOverrun) {
    const std::string path(2000, 'x');
    (void)fail_text(ENOENT, "no socket at %s", path.c_str());
    EXPECT_LT(std::string(last_error()).size(), 600U);
}

TEST(Result, HoldsMoveOnlyValues) {
    auto good = make(true);
    ASSERT_TRUE(good);
    const std::unique_ptr<int> taken = std::move(*good);
    EXPECT_EQ(*taken, 42);
}

}  // namespace
}  // namespace bounce
