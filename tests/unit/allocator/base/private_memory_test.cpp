// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/base/private_memory.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <limits>

#include "tests/support/emulator.hpp"

namespace bounce {
namespace {

/// What `check` returns in a forked child.
template <class Check>
int in_child(Check check) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(check());
    int status = -1;
    if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
    return WEXITSTATUS(status);
}

TEST(PrivateMemory, IsZeroedAndWipedInAChild) {
    if (test::kEmulated) GTEST_SKIP() << test::kNoForkAdvice;
    auto memory = PrivateMemory::create(1 << 20);
    ASSERT_TRUE(memory);
    std::byte* const data = memory->data();
    EXPECT_EQ(data[123456], std::byte{0});
    data[123456] = std::byte{7};
    EXPECT_EQ(in_child([&] { return static_cast<int>(data[123456]); }), 0);
    EXPECT_EQ(data[123456], std::byte{7});
}

TEST(PrivateMemory, WithoutAddressSpaceIsAnError) {
    auto memory = PrivateMemory::create(std::numeric_limits<std::size_t>::max() / 2);
    ASSERT_FALSE(memory);
    EXPECT_EQ(memory.code(), ENOMEM);
}

TEST(PrivateMemory, ALotOfItCostsNothing) {
    auto memory = PrivateMemory::create(std::size_t{64} << 30);
    ASSERT_TRUE(memory) << last_error();
    memory->data()[memory->bytes() - 1] = std::byte{1};
}

TEST(ForkGuard, LivesInItsProcessOnly) {
    if (test::kEmulated) GTEST_SKIP() << test::kNoForkAdvice;
    auto guard = ForkGuard::create();
    ASSERT_TRUE(guard);
    EXPECT_TRUE(guard->alive());
    EXPECT_EQ(in_child([&] { return guard->alive() ? 1 : 0; }), 0);
    EXPECT_TRUE(guard->alive());
    const ForkGuard taken = std::move(*guard);
    EXPECT_TRUE(taken.alive());
}

}  // namespace
}  // namespace bounce
