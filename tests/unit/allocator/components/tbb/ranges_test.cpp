// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bounce_tbb_zero() and bounce_tbb_copy().
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tests/unit/allocator/components/tbb/tbb_fixture.hpp"

namespace bounce {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kSizes[] = {1, 63, 4096, 2 * kMiB - 1, 2 * kMiB, 2 * kMiB + 1, 7 * kMiB + 13};
constexpr std::size_t kOffsets[] = {0, 1, 4095, 2 * kMiB - 1, 2 * kMiB + 7};
constexpr std::uint32_t kThreads[] = {0, 1, 2, 1000};

/// Different in every byte near by, and in every page.
unsigned char pattern(std::size_t at) {
    return static_cast<unsigned char>(at * 31 + at / 4096 * 7 + 1);
}

void fill(unsigned char* bytes, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) bytes[i] = pattern(i);
}

class TbbRanges : public TbbTest {
protected:
    void SetUp() override {
        TbbTest::SetUp();
        shared_ = static_cast<unsigned char*>(region_of(pool_).hva);
    }

    unsigned char* shared_ = nullptr;
};

TEST_F(TbbRanges, ZeroIsExact) {
    constexpr std::size_t kSpan = 10 * kMiB;
    const std::vector<unsigned char> zeros(kSpan);
    std::vector<unsigned char> before(kSpan);
    fill(before.data(), kSpan);
    std::uint32_t round = 0;
    for (const std::size_t offset : kOffsets) {
        for (const std::size_t bytes : kSizes) {
            std::copy(before.begin(), before.end(), shared_);
            const std::uint32_t threads = kThreads[round++ % std::size(kThreads)];
            ASSERT_EQ(bounce_tbb_zero(pool_, shared_ + offset, bytes, threads), 0) << bounce_tbb_last_error();
            const std::size_t end = offset + bytes;
            EXPECT_TRUE(std::equal(shared_, shared_ + offset, before.begin()));
            EXPECT_TRUE(std::equal(shared_ + offset, shared_ + end, zeros.begin()));
            EXPECT_TRUE(std::equal(shared_ + end, shared_ + kSpan, before.begin() + static_cast<std::ptrdiff_t>(end)));
        }
    }
}

TEST_F(TbbRanges, CopyIsExactInBothDirections) {
    constexpr std::size_t kSpan = 10 * kMiB;
    std::vector<unsigned char> source(kSpan);
    fill(source.data(), kSpan);
    const std::vector<unsigned char> blank(kSpan, 0xee);
    std::vector<unsigned char> back(kSpan);
    std::uint32_t round = 0;
    for (const std::size_t offset : kOffsets) {
        for (const std::size_t bytes : kSizes) {
            const std::uint32_t threads = kThreads[round++ % std::size(kThreads)];
            std::copy(blank.begin(), blank.end(), shared_);
            back = blank;
            // From one misalignment to another.
            ASSERT_EQ(bounce_tbb_copy(pool_, shared_ + offset, source.data() + 3, bytes, threads), 0)
                << bounce_tbb_last_error();
            const std::size_t end = offset + bytes;
            EXPECT_TRUE(std::equal(shared_, shared_ + offset, blank.begin()));
            EXPECT_TRUE(std::equal(shared_ + offset, shared_ + end, source.begin() + 3));
            EXPECT_TRUE(std::equal(shared_ + end, shared_ + kSpan, blank.begin()));
            ASSERT_EQ(bounce_tbb_copy(pool_, back.data() + 5, shared_ + offset, bytes, threads), 0)
                << bounce_tbb_last_error();
            EXPECT_TRUE(std::equal(source.begin() + 3, source.begin() + 3 + static_cast<std::ptrdiff_t>(bytes),
                                   back.begin() + 5));
            EXPECT_EQ(back[4], 0xee);
            EXPECT_EQ(back[5 + bytes], 0xee);
        }
    }
}

TEST_F(TbbRanges, CopyInsideThePool) {
    fill(shared_, 9 * kMiB);
    ASSERT_EQ(bounce_tbb_copy(pool_, shared_ + 9 * kMiB, shared_, 9 * kMiB, 0), 0) << bounce_tbb_last_error();
    EXPECT_TRUE(std::equal(shared_, shared_ + 9 * kMiB, shared_ + 9 * kMiB));
}

