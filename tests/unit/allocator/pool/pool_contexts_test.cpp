// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What threads and queues keep of a pool's slots, and how it comes home.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <latch>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "tests/support/emulator.hpp"
#include "tests/unit/allocator/pool/pool_fixture.hpp"

namespace bounce {
namespace {

constexpr SlotKind kStreaming = SlotKind::kStreaming;
constexpr unsigned kThreads = 8;
// Of every kind of place: stacks with many and with few slots, and runs.
constexpr std::uint64_t kSizes[] = {1, 64, 100, 1000, 1514, 4096, 9000, 20480, 24 * kKiB, 64 * kKiB};
// Those of them whose slabs have no tails, which nobody can be given while a slab is in use.
constexpr std::uint64_t kEvenSizes[] = {1, 64, 128, 1024, 4096, 16384, 24 * kKiB, 64 * kKiB};

/// Leaves slots of these sizes in the context of the calling thread.
void warm(Pool& pool, unsigned held = 20, std::span<const std::uint64_t> sizes = kSizes) {
    std::vector<Slot> slots;
    for (int round = 0; round < 3; ++round) {
        for (const std::uint64_t bytes : sizes) {
            for (unsigned i = 0; i < held; ++i) {
                if (auto slot = pool.alloc(request_of(bytes))) slots.push_back(*slot);
            }
            for (const Slot& slot : slots) EXPECT_TRUE(pool.free(slot, kStreaming)) << last_error();
            slots.clear();
        }
    }
}

std::uint64_t kept_in(const Context& context) {
    std::uint64_t count = 0;
    for (const SlotStack& stack : context.stacks) count += stack.count();
    for (const KeptRun& run : context.runs) count += run.pages.load() != 0 ? 1U : 0U;
    return count;
}

/// Takes every byte that is free, with as many slots of this size as there are and smaller ones in between, and frees
/// all.
void expect_every_byte(Pool& pool, std::uint64_t bytes) {
    std::vector<Slot> slots;
    // Powers of two: slabs of other sizes have tails.
    for (; bytes >= kMinSlotBytes; bytes = std::bit_floor(bytes - 1)) {
        for (;;) {
            auto slot = pool.alloc(request_of(bytes));
            if (!slot) {
                EXPECT_EQ(slot.code(), ENOSPC) << last_error();
                break;
            }
            slots.push_back(*slot);
        }
    }
    // But for the tails of slabs of other sizes that one of these slots keeps alive.
    EXPECT_GE(pool.stats().used_bytes + 4 * kPageBytes, pool.stats().bytes);
    for (const Slot& slot : slots) EXPECT_TRUE(pool.free(slot, kStreaming)) << last_error();
}

void expect_all_at_home(Pool& pool) {
    const PoolStats stats = pool.stats();
    EXPECT_EQ(stats.slots, 0U);
    EXPECT_EQ(stats.used_bytes, 0U);
    auto all = pool.alloc(request_of(stats.bytes));
    ASSERT_TRUE(all) << last_error();
    EXPECT_EQ(pool.stats().used_bytes, stats.bytes);
    EXPECT_TRUE(pool.free(*all, kStreaming));
}

TEST(PoolContexts, TheyKeepAtMostAPartOfThePool) {
    const auto pool = make_pool(16 * kMiB);
    Context* const context = pool->context(pool->direct());
    ASSERT_NE(context, nullptr);
    warm(*pool, 100);
    EXPECT_GT(kept_in(*context), 0U);
    std::uint64_t bytes = 0;
    for (std::uint32_t i = 0; i < Context::kStacks; ++i) {
        const SlotStack& stack = context->stacks[i];
        const std::uint32_t c = i % kClasses;
        EXPECT_LE(stack.count(), stack.limit());
        EXPECT_LE(std::uint64_t{stack.limit()} * kSlotBytes[c], Contexts::kMostBytesOfClass);
        EXPECT_LE(stack.limit(), SlotStack::kRoom);
        bytes += std::uint64_t{stack.limit()} * kSlotBytes[c];
    }
    for (const KeptRun& run : context->runs) {
        EXPECT_LE(run.pages.load(), run.granted);
        bytes += std::uint64_t{run.granted} * kPageBytes;
    }
    EXPECT_EQ(bytes, context->granted);
    EXPECT_LE(bytes, 16 * kMiB / Contexts::kShareOfPool);
}

// What was once kept for runs is not lost to slots.
TEST(PoolContexts, RunsGiveTheirPartToSlots) {
    const auto pool = make_pool(8 * kMiB);
    Context* const context = pool->context(pool->direct());
    ASSERT_NE(context, nullptr);
    for (std::uint64_t pages = 6; pages < 14; ++pages) {
        auto run = pool->alloc(request_of(pages * kPageBytes));
        ASSERT_TRUE(run) << last_error();
        ASSERT_TRUE(pool->free(*run, kStreaming));
    }
    const std::uint64_t of_runs = context->granted;
    EXPECT_GT(of_runs, 48 * kKiB);
    const std::uint64_t sizes[] = {4096};
    for (int round = 0; round < 20; ++round) warm(*pool, 40, sizes);
    EXPECT_GE(context->stacks[class_of(4096)].limit(), 16U);
    std::uint64_t left = 0;
    for (const KeptRun& run : context->runs) left += run.granted * kPageBytes;
    EXPECT_LT(left, of_runs);
    EXPECT_LE(context->granted, 8 * kMiB / Contexts::kShareOfPool);
    expect_all_at_home(*pool);
}

// One class of a large pool, which could keep more.
TEST(PoolContexts, AClassHasALimitOfItsOwn) {
    const auto pool = make_pool(256 * kMiB);
    Context* const context = pool->context(pool->direct());
    ASSERT_NE(context, nullptr);
    for (const std::uint64_t bytes : {std::uint64_t{64}, std::uint64_t{4096}, std::uint64_t{20480}}) {
        std::vector<Slot> slots;
        for (int round = 0; round < 10; ++round) {
            for (int i = 0; i < 100; ++i) slots.push_back(*pool->alloc(request_of(bytes)));
            for (const Slot& slot : slots) EXPECT_TRUE(pool->free(slot, kStreaming));
            slots.clear();
        }
        const std::uint64_t most = std::min<std::uint64_t>(SlotStack::kRoom, Contexts::kMostBytesOfClass / bytes);
        EXPECT_EQ(context->stacks[class_of(bytes)].limit(), most);
    }
}

// Eight threads have used the pool and sleep; a ninth gets every byte that is free.
TEST(PoolContexts, NothingIsStrandedWithSleepers) {
    const auto pool = make_pool(8 * kMiB);
    std::barrier step(kThreads + 1);
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < kThreads; ++i) {
        threads.emplace_back([&] {
            for (;;) {
                step.arrive_and_wait();
                if (stop.load()) return;
                warm(*pool, 5, kEvenSizes);
                step.arrive_and_wait();
            }
        });
    }
    for (const std::uint64_t bytes : {std::uint64_t{64}, std::uint64_t{1000}, std::uint64_t{4096}, std::uint64_t{20480},
                                      64 * kKiB, kMiB, 8 * kMiB}) {
        step.arrive_and_wait();
        step.arrive_and_wait();
        expect_every_byte(*pool, bytes);
        step.arrive_and_wait();
        step.arrive_and_wait();
        expect_all_at_home(*pool);
    }
    stop = true;
    step.arrive_and_wait();
    for (auto& thread : threads) thread.join();
    expect_all_at_home(*pool);
}

TEST(PoolContexts, AThreadThatEndsGivesAllBack) {
    const auto pool = make_pool(8 * kMiB);
    Context* context = nullptr;
    std::thread([&] {
        warm(*pool);
        context = pool->context(pool->direct());
        ASSERT_NE(context, nullptr);
        EXPECT_GT(kept_in(*context), 0U);
    }).join();
    ASSERT_NE(context, nullptr);
    EXPECT_EQ(context->group_id.load(), 0U);
    EXPECT_EQ(context->granted, 0U);
    EXPECT_EQ(kept_in(*context), 0U);
    const PoolStats stats = pool->stats();
    EXPECT_EQ(stats.allocs_of_kind[1], 3U * 20 * std::size(kSizes));
    expect_all_at_home(*pool);
}

TEST(PoolContexts, QueuesHaveTheirOwn) {
    const auto pool = make_pool(8 * kMiB);
    ContextGroup group;
    Context* const one = pool->open_context(group);
    Context* const two = pool->open_context(group);
    ASSERT_TRUE(one != nullptr && two != nullptr && one != two);
    std::vector<Slot> slots(40);
    for (Slot& slot : slots) ASSERT_TRUE(pool->alloc(group, one, 1500, slot)) << last_error();
    EXPECT_EQ(pool->count(group).allocs, 40U);
    EXPECT_EQ(pool->stats().slots, 40U);
    // By the other, and by none.
    for (std::size_t i = 0; i < slots.size(); ++i) {
        ASSERT_TRUE(pool->free(group, i % 4 == 0 ? nullptr : two, slots[i])) << last_error();
    }
    EXPECT_EQ(pool->count(group).frees, 40U);
    EXPECT_EQ(pool->count(group).allocs, 40U);
    EXPECT_GT(kept_in(*two), 0U);
    pool->close_context(two);
    EXPECT_EQ(kept_in(*two), 0U);
    EXPECT_EQ(pool->count(group).frees, 40U);
    pool->close_group(group);
    EXPECT_EQ(kept_in(*one), 0U);
    EXPECT_EQ(pool->count(group).allocs, 40U);
    pool->close_context(nullptr);
    expect_all_at_home(*pool);
}

// Slots travel from the thread that allocates to the one that frees.
TEST(PoolContexts, StatisticsAreExactAtRest) {
    const auto pool = make_pool(8 * kMiB);
    std::vector<Slot> slots;
    std::latch allocated(1);
    std::latch freed(1);
    std::thread allocating([&] {
        for (int i = 0; i < 300; ++i) slots.push_back(*pool->alloc(request_of(1000)));
        for (int i = 0; i < 3; ++i) slots.push_back(*pool->alloc(request_of(64 * kKiB)));
        allocated.count_down();
        freed.wait();
    });
    allocated.wait();
    PoolStats stats = pool->stats();
    EXPECT_EQ(stats.slots, 303U);
    EXPECT_EQ(stats.used_bytes, 300U * class_bytes(class_of(1000)) + 3 * 64 * kKiB);
    for (std::size_t i = 0; i < slots.size(); ++i) {
        ASSERT_TRUE(pool->free(slots[i], kStreaming)) << last_error();
        ASSERT_EQ(pool->stats().slots, 302U - i);
    }
    stats = pool->stats();
    EXPECT_EQ(stats.slots, 0U);
    EXPECT_EQ(stats.used_bytes, 0U);
    EXPECT_EQ(stats.allocs_of_kind[1], 303U);
    EXPECT_EQ(pool->count(pool->direct()).frees, 303U);
    EXPECT_EQ(pool->count(pool->direct()).allocs, 303U);
    freed.count_down();
    allocating.join();
    EXPECT_EQ(pool->stats().allocs_of_kind[1], 303U);
    expect_all_at_home(*pool);
}

// Its owner stopped in the middle: what it keeps counts as used, and all the others go on.
TEST(PoolContexts, OneThatIsInsideIsLeftOut) {
    const auto pool = make_pool(64 * kMiB);
    std::atomic<Context*> context{nullptr};
    std::latch looked(1);
    std::thread sleeper([&] {
        warm(*pool);
        context = pool->context(pool->direct());
        context.notify_one();
        looked.wait();
    });
    context.wait(nullptr);
    const std::uint64_t kept = kept_in(*context);
    EXPECT_GT(kept, 0U);
    context.load()->mark.store(1);
    EXPECT_EQ(pool->alloc(request_of(64 * kMiB)).code(), ENOSPC);
    EXPECT_EQ(kept_in(*context), kept);
    EXPECT_EQ(pool->stats().slots, 0U);
    warm(*pool);
    EXPECT_GT(kept_in(*pool->context(pool->direct())), 0U);
    context.load()->mark.store(0);
    expect_all_at_home(*pool);
    EXPECT_EQ(kept_in(*context), 0U);
    looked.count_down();
    sleeper.join();
}

// A signal handler comes in the middle of an operation of its thread: it goes without the context.
TEST(PoolContexts, InASignalHandlerItIsLeftAlone) {
    const auto pool = make_pool(64 * kMiB);
    Context* const context = pool->context(pool->direct());
    ASSERT_NE(context, nullptr);
    warm(*pool);
    const std::uint64_t kept = kept_in(*context);
    const std::uint64_t allocs = pool->stats().allocs_of_kind[1];
    EXPECT_GT(kept, 0U);
    context->mark.store(1);
    for (const std::uint64_t bytes : kSizes) {
        auto slot = pool->alloc(request_of(bytes));
        ASSERT_TRUE(slot) << last_error();
        EXPECT_EQ(pool->stats().slots, 1U);
        ASSERT_TRUE(pool->free(*slot, kStreaming)) << last_error();
        EXPECT_EQ(kept_in(*context), kept);
    }
    // Not even when the pool is full.
    EXPECT_EQ(pool->alloc(request_of(64 * kMiB)).code(), ENOSPC);
    EXPECT_EQ(kept_in(*context), kept);
    EXPECT_EQ(context->mark.load(), 1U);
    context->mark.store(0);
    EXPECT_EQ(pool->stats().allocs_of_kind[1], allocs + std::size(kSizes));
    expect_all_at_home(*pool);
}

TEST(PoolContexts, UncheckedPoolsCheckTheAddressOnly) {
    auto made = Pool::create(region_config(8 * kMiB, 4 * kGiB), {}, {.checked = false});
    ASSERT_TRUE(made) << last_error();
    Pool& pool = **made;
    // The first comes straight from home, as its slab has to be made; the next ones go by the context.
    auto first = pool.alloc(request_of(1000));
    auto slot = pool.alloc(request_of(1000));
    ASSERT_TRUE(first && slot);
    EXPECT_TRUE(pool.find_in_slot(slot->hva, 1, kStreaming));
    EXPECT_TRUE(pool.free(*slot, kStreaming));
    EXPECT_TRUE(pool.free(*first, kStreaming));
    for (const std::uint64_t bytes : kSizes) {
        std::vector<Slot> slots;
        for (int round = 0; round < 3; ++round) {
            for (int i = 0; i < 30; ++i) {
                auto taken = pool.alloc(request_of(bytes));
                ASSERT_TRUE(taken) << last_error();
                slots.push_back(*taken);
            }
            for (const Slot& each : slots) {
                EXPECT_TRUE(pool.check(each, kStreaming, bytes)) << last_error();
                EXPECT_TRUE(pool.free(each, kStreaming)) << last_error();
            }
            slots.clear();
        }
    }
    // Where it can be seen from the tables, it is.
    Slot wrong = *slot;
    wrong.gpa = wrong.gpa + 8;
    EXPECT_EQ(pool.free(wrong, kStreaming).code(), EFAULT);
    // The other kinds are checked as ever.
    auto coherent = pool.alloc(request_of(1000, 1, SlotKind::kCoherent));
    ASSERT_TRUE(coherent);
    EXPECT_TRUE(pool.free(*coherent, SlotKind::kCoherent));
    EXPECT_EQ(pool.free(*coherent, SlotKind::kCoherent).code(), EALREADY);
    expect_all_at_home(pool);
}

int check_child(Pool& pool, ContextGroup& group, Context* queue, const Slot (&slots)[2]) {
    int step = 0;
    const auto is = [&step](int code) {
        ++step;
        return code == EOWNERDEAD;
    };
    for (const std::uint64_t bytes : kSizes) {
        Slot slot;
        if (!is(pool.alloc(request_of(bytes)).code())) return step;
        if (!is(pool.alloc(group, queue, bytes, slot).code())) return step;
        if (!is(pool.alloc(group, nullptr, bytes, slot).code())) return step;
        if (!is(pool.alloc(request_of(bytes, 1, SlotKind::kBuffer)).code())) return step;
    }
    for (const Slot& slot : slots) {
        Pool::Ending ending;
        if (!is(pool.free(slot, kStreaming).code())) return step;
        if (!is(pool.free(group, queue, slot).code())) return step;
        if (!is(pool.begin_free(slot, kStreaming, 1, ending).code())) return step;
        if (!is(pool.check(slot, kStreaming).code())) return step;
    }
    if (pool.open_context(group) != nullptr) return 101;
    ContextGroup other;
    if (pool.context(other) != nullptr) return 102;
    pool.close_context(queue);
    pool.close_group(group);
    pool.end_thread(1);
    return 0;
}

TEST(PoolContexts, AForkedChildHasNone) {
    if (test::kEmulated) GTEST_SKIP() << test::kNoForkAdvice;
    const auto pool = make_pool(8 * kMiB);
    ContextGroup group;
    Context* const queue = pool->open_context(group);
    warm(*pool);
    for (const std::uint64_t bytes : kSizes) {
        Slot slot;
        ASSERT_TRUE(pool->alloc(group, queue, bytes, slot));
        ASSERT_TRUE(pool->free(group, queue, slot));
    }
    const Slot slots[2] = {*pool->alloc(request_of(1000)), *pool->alloc(request_of(64 * kKiB))};
    const pid_t child = ::fork();
    if (child == 0) ::_exit(check_child(*pool, group, queue, slots));
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
    for (const Slot& slot : slots) EXPECT_TRUE(pool->free(slot, kStreaming)) << last_error();
    pool->close_group(group);
    expect_all_at_home(*pool);
}

TEST(PoolContexts, WithoutOneItIsSlowerAndNoMore) {
    const auto pool = make_pool(8 * kMiB);
    ContextGroup group;
    std::vector<Context*> queues;
    for (std::uint32_t i = 0; i < Contexts::kMost; ++i) queues.push_back(pool->open_context(group));
    EXPECT_EQ(std::count(queues.begin(), queues.end(), nullptr), 0);
    EXPECT_EQ(pool->open_context(group), nullptr);
    EXPECT_EQ(pool->context(pool->direct()), nullptr);
    warm(*pool);
    expect_all_at_home(*pool);
    for (Context* const queue : queues) pool->close_context(queue);
    expect_all_at_home(*pool);
    // Another thread finds one.
    std::thread([&] { EXPECT_NE(pool->context(pool->direct()), nullptr); }).join();
}

}  // namespace
}  // namespace bounce
