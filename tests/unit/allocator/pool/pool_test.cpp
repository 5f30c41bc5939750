// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/pool/pool.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "tests/unit/allocator/pool/pool_fixture.hpp"

namespace bounce {
namespace {

constexpr SlotKind kStreaming = SlotKind::kStreaming;

TEST(Pool, SlotsOfAllSizesLieWhereTheySay) {
    const auto pool = make_pool(32 * kMiB, 4 * kGiB + 0x5000);
    for (std::uint64_t bytes = 1; bytes <= 9 * kMiB; bytes += bytes / 7 + 1) {
        auto slot = pool->alloc(request_of(bytes));
        ASSERT_TRUE(slot) << last_error();
        ASSERT_GE(slot->gpa, pool->region(RegionId{0}).base());
        ASSERT_LE(slot->gpa.value + bytes, 4 * kGiB + 0x5000 + 32 * kMiB);
        std::memset(slot->hva, 0xa5, bytes);
        auto hva = pool->to_hva(slot->gpa, bytes);
        ASSERT_TRUE(hva);
        EXPECT_EQ(*hva, slot->hva);
        auto gpa = pool->to_gpa(slot->hva, bytes);
        ASSERT_TRUE(gpa);
        EXPECT_EQ(*gpa, slot->gpa);
        ASSERT_TRUE(pool->free(*slot, kStreaming)) << last_error();
    }
    EXPECT_EQ(pool->stats().used_bytes, 0U);
}

TEST(Pool, AlignmentIsThatOfTheGpa) {
    for (const std::uint64_t base : {std::uint64_t{0}, std::uint64_t{0x1000}, 3 * kMiB + 0x7000}) {
        const auto pool = make_pool(16 * kMiB, base);
        for (std::uint64_t align = 1; align <= 2 * kMiB; align *= 2) {
            for (const std::uint64_t bytes : {std::uint64_t{1}, std::uint64_t{65}, std::uint64_t{3000}, 70 * kKiB}) {
                auto slot = pool->alloc(request_of(bytes, align));
                ASSERT_TRUE(slot) << bytes << " aligned to " << align << ": " << last_error();
                EXPECT_EQ(slot->gpa.value % align, 0U);
                EXPECT_EQ(reinterpret_cast<std::uintptr_t>(slot->hva) % align, 0U);
                ASSERT_TRUE(pool->free(*slot, kStreaming));
            }
        }
    }
}

TEST(Pool, BadRequestsAreRefused) {
    const auto pool = make_pool(kMiB);
    EXPECT_EQ(pool->alloc(request_of(0)).code(), EINVAL);
    EXPECT_EQ(pool->alloc(request_of(100, 0)).code(), EINVAL);
    EXPECT_EQ(pool->alloc(request_of(100, 48)).code(), EINVAL);
    EXPECT_EQ(pool->alloc(request_of(100, 4 * kMiB)).code(), EINVAL);
    EXPECT_EQ(pool->alloc(request_of(100, 1, static_cast<SlotKind>(0))).code(), EINVAL);
    EXPECT_EQ(pool->alloc(request_of(100, 1, static_cast<SlotKind>(4))).code(), EINVAL);
    EXPECT_EQ(pool->alloc(request_of(kMiB + 1)).code(), E2BIG);
    EXPECT_EQ(pool->alloc(request_of(~std::uint64_t{0})).code(), E2BIG);
    EXPECT_EQ(pool->alloc(request_of(~std::uint64_t{0} - 100, 4096)).code(), E2BIG);
    EXPECT_NE(std::string(last_error()), "");
    EXPECT_EQ(pool->stats().full, 0U);
}

TEST(Pool, ABoundaryIsNotCrossed) {
    const auto pool = make_pool(kMiB, 4 * kGiB - kMiB / 2);
    AllocRequest request = request_of(100);
    request.boundary = 64;
    EXPECT_EQ(pool->alloc(request).code(), EINVAL);
    request.boundary = 384;
    EXPECT_EQ(pool->alloc(request).code(), EINVAL);
    // Half of the pool lies below 4 GiB.
    request = request_of(300 * kKiB);
    request.boundary = 4 * kGiB;
    std::vector<Slot> slots;
    for (int i = 0; i < 2; ++i) {
        auto slot = pool->alloc(request);
        ASSERT_TRUE(slot) << last_error();
        slots.push_back(*slot);
    }
    EXPECT_EQ(pool->alloc(request).code(), ENOSPC);
    for (const Slot& slot : slots) {
        EXPECT_EQ(slot.gpa.value / request.boundary, (slot.gpa.value + request.bytes - 1) / request.boundary);
        EXPECT_TRUE(pool->free(slot, kStreaming));
    }
    request.bytes = 600 * kKiB;
    EXPECT_EQ(pool->alloc(request).code(), E2BIG);
    request.boundary = 0;
    EXPECT_TRUE(pool->alloc(request));
}

TEST(Pool, AMaskLeavesOutWhatLiesAbove) {
    // 1 MiB below 4 GiB, 1 MiB above, in one region; and a second one far above.
    const auto pool = make_pool(2 * kMiB, 4 * kGiB - kMiB);
    ASSERT_TRUE(pool->add_region(region_config(4 * kMiB, 64 * kGiB)));
    AllocRequest request = request_of(1500);
    request.max_address = 4 * kGiB - 1;
    std::vector<Slot> slots;
    for (;;) {
        auto slot = pool->alloc(request);
        if (!slot) {
            EXPECT_EQ(slot.code(), ENOSPC);
            break;
        }
        ASSERT_LE(slot->gpa.value + request.bytes - 1, request.max_address);
        slots.push_back(*slot);
    }
    EXPECT_GE(slots.size() * request.bytes, kMiB * 83 / 100);
    auto above = pool->alloc(request_of(1500));
    ASSERT_TRUE(above) << last_error();
    ASSERT_TRUE(pool->free(*above, kStreaming));
    for (const Slot& slot : slots) ASSERT_TRUE(pool->free(slot, kStreaming));

    // Runs, alignment, and what only just fits.
    request.bytes = kMiB;
    auto all = pool->alloc(request);
    ASSERT_TRUE(all) << last_error();
    EXPECT_EQ(all->gpa.value, 4 * kGiB - kMiB);
    EXPECT_EQ(pool->alloc(request).code(), ENOSPC);
    ASSERT_TRUE(pool->free(*all, kStreaming));
    request.bytes = kMiB + 1;
    EXPECT_EQ(pool->alloc(request).code(), ERANGE);
    request.bytes = 8 * kMiB;
    EXPECT_EQ(pool->alloc(request).code(), E2BIG);
    request.bytes = 64;
    request.max_address = 3 * kGiB;
    EXPECT_EQ(pool->alloc(request).code(), ERANGE);
    request.max_address = 64 * kGiB + 100;
    request.align = 2 * kMiB;
    auto first = pool->alloc(request);
    ASSERT_TRUE(first) << last_error();
    EXPECT_EQ(first->gpa.value, 4 * kGiB);
    auto second = pool->alloc(request);
    ASSERT_TRUE(second) << last_error();
    EXPECT_EQ(second->gpa.value, 64 * kGiB);
    EXPECT_EQ(pool->alloc(request).code(), ENOSPC);
}

TEST(Pool, FreeErrorsAreDistinctAndChangeNothing) {
    const auto pool = make_pool(4 * kMiB);
    for (const std::uint64_t bytes : {std::uint64_t{200}, std::uint64_t{4096}, 256 * kKiB}) {
        auto slot = pool->alloc(request_of(bytes, 1, SlotKind::kCoherent));
        ASSERT_TRUE(slot);
        const PoolStats before = pool->stats();
        EXPECT_EQ(pool->free(*slot, kStreaming).code(), EPERM);
        EXPECT_EQ(pool->free(*slot, static_cast<SlotKind>(0)).code(), EINVAL);
        Slot wrong = *slot;
        wrong.gpa = wrong.gpa + 8;
        EXPECT_EQ(pool->free(wrong, SlotKind::kCoherent).code(), EFAULT);
        wrong = *slot;
        wrong.gpa = Gpa{0};
        EXPECT_EQ(pool->free(wrong, SlotKind::kCoherent).code(), EFAULT);
        wrong = *slot;
        wrong.handle = SlotHandle(RegionId{1}, slot->handle.index(), slot->handle.generation());
        EXPECT_EQ(pool->free(wrong, SlotKind::kCoherent).code(), EFAULT);
        wrong = *slot;
        wrong.handle = slot->handle.next();
        EXPECT_EQ(pool->free(wrong, SlotKind::kCoherent).code(), ESTALE);
        wrong.handle = SlotHandle(slot->handle.bits() ^ std::uint32_t{2} << SlotHandle::kBirthShift);
        EXPECT_EQ(pool->free(wrong, SlotKind::kCoherent).code(), ESTALE);
        EXPECT_EQ(pool->stats().used_bytes, before.used_bytes);
        EXPECT_EQ(pool->stats().slots, before.slots);

        EXPECT_TRUE(pool->check(*slot, SlotKind::kCoherent, bytes));
        EXPECT_EQ(pool->check(*slot, SlotKind::kCoherent, 4 * kMiB).code(), EFAULT);
        EXPECT_EQ(pool->check(*slot, SlotKind::kBuffer).code(), EPERM);
        ASSERT_TRUE(pool->free(*slot, SlotKind::kCoherent));
        EXPECT_EQ(pool->free(*slot, SlotKind::kCoherent).code(), EALREADY);
        EXPECT_EQ(pool->check(*slot, SlotKind::kCoherent).code(), EALREADY);
        auto next = pool->alloc(request_of(bytes, 1, SlotKind::kCoherent));
        ASSERT_TRUE(next);
        ASSERT_EQ(next->gpa, slot->gpa);
        EXPECT_EQ(pool->free(*slot, SlotKind::kCoherent).code(), ESTALE);
        EXPECT_TRUE(pool->free(*next, SlotKind::kCoherent));
    }
}

TEST(Pool, BeginFreeAlsoChecksAddressAndLength) {
    const auto pool = make_pool(4 * kMiB);
    for (const std::uint64_t bytes : {std::uint64_t{4096}, 64 * kKiB}) {
        auto slot = pool->alloc(request_of(bytes));
        ASSERT_TRUE(slot);
        Slot wrong = *slot;
        wrong.hva += 64;
        Pool::Ending ending;
        EXPECT_EQ(pool->begin_free(wrong, kStreaming, bytes, ending).code(), EFAULT);
        EXPECT_EQ(pool->begin_free(*slot, kStreaming, bytes + 1, ending).code(), EFAULT);
        EXPECT_TRUE(pool->check(*slot, kStreaming, bytes));
        ASSERT_TRUE(pool->begin_free(*slot, kStreaming, bytes, ending));
        EXPECT_EQ(pool->begin_free(*slot, kStreaming, bytes, ending).code(), EALREADY);
        EXPECT_NE(pool->stats().used_bytes, 0U);
        pool->finish_free(ending);
        EXPECT_EQ(pool->stats().used_bytes, 0U);
    }
}

TEST(Pool, FindInSlot) {
    const auto pool = make_pool(4 * kMiB);
    auto slot = pool->alloc(request_of(3000, 1, SlotKind::kBuffer));
    ASSERT_TRUE(slot);
    auto gpa = pool->find_in_slot(slot->hva + 100, 2900, SlotKind::kBuffer);
    ASSERT_TRUE(gpa) << last_error();
    EXPECT_EQ(*gpa, slot->gpa + 100);
    EXPECT_EQ(pool->find_in_slot(slot->hva + 100, 3000, SlotKind::kBuffer).code(), EFAULT);
    EXPECT_EQ(pool->find_in_slot(slot->hva, 1, SlotKind::kCoherent).code(), EPERM);
    const int private_memory = 0;
    EXPECT_EQ(pool->find_in_slot(&private_memory, 1, SlotKind::kBuffer).code(), EFAULT);
    ASSERT_TRUE(pool->free(*slot, SlotKind::kBuffer));
    EXPECT_EQ(pool->find_in_slot(slot->hva, 1, SlotKind::kBuffer).code(), EFAULT);
}

TEST(Pool, TranslationStaysInsideOneRegion) {
    const auto pool = make_pool(kMiB, 0);
    ASSERT_TRUE(pool->add_region(region_config(kMiB, kMiB)));
    EXPECT_TRUE(pool->to_hva(Gpa{0}, 2 * kMiB - kMiB));
    EXPECT_EQ(pool->to_hva(Gpa{kMiB - 1}, 2).code(), EFAULT);
    EXPECT_EQ(pool->to_hva(Gpa{2 * kMiB}, 1).code(), EFAULT);
    EXPECT_EQ(pool->to_hva(Gpa{100}, ~std::uint64_t{0}).code(), EFAULT);
    const int private_memory = 0;
    EXPECT_EQ(pool->to_gpa(&private_memory, 1).code(), EFAULT);
    EXPECT_EQ(pool->to_gpa(nullptr, 1).code(), EFAULT);
}

TEST(Pool, StatsCountByKind) {
    const auto pool = make_pool(4 * kMiB);
    std::vector<std::pair<Slot, SlotKind>> slots;
    for (unsigned kind = 1; kind <= 3; ++kind) {
        for (unsigned i = 0; i < kind; ++i) {
            auto small = pool->alloc(request_of(100, 1, static_cast<SlotKind>(kind)));
            auto run = pool->alloc(request_of(100 * kKiB, 1, static_cast<SlotKind>(kind)));
            ASSERT_TRUE(small && run);
            slots.emplace_back(*small, static_cast<SlotKind>(kind));
            slots.emplace_back(*run, static_cast<SlotKind>(kind));
        }
    }
    PoolStats stats = pool->stats();
    EXPECT_EQ(stats.bytes, 4 * kMiB);
    EXPECT_EQ(stats.slots, 12U);
    for (unsigned kind = 1; kind <= 3; ++kind) {
        EXPECT_EQ(stats.slots_of_kind[kind], 2U * kind);
        EXPECT_EQ(stats.allocs_of_kind[kind], 2U * kind);
    }
    EXPECT_EQ(stats.used_bytes, 6U * (104 + 100 * kKiB));
    for (const auto& [slot, kind] : slots) ASSERT_TRUE(pool->free(slot, kind));
    stats = pool->stats();
    EXPECT_EQ(stats.slots, 0U);
    EXPECT_EQ(stats.used_bytes, 0U);
    EXPECT_EQ(stats.used_bytes_hiwater, 6U * (104 + 100 * kKiB));
    EXPECT_EQ(stats.allocs_of_kind[3], 6U);
}

TEST(Pool, UsersAndLending) {
    const auto pool = make_pool(kMiB);
    EXPECT_EQ(pool->users(), 0U);
    pool->add_user();
    pool->add_user();
    EXPECT_EQ(pool->users(), 2U);
    pool->drop_user();
    EXPECT_EQ(pool->users(), 1U);
    EXPECT_TRUE(pool->lend());
    EXPECT_EQ(pool->lend().code(), EBUSY);
    pool->take_back();
    EXPECT_TRUE(pool->lend());
    EXPECT_TRUE(pool->alive());
}

// Who has the memory sees the regions that were there; what comes later is used once it is shown.
TEST(Pool, RegionsThatComeWhileItIsLentAreNotUsed) {
    const auto pool = make_pool(kMiB);
    ASSERT_TRUE(pool->lend());
    ASSERT_TRUE(pool->add_region(region_config(4 * kMiB, 8 * kGiB))) << last_error();
    EXPECT_EQ(pool->regions(), 2U);
    EXPECT_EQ(pool->usable_regions(), 1U);
    EXPECT_EQ(pool->alloc(request_of(2 * kMiB)).code(), E2BIG) << last_error();
    auto first = pool->alloc(request_of(kMiB));
    ASSERT_TRUE(first) << last_error();
    EXPECT_EQ(pool->alloc(request_of(64)).code(), ENOSPC) << last_error();
    pool->use_regions(3);
    auto second = pool->alloc(request_of(2 * kMiB));
    ASSERT_TRUE(second) << last_error();
    EXPECT_EQ(second->region().value, 1U);
    ASSERT_TRUE(pool->add_region(region_config(kMiB, 16 * kGiB))) << last_error();
    EXPECT_EQ(pool->usable_regions(), 2U);
    pool->take_back();
    EXPECT_EQ(pool->usable_regions(), 3U);
    EXPECT_TRUE(pool->free(*first, SlotKind::kStreaming));
    EXPECT_TRUE(pool->free(*second, SlotKind::kStreaming));
}

TEST(Pool, ForgetsWhatNobodyHas) {
    const auto pool = make_pool(kMiB);
    const auto forgets = [&pool] {
        const std::uint32_t before = pool->region(RegionId{0}).epoch();
        EXPECT_TRUE(pool->forget()) << last_error();
        return pool->region(RegionId{0}).epoch() != before;
    };
    EXPECT_FALSE(forgets());  // there is nothing
    pool->add_user();
    auto slot = pool->alloc(request_of(64));
    ASSERT_TRUE(slot);
    slot->hva[0] = std::byte{1};
    EXPECT_FALSE(forgets());  // somebody has something
    ASSERT_TRUE(pool->free(*slot, SlotKind::kStreaming));
    pool->drop_user();
    EXPECT_TRUE(forgets());
    EXPECT_EQ(slot->hva[0], std::byte{0});
    EXPECT_FALSE(forgets());  // once is enough
    // What is written after a renewal that was for another reason.
    auto late = pool->alloc(request_of(64));
    ASSERT_TRUE(late && pool->renew());
    late->hva[0] = std::byte{2};
    ASSERT_TRUE(pool->free(*late, SlotKind::kStreaming));
    EXPECT_TRUE(forgets());
    EXPECT_EQ(late->hva[0], std::byte{0});
}

TEST(Pool, ForgetsItsOwnAlsoBesideImportedMemory) {
    const auto pool = make_pool(kMiB);
    std::vector<std::byte> memory(2 * kMiB);
    RegionConfig imported = region_config(kMiB, 8 * kGiB);
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    imported.imported_hva = memory.data() + (4096 - address % 4096);
    ASSERT_TRUE(pool->add_region(imported)) << last_error();
    auto slot = pool->alloc(request_of(64));
    ASSERT_TRUE(slot);
    ASSERT_EQ(slot->region().value, 0U);
    slot->hva[0] = std::byte{3};
    ASSERT_TRUE(pool->free(*slot, SlotKind::kStreaming));
    ASSERT_TRUE(pool->forget()) << last_error();
    EXPECT_EQ(slot->hva[0], std::byte{0});
}

TEST(Pool, WhatWasWrittenOffIsRenewedOrRetired) {
    const auto pool = make_pool(kMiB);
    ASSERT_TRUE(pool->lend());
    const std::uint32_t epoch = pool->region(RegionId{0}).epoch();
    pool->write_off();
    pool->take_back();
    EXPECT_FALSE(pool->lent());
    EXPECT_GT(pool->region(RegionId{0}).epoch(), epoch);
    EXPECT_TRUE(pool->lend()) << last_error();
    // Memory of the caller's cannot be renewed. Before it was shown there is no reason to give it up.
    std::vector<std::byte> memory(2 * kMiB);
    RegionConfig imported = region_config(kMiB, 8 * kGiB);
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    imported.imported_hva = memory.data() + (4096 - address % 4096);
    ASSERT_TRUE(pool->add_region(imported)) << last_error();
    EXPECT_EQ(pool->usable_regions(), 1U);
    pool->write_off();
    pool->take_back();
    EXPECT_EQ(pool->usable_regions(), 2U);
    ASSERT_TRUE(pool->lend()) << last_error();
    pool->write_off();
    pool->take_back();
    EXPECT_EQ(pool->usable_regions(), 1U);
    EXPECT_EQ(pool->status(RegionId{1}).stage, RegionStage::kDraining);
    EXPECT_TRUE(pool->renew()) << last_error();
    ASSERT_TRUE(pool->lend()) << last_error();
    EXPECT_EQ(pool->usable(), RegionMask{1});
    pool->take_back();
    EXPECT_TRUE(pool->remove_region(RegionId{1})) << last_error();
}

// What was not found for a whole class says nothing of what has an alignment of its own, and fits elsewhere.
TEST(Pool, AFullClassDoesNotHideASlotThatLiesRight) {
    const auto pool = make_pool(64 * kKiB);
    std::vector<Slot> slots;
    for (;;) {
        auto slot = pool->alloc(request_of(64));
        if (!slot) break;
        slots.push_back(*slot);
    }
    for (Slot& slot : slots) {
        if (slot.gpa.value % 4096 == 0) {
            ASSERT_TRUE(pool->free(slot, SlotKind::kStreaming));
            std::swap(slot, slots.back());
            slots.pop_back();
            break;
        }
    }
    for (int round = 0; round < 3; ++round) {
        EXPECT_EQ(pool->alloc(request_of(4096)).code(), ENOSPC);
        auto aligned = pool->alloc(request_of(64, 4096));
        ASSERT_TRUE(aligned) << last_error();
        EXPECT_TRUE(pool->free(*aligned, SlotKind::kStreaming));
    }
    for (const Slot& slot : slots) EXPECT_TRUE(pool->free(slot, SlotKind::kStreaming));
}

TEST(Pool, ABadFirstRegionMakesNoPool) {
    EXPECT_EQ(Pool::create(region_config(100, 0)).code(), EINVAL);
    EXPECT_NE(std::string(last_error()).find("100"), std::string::npos);
}

}  // namespace
}  // namespace bounce
