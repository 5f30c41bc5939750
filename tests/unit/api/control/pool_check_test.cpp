// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Each kind of damage that the audit looks for is planted, and found; and is no longer when it was mended.
#include <bit>
#include <cerrno>

#include "allocator/slab/page_entry.hpp"
#include "tests/unit/api/control/control_fixture.hpp"

namespace bounce {

/// Reaches into a pool.
class PoolFault {
public:
    explicit PoolFault(Pool& pool) noexcept : pool_(pool) {}

    /// Of the page of an address.
    std::atomic<std::uint32_t>& entry(Gpa gpa) noexcept {
        const auto& view = pool_.views_[0];
        return const_cast<std::atomic<std::uint32_t>&>(view.entries[(gpa - view.first_gpa) / kPageBytes]);
    }
    std::atomic<std::uint8_t>& state(std::uint64_t place) noexcept { return pool_.views_[0].states[place]; }
    Usage& usage() noexcept { return pool_.usage_; }
    HeldTotal& held() noexcept { return pool_.held_total_; }
    std::atomic<std::int64_t>& promised() noexcept { return pool_.promised_; }

private:
    Pool& pool_;
};

namespace {

class PoolCheckTest : public ControlTest {
protected:
    PoolCheckTest() { expect_clean(); }
    ~PoolCheckTest() override {
        expect_clean();  // what was planted has been mended
    }
    std::vector<std::string> problems() {
        std::vector<std::string> all;
        for (const auto& problem : ask_all<bounce_control_problem>(BOUNCE_CONTROL_CHECK))
            all.emplace_back(problem.text);
        return all;
    }
    bool finds(const std::string& text) {
        const auto all = problems();
        return std::any_of(all.begin(), all.end(),
                           [&text](const std::string& each) { return each.find(text) != std::string::npos; });
    }
    std::uint32_t change(Gpa gpa, std::uint32_t mask, std::uint32_t bits) {
        return fault_.entry(gpa).exchange((fault_.entry(gpa).load() & ~mask) | bits);
    }
    bounce_mapping map(std::size_t bytes) {
        bounce_mapping mapping{};
        EXPECT_TRUE(device_->map(buffer_.data(), bytes, Direction::kToDevice, 0, mapping)) << last_error();
        return mapping;
    }

