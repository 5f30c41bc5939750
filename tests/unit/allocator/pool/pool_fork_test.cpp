// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A forked child has no pool: every call says so, nothing crashes, and the parent notices nothing.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <thread>

#include "tests/support/emulator.hpp"
#include "tests/unit/allocator/pool/pool_fixture.hpp"

namespace bounce {
namespace {

constexpr SlotKind kStreaming = SlotKind::kStreaming;

// The number of the first of these calls that did not do what it should, 0 when there is none.
int check_child(std::unique_ptr<Pool> pool, const Slot& slot, const Slot& run) {
    int step = 0;
    const auto is = [&step](int code) {
        ++step;
        return code == EOWNERDEAD;
    };
    if (pool->alive()) return 100;
    if (!is(pool->alloc(request_of(64)).code())) return step;
    if (!is(pool->alloc(request_of(kMiB)).code())) return step;
    if (!is(pool->alloc(request_of(1, 2 * kMiB)).code())) return step;
    if (!is(pool->alloc(request_of(100 * kGiB)).code())) return step;
    if (!is(pool->free(slot, kStreaming).code())) return step;
    if (!is(pool->free(run, kStreaming).code())) return step;
    if (!is(pool->free(Slot{}, kStreaming).code())) return step;
    Pool::Ending ending;
    if (!is(pool->begin_free(slot, kStreaming, 1, ending).code())) return step;
    if (!is(pool->check(slot, kStreaming).code())) return step;
    if (!is(pool->find_in_slot(slot.hva, 1, kStreaming).code())) return step;
    if (!is(pool->add_region(region_config(kMiB, 0)).code())) return step;
    if (!is(pool->renew().code())) return step;
    if (!is(pool->to_hva(slot.gpa, 1).code())) return step;
    if (!is(pool->to_gpa(slot.hva, 1).code())) return step;
    if (!is(pool->lend().code())) return step;
    pool->take_back();
    if (pool->stats().slots != 0) return 101;
    pool.reset();
    return 0;
}

/// Has a line of this process' map both words? Without the heap, which a child of a process with threads may not use.
bool maps_name(const char* access, const char* name) {
    const int maps = ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    char line[512];
    std::size_t used = 0;
    bool found = false;
    for (char c = 0; !found && maps >= 0 && ::read(maps, &c, 1) == 1;) {
        if (c != '\n' && used < sizeof line - 1) {
            line[used++] = c;
            continue;
        }
        line[used] = '\0';
        used = 0;
        found = std::strstr(line, access) != nullptr && std::strstr(line, name) != nullptr;
    }
    ::close(maps);
    return found;
}

int in_child(std::unique_ptr<Pool>& pool, const Slot& slot, const Slot& run) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(check_child(std::move(pool), slot, run));
    int status = -1;
    if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
    return WEXITSTATUS(status);
}

TEST(PoolFork, AChildHasNoPool) {
    if (test::kEmulated) GTEST_SKIP() << test::kNoForkAdvice;
    auto pool = make_pool(4 * kMiB);
    auto slot = pool->alloc(request_of(64));
    auto run = pool->alloc(request_of(kMiB));
    ASSERT_TRUE(slot && run);
    slot->hva[0] = std::byte{5};
    EXPECT_EQ(in_child(pool, *slot, *run), 0);
    EXPECT_TRUE(pool->alive());
    EXPECT_EQ(slot->hva[0], std::byte{5});
    EXPECT_TRUE(pool->alloc(request_of(64)));
    EXPECT_TRUE(pool->free(*slot, kStreaming)) << last_error();
    EXPECT_TRUE(pool->free(*run, kStreaming)) << last_error();
}

TEST(PoolFork, AChildHasNoSharedMemory) {
    if (test::kEmulated) GTEST_SKIP() << test::kNoForkAdvice;
    RegionConfig config = region_config(kMiB, 0);
    config.name = "fork-test";
    auto pool = Pool::create(config);
    ASSERT_TRUE(pool) << last_error();
    EXPECT_TRUE(maps_name("", "fork-test"));
    const pid_t child = ::fork();
    if (child == 0) ::_exit(maps_name("", "fork-test") ? 1 : 0);
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

// Also not when it is forked while memory is being made or renewed.
TEST(PoolFork, AChildHasNoSharedMemoryInBetween) {
    if (test::kEmulated) GTEST_SKIP() << test::kNoForkAdvice;
    RegionConfig config = region_config(kMiB, 0);
    config.name = "fork-race";
    auto pool = Pool::create(config);
    ASSERT_TRUE(pool) << last_error();
    std::atomic<bool> stop{false};
    std::thread renewing([&] {
        while (!stop.load()) EXPECT_TRUE((*pool)->renew()) << last_error();
    });
    int inherited = 0;
    for (int round = 0; round < 200; ++round) {
        const pid_t child = ::fork();
        // Something that cannot be read or written is not memory.
        if (child == 0) ::_exit(maps_name("rw-s", "fork-race") ? 1 : 0);
        int status = -1;
        if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
            ++inherited;
    }
    stop = true;
    renewing.join();
    EXPECT_EQ(inherited, 0);
}

}  // namespace
}  // namespace bounce
