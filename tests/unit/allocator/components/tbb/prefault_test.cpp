// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "allocator/components/tbb/populate.hpp"
#include "tests/unit/allocator/components/tbb/tbb_fixture.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kPage = 4096;

/// How much of the region has memory, in bytes.
std::uint64_t resident(const bounce_region_info& info) {
    struct stat status {};
    EXPECT_EQ(::fstat(info.fd, &status), 0);
    return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

/// Threads that count in every page of the region, as its users do; each notices when a count of its own is undone.
class Writers {
public:
    explicit Writers(const bounce_region_info& info)
        : base_(static_cast<unsigned char*>(info.hva)), pages_(info.bytes / kPage) {
        for (unsigned writer = 0; writer < kWriters; ++writer) threads_.emplace_back([this, writer] { count(writer); });
        while (rounds() == 0) std::this_thread::yield();
    }
    [[nodiscard]] std::uint64_t rounds() const { return rounds_.load(); }
    /// How many writes were undone.
    std::uint64_t stop() {
        stop_.store(true);
        for (std::thread& thread : threads_) thread.join();
        return undone_.load();
    }

private:
    static constexpr unsigned kWriters = 2;

    // One writes the very byte that a touch works on, the other the one beside it.
    void count(unsigned writer) {
        unsigned char last = 0;
        while (!stop_.load()) {
            for (std::uint64_t page = 0; page < pages_; page += 7) {
                unsigned char* const cell = base_ + page * kPage + writer;
                if (__atomic_load_n(cell, __ATOMIC_RELAXED) != last) undone_.fetch_add(1);
                __atomic_store_n(cell, static_cast<unsigned char>(last + 1), __ATOMIC_RELAXED);
            }
            ++last;
            rounds_.fetch_add(1);
        }
    }

    unsigned char* base_;
    std::uint64_t pages_;
    std::atomic<bool> stop_{false};
    std::atomic<std::uint64_t> rounds_{0}, undone_{0};
    std::vector<std::thread> threads_;
};

using TbbPrefault = TbbTest;

TEST_F(TbbPrefault, GivesEveryPageMemory) {
    for (const std::uint32_t threads : {0u, 1u, 3u}) {
        bounce_pool* pool = make_pool(kPoolBytes);
        const bounce_region_info info = region_of(pool);
        EXPECT_EQ(resident(info), 0u);
        EXPECT_EQ(bounce_tbb_prefault(pool, 0, threads), 0) << bounce_tbb_last_error();
        EXPECT_EQ(resident(info), info.bytes);
        EXPECT_EQ(bounce_pool_destroy(pool), 0);
    }
}

TEST_F(TbbPrefault, ChangesNothingUnderWriters) {
    const bounce_region_info info = region_of(pool_);
    Writers writers(info);
    for (std::uint32_t i = 0; i < 60; ++i)
        EXPECT_EQ(bounce_tbb_prefault(pool_, 0, i % 3), 0) << bounce_tbb_last_error();
    EXPECT_EQ(writers.stop(), 0u);
    EXPECT_EQ(resident(info), info.bytes);
}

TEST_F(TbbPrefault, TheTouchOfOldKernelsDoesTheSame) {
    bounce_region_info info = region_of(pool_);
    auto* const begin = static_cast<std::byte*>(info.hva);
    tbb_component::touch(begin, info.bytes);
    EXPECT_EQ(resident(info), info.bytes);
    info.bytes = kPage;  // one page again and again: a write is undone between two instructions only
    Writers writers(info);
    while (writers.rounds() < 30'000'000) tbb_component::touch(begin, kPage);
    EXPECT_EQ(writers.stop(), 0u);
}

TEST_F(TbbPrefault, TheTouchIsAWrite) {
    // For reads alone, private memory shows one page of zeros everywhere.
    void* const memory = ::mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    const pid_t child = ::fork();
    if (child == 0) {
        tbb_component::touch(static_cast<std::byte*>(memory), kPage);
        ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_NE(status, 0) << "nothing was written";
    ::munmap(memory, kPage);
}

TEST_F(TbbPrefault, OfASecondRegionOnANode) {
    auto options = region_options(3u << 20, 2 * kBase);
    options.flags = BOUNCE_REGION_NODE;  // node 0
    if (bounce_pool_add_region(pool_, &options) != 0) GTEST_SKIP() << bounce_last_error();
    EXPECT_EQ(bounce_tbb_prefault(pool_, 1, 0), 0) << bounce_tbb_last_error();
    EXPECT_EQ(resident(region_of(pool_, 1)), 3u << 20);
    EXPECT_EQ(resident(region_of(pool_, 0)), 0u);
}

TEST_F(TbbPrefault, MemoryThatIsNotToBeHadIsAnErrorAndNoSignal) {
    constexpr std::uint64_t kBytes = 8u << 20;
    const int fd = ::memfd_create("short", MFD_CLOEXEC);
    ASSERT_EQ(::ftruncate(fd, kBytes), 0);
    void* const hva = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ASSERT_NE(hva, MAP_FAILED);
    auto options = pool_options(kBytes);
    options.region.hva = hva;
    bounce_pool* pool = nullptr;
    ASSERT_EQ(bounce_pool_create(&options, &pool), 0) << bounce_last_error();
    ASSERT_EQ(::ftruncate(fd, kBytes / 2), 0);
    // 23: MADV_POPULATE_WRITE. An old kernel has no other answer than the signal.
    if (::madvise(hva, kPage, 23) != 0) GTEST_SKIP() << "this kernel has no MADV_POPULATE_WRITE";
    expect_tbb_error(bounce_tbb_prefault(pool, 0, 0), ENOMEM, "region 0 of 8388608 bytes cannot be prefaulted");
    expect_tbb_error(bounce_tbb_prefault(pool, 0, 1), ENOMEM, "region 0 of 8388608 bytes cannot be prefaulted");
    EXPECT_EQ(bounce_pool_destroy(pool), 0);
    ::munmap(hva, kBytes);
    ::close(fd);
}

TEST_F(TbbPrefault, WrongArguments) {
    expect_tbb_error(bounce_tbb_prefault(nullptr, 0, 0), EINVAL, "pool is NULL");
    expect_tbb_error(bounce_tbb_prefault(pool_, 1, 0), EINVAL, "region 1");
}

}  // namespace
}  // namespace bounce