TEST_F(TbbRanges, WrongRanges) {
    unsigned char private_bytes[64] = {};
    unsigned char* const last = shared_ + kPoolBytes - 1;
    expect_tbb_error(bounce_tbb_zero(pool_, nullptr, 1, 0), EINVAL, "hva is NULL");
    expect_tbb_error(bounce_tbb_zero(pool_, shared_, 0, 0), EINVAL, "bytes is 0");
    expect_tbb_error(bounce_tbb_zero(pool_, shared_, SIZE_MAX, 0), EINVAL, "wrap around");
    expect_tbb_error(bounce_tbb_zero(pool_, last, 2, 0), EFAULT, "");
    expect_tbb_error(bounce_tbb_zero(pool_, private_bytes, 1, 0), EFAULT, "");
    expect_tbb_error(bounce_tbb_zero(nullptr, shared_, 1, 0), EINVAL, "pool is NULL");

    expect_tbb_error(bounce_tbb_copy(pool_, nullptr, shared_, 1, 0), EINVAL, "to is NULL");
    expect_tbb_error(bounce_tbb_copy(pool_, shared_, nullptr, 1, 0), EINVAL, "from is NULL");
    expect_tbb_error(bounce_tbb_copy(pool_, shared_, private_bytes, 0, 0), EINVAL, "bytes is 0");
    expect_tbb_error(bounce_tbb_copy(pool_, private_bytes, private_bytes + 32, 32, 0), EFAULT, "neither to nor from");
    expect_tbb_error(bounce_tbb_copy(pool_, last, private_bytes, 2, 0), EFAULT, "neither to nor from");
    expect_tbb_error(bounce_tbb_copy(pool_, shared_, shared_, 10, 0), EINVAL, "overlap: 10 bytes, but 0 apart");
    expect_tbb_error(bounce_tbb_copy(pool_, shared_ + 9, shared_, 10, 0), EINVAL, "overlap: 10 bytes, but 9 apart");
    expect_tbb_error(bounce_tbb_copy(pool_, shared_, shared_ + 9, 10, 0), EINVAL, "overlap: 10 bytes, but 9 apart");
    EXPECT_EQ(bounce_tbb_copy(pool_, shared_ + 10, shared_, 10, 0), 0) << bounce_tbb_last_error();
    expect_tbb_error(bounce_tbb_copy(nullptr, shared_, private_bytes, 1, 0), EINVAL, "pool is NULL");
}

TEST_F(TbbRanges, TheNodeOfARegionOfTheCallersIsOnlyAHint) {
    std::vector<unsigned char> room(8 * kMiB);
    auto* const hva =
        reinterpret_cast<unsigned char*>((reinterpret_cast<std::uintptr_t>(room.data()) + 4095) & ~4095ul);
    auto options = region_options(4 * kMiB, 2 * kBase);
    options.hva = hva;
    options.flags = BOUNCE_REGION_NODE;
    options.node = 4000;
    ASSERT_EQ(bounce_pool_add_region(pool_, &options), 0) << bounce_last_error();
    fill(hva, 4 * kMiB);
    ASSERT_EQ(bounce_tbb_prefault(pool_, 1, 0), 0) << bounce_tbb_last_error();
    EXPECT_EQ(hva[4 * kMiB - 1], pattern(4 * kMiB - 1));
    ASSERT_EQ(bounce_tbb_zero(pool_, hva, 4 * kMiB, 0), 0) << bounce_tbb_last_error();
    EXPECT_EQ(std::count(hva, hva + 4 * kMiB, 0), static_cast<std::ptrdiff_t>(4 * kMiB));
}

TEST_F(TbbRanges, AForkedChildHasNoPool) {
    ASSERT_EQ(bounce_tbb_prefault(pool_, 0, 0), 0);  // the parent has threads by now
    const pid_t child = ::fork();
    if (child == 0) {
        unsigned char byte = 0;
        const bool dead =
            bounce_tbb_prefault(pool_, 0, 0) == -EOWNERDEAD && bounce_tbb_zero(pool_, shared_, 1, 0) == -EOWNERDEAD &&
            bounce_tbb_copy(pool_, shared_, &byte, 1, 0) == -EOWNERDEAD && bounce_tbb_last_error()[0] != '\0';
        ::_exit(dead ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace bounce