    PoolFault fault_{*pool_};
    std::vector<char> buffer_ = std::vector<char>(1u << 20);
};

constexpr std::uint32_t kLengthMask = PageEntry::kLongRun << PageEntry::kLengthShift;
constexpr std::uint32_t kClassMask = std::uint32_t{127} << SlotHandle::kClassShift;

TEST_F(PoolCheckTest, ARunThatEndsBeyondItsRegion) {
    // The last pages of the region: whatever is free before goes first.
    std::vector<bounce_mapping> all;
    bounce_mapping last{};
    for (bounce_mapping one{}; device_->map(buffer_.data(), 64 << 10, Direction::kToDevice, 0, one);) {
        all.push_back(one);
        if (one.addr > last.addr) last = one;
    }
    ASSERT_GT(last.addr, kBase + (3u << 20));
    const std::uint32_t before = change(Gpa{last.addr}, kLengthMask, 600U << PageEntry::kLengthShift);
    EXPECT_TRUE(finds("ends beyond its region"));
    fault_.entry(Gpa{last.addr}).store(before);
    for (auto& one : all) ASSERT_TRUE(device_->unmap(one, 0)) << last_error();
}

TEST_F(PoolCheckTest, ASlabOfNoSizeClass) {
    bounce_mapping mapping = map(4096);
    const Gpa head = pool_->region(RegionId{0}).address() + PoolAudit(*pool_).next(RegionId{0}, 0, 4u << 20).offset;
    const std::uint32_t before = change(head, kClassMask, 120U << SlotHandle::kClassShift);
    EXPECT_TRUE(finds("a size class that there is not"));
    // Others who walk there are not led astray.
    EXPECT_EQ(ask(BOUNCE_CONTROL_PUBLISH).head.status, 0);
    EXPECT_EQ(ask(BOUNCE_CONTROL_HELD).head.status, 0);
    EXPECT_EQ(ask(BOUNCE_CONTROL_CHUNKS).head.status, 0);
    fault_.entry(head).store(before);
    ASSERT_TRUE(device_->unmap(mapping, 0));
}

TEST_F(PoolCheckTest, ASlotThatItsAddressDoesNotLeadTo) {
    // All slots of a slab of several pages.
    std::vector<bounce_mapping> all(200);
    for (auto& one : all) one = map(4096);
    PoolAudit::Extent extent{};
    for (std::uint64_t at = 0; extent.pages < 2 || PoolAudit(*pool_).out(RegionId{0}, extent) != extent.slots;) {
        extent = PoolAudit(*pool_).next(RegionId{0}, at, 4u << 20);
        ASSERT_NE(extent.pages, 0U) << "no slab of two pages that is full";
        at = extent.offset + extent.pages * kPageBytes;
    }
    const Gpa tail = pool_->region(RegionId{0}).address() + extent.offset + (extent.pages - 1) * kPageBytes;
    const std::uint32_t before = change(tail, PageEntry::kMaxDistance, 0);
    EXPECT_TRUE(finds("not found by its address"));
    fault_.entry(tail).store(before);
    for (auto& one : all) ASSERT_TRUE(device_->unmap(one, 0));
}

TEST_F(PoolCheckTest, ASlotAtHomeThatIsHandedOut) {
    bounce_mapping mapping = map(64);  // of a slab with many
    const PoolAudit audit(*pool_);
    const PoolAudit::Extent extent = audit.next(RegionId{0}, 0, 4u << 20);
    std::uint32_t slot = 0;
    while (slot < extent.slots && audit.slot(RegionId{0}, extent, slot).out) ++slot;
    ASSERT_LT(slot, extent.slots);
    std::atomic<std::uint8_t>& state = fault_.state(audit.slot(RegionId{0}, extent, slot).place);
    state.fetch_or(2U << 6);
    EXPECT_TRUE(finds("its state says that it is handed out"));
    state.fetch_and(0x3f);
    ASSERT_TRUE(device_->unmap(mapping, 0));
}

TEST_F(PoolCheckTest, BytesThatAreAwayAndInNoSlot) {
    bounce_mapping mapping = map(4096);
    fault_.usage().add(4096);
    EXPECT_TRUE(finds("add up to other bytes"));
    fault_.usage().subtract(4096);
    ASSERT_TRUE(device_->unmap(mapping, 0));
}

TEST_F(PoolCheckTest, MoreUsedThanThereIs) {
    fault_.usage().add(64u << 20);
    EXPECT_TRUE(finds("more bytes are used than the pool has"));
    fault_.usage().subtract(64u << 20);
}

TEST_F(PoolCheckTest, AQuarantineOfNoSlot) {
    bounce_mapping mapping = map(4096);
    fault_.held().bytes.fetch_add(16u << 20);
    EXPECT_TRUE(finds("bytes of no slot are in quarantine"));
    EXPECT_TRUE(finds("used, kept and quarantined bytes are not what is away"));
    fault_.held().bytes.fetch_sub(16u << 20);
    ASSERT_TRUE(device_->unmap(mapping, 0));
}

TEST_F(PoolCheckTest, MorePromisedThanFloors) {
    ASSERT_TRUE(device_->set_quota(1u << 20, 0)) << last_error();
    fault_.promised().fetch_add(1u << 20);
    EXPECT_TRUE(finds("more is promised than all floors together"));
    fault_.promised().fetch_sub(1u << 20);
    ASSERT_TRUE(device_->set_quota(0, 0));
}

}  // namespace
}  // namespace bounce
