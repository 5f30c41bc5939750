// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "bounce/waiting.h"

#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "bounce/quota.h"
#include "tests/support/emulator.hpp"
#include "tests/unit/api/abi/abi_fixture.hpp"

namespace bounce {
namespace {

constexpr std::size_t kBytes = 1 << 20;

class WaitingAbi : public AbiTest {
protected:
    bounce_wait_options options() {
        bounce_wait_options options{};
        options.size = sizeof options;
        options.buf = buffer_.data();
        options.bytes = kBytes;
        options.direction = BOUNCE_TO_DEVICE;
        return options;
    }
    void fill() {
        for (bounce_mapping& mapping : held_)
            ASSERT_EQ(bounce_device_map(device_, buffer_.data(), kBytes, BOUNCE_TO_DEVICE, 0, &mapping), 0);
    }
    void empty(std::size_t from = 0) {
        for (; from < 4; ++from) ASSERT_EQ(bounce_device_unmap(device_, &held_[from], 0), 0) << bounce_last_error();
    }

    std::vector<char> buffer_ = std::vector<char>(kBytes, 'x');
    bounce_mapping held_[4];
};

TEST_F(WaitingAbi, WrongArgumentsAreErrors) {
    auto good = options();
    bounce_wait* wait = nullptr;
    bounce_mapping mapping;
    bounce_wait_stats stats;
    expect_error(bounce_wait_begin(nullptr, &good, &wait), EINVAL, "device");
    expect_error(bounce_wait_begin(device_, nullptr, &wait), EINVAL, "options");
    expect_error(bounce_wait_begin(device_, &good, nullptr), EINVAL, "wait");
    expect_error(bounce_wait_finish(nullptr, &mapping), EINVAL, "wait");
    EXPECT_EQ(bounce_wait_cancel(nullptr), 0);
    expect_error(bounce_device_cancel_waits(nullptr), EINVAL, "device");
    expect_error(bounce_device_get_waits(device_, nullptr), EINVAL, "stats");
    expect_error(bounce_device_get_waits(nullptr, &stats), EINVAL, "device");
    expect_error(bounce_device_map_wait(nullptr, buffer_.data(), 1, 1, 0, 0, &mapping), EINVAL, "device");
    expect_error(bounce_device_map_wait(device_, buffer_.data(), 1, 1, 0, 0, nullptr), EINVAL, "mapping");
    expect_error(bounce_device_map_wait(device_, buffer_.data(), 1, 7, 0, 0, &mapping), EINVAL, "direction");
    expect_error(bounce_device_map_wait(device_, buffer_.data(), 1, 1, 1u << 20, 0, &mapping), EINVAL, "flags");
    auto bad = good;
    bad.size = 8;
    expect_error(bounce_wait_begin(device_, &bad, &wait), EINVAL, "size");
    bad = good;
    bad.reserved = 1;
    expect_error(bounce_wait_begin(device_, &bad, &wait), EINVAL, "reserved");
    bad = good;
    bad.direction = -1;
    expect_error(bounce_wait_begin(device_, &bad, &wait), EINVAL, "direction");
    for (const int fd : {-5, 1 << 20}) {
        bad = good;
        bad.event_fd_plus_one = fd;
        expect_error(bounce_wait_begin(device_, &bad, &wait), EINVAL, "event_fd");
    }
    EXPECT_EQ(wait, nullptr);
}

TEST_F(WaitingAbi, ReadyAtOnceOrLater) {
    const auto wanted = options();
    bounce_wait* wait = nullptr;
    bounce_mapping mapping;
    ASSERT_EQ(bounce_wait_begin(device_, &wanted, &wait), 1) << bounce_last_error();
    ASSERT_EQ(bounce_wait_cancel(wait), 0);
    fill();
    const int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    auto told = wanted;
    told.event_fd_plus_one = fd + 1;
    ASSERT_EQ(bounce_wait_begin(device_, &told, &wait), 0) << bounce_last_error();
    expect_error(bounce_wait_finish(wait, &mapping), EAGAIN);
    expect_error(bounce_device_destroy(device_), EBUSY, "waits");
    ASSERT_EQ(bounce_device_unmap(device_, &held_[0], 0), 0);
    std::uint64_t count = 0;
    EXPECT_EQ(::read(fd, &count, sizeof count), 8);
    ASSERT_EQ(bounce_wait_finish(wait, &held_[0]), 0) << bounce_last_error();
    bounce_wait_stats waits;
    ASSERT_EQ(bounce_device_get_waits(device_, &waits), 0);
    EXPECT_EQ(waits.begun, 1u);
    EXPECT_EQ(waits.served, 1u);
    EXPECT_EQ(waits.open, 0u);
    empty();
    ::close(fd);
}

TEST_F(WaitingAbi, CancelledForTheDevice) {
    fill();
    const auto wanted = options();
    bounce_wait* wait = nullptr;
    bounce_mapping mapping;
    ASSERT_EQ(bounce_wait_begin(device_, &wanted, &wait), 0);
    EXPECT_EQ(bounce_device_cancel_waits(device_), 1);
    EXPECT_EQ(bounce_device_cancel_waits(device_), 0);
    expect_error(bounce_wait_finish(wait, &mapping), ECANCELED);
    expect_error(bounce_device_map_wait(device_, buffer_.data(), kBytes, 1, 0, 5, &mapping), ETIMEDOUT, "5 ms");
    empty();
}

TEST_F(WaitingAbi, AForkedChildHasNoWaits) {
    if (test::kEmulated) GTEST_SKIP() << test::kNoForkAdvice;
    fill();
    const auto wanted = options();
    bounce_wait* wait = nullptr;
    ASSERT_EQ(bounce_wait_begin(device_, &wanted, &wait), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        bounce_mapping mapping;
        bounce_wait* other = nullptr;
        const bool good =
            bounce_wait_finish(wait, &mapping) == -EOWNERDEAD && bounce_wait_cancel(wait) == -EOWNERDEAD &&
            bounce_wait_begin(device_, &wanted, &other) == -EOWNERDEAD &&
            bounce_device_map_wait(device_, buffer_.data(), 1, 1, 0, 0, &mapping) == -EOWNERDEAD &&
            bounce_device_cancel_waits(device_) == -EOWNERDEAD && bounce_device_set_quota(device_, 0, 1) == -EOWNERDEAD;
        ::_exit(good ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    ASSERT_EQ(bounce_wait_cancel(wait), 0);
    empty();
}

TEST_F(WaitingAbi, Quotas) {
    bounce_quota quota;
    bounce_reserve reserve;
    expect_error(bounce_device_set_quota(nullptr, 0, 0), EINVAL, "device");
    expect_error(bounce_device_get_quota(device_, nullptr), EINVAL, "quota");
    expect_error(bounce_device_get_quota(nullptr, &quota), EINVAL, "device");
    expect_error(bounce_device_set_priority(nullptr, 1), EINVAL, "device");
    expect_error(bounce_pool_set_reserve(nullptr, 1), EINVAL, "pool");
    expect_error(bounce_pool_get_reserve(nullptr, &reserve), EINVAL, "pool");
    expect_error(bounce_pool_get_reserve(pool_, nullptr), EINVAL, "reserve");
    expect_error(bounce_device_set_quota(device_, 2, 1), EINVAL, "ceiling");
    expect_error(bounce_device_set_quota(device_, 4u << 20, 0), ENOSPC, "4194304");
    expect_error(bounce_pool_set_reserve(pool_, 5u << 20), ENOSPC, "4194304");
    ASSERT_EQ(bounce_pool_set_reserve(pool_, 1u << 20), 0) << bounce_last_error();
    ASSERT_EQ(bounce_device_set_quota(device_, 1u << 20, 2u << 20), 0) << bounce_last_error();
    ASSERT_EQ(bounce_device_set_priority(device_, 1), 0);
    bounce_mapping mapping;
    ASSERT_EQ(bounce_device_map(device_, buffer_.data(), kBytes, 1, 0, &mapping), 0) << bounce_last_error();
    ASSERT_EQ(bounce_device_get_quota(device_, &quota), 0);
    EXPECT_EQ(quota.floor_bytes, 1u << 20);
    EXPECT_EQ(quota.ceiling_bytes, 2u << 20);
    EXPECT_EQ(quota.used_bytes, kBytes);
    EXPECT_EQ(quota.priority, 1u);
    ASSERT_EQ(bounce_pool_get_reserve(pool_, &reserve), 0);
    EXPECT_EQ(reserve.reserve_bytes, 1u << 20);
    EXPECT_EQ(reserve.floor_bytes, 1u << 20);
    EXPECT_EQ(reserve.promised_bytes, 0u);
    bounce_mapping second;
    ASSERT_EQ(bounce_device_map(device_, buffer_.data(), kBytes, 1, 0, &second), 0) << bounce_last_error();
    bounce_mapping third;
    expect_error(bounce_device_map(device_, buffer_.data(), 1, 1, 0, &third), EDQUOT, "2097152");
    ASSERT_EQ(bounce_device_unmap(device_, &mapping, 0), 0);
    ASSERT_EQ(bounce_device_unmap(device_, &second, 0), 0);
}

}  // namespace
}  // namespace bounce
