// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tests/unit/api/dma/device_fixture.hpp"

namespace bounce {
namespace {

constexpr auto kTo = Direction::kToDevice;
constexpr auto kFrom = Direction::kFromDevice;
constexpr auto kBoth = Direction::kBidirectional;

// The rules of semantics: who may sync a mapping in which direction, and what is copied then.
struct Rule {
    Direction mapped;
    Direction synced;
    int error;
    bool cpu_copies;     // sync_for_cpu brings the slot's content
    bool device_copies;  // sync_for_device brings the private content
};
constexpr Rule kRules[] = {
    {kTo, kTo, 0, false, true},     {kTo, kFrom, EPERM, false, false}, {kTo, kBoth, EPERM, false, false},
    {kFrom, kFrom, 0, true, false}, {kFrom, kTo, EPERM, false, false}, {kFrom, kBoth, EPERM, false, false},
    {kBoth, kBoth, 0, true, true},  {kBoth, kTo, 0, false, true},      {kBoth, kFrom, 0, true, false},
};

class Sync : public DeviceTest {
protected:
    /// Maps "private!" without a copy, puts "in slot!" into the slot.
    void start(Direction direction) {
        text_ = "private!";
        ASSERT_TRUE(device_->map(text_.data(), text_.size(), direction, BOUNCE_MAP_SKIP_SYNC, token_));
        write(token_, "in slot!");
    }
    void stop() { EXPECT_TRUE(device_->unmap(token_, 0)); }

    std::string text_;
    bounce_mapping token_{};
};

TEST_F(Sync, EveryDirection) {
    for (const Rule& rule : kRules) {
        SCOPED_TRACE(testing::Message() << "mapped " << int{static_cast<std::uint8_t>(rule.mapped)} << " synced "
                                        << int{static_cast<std::uint8_t>(rule.synced)});
        start(rule.mapped);
        EXPECT_EQ(device_->sync_for_cpu(token_, 0, 8, rule.synced).code(), rule.error);
        EXPECT_EQ(text_, rule.cpu_copies ? "in slot!" : "private!");
        EXPECT_EQ(seen(token_), "in slot!");
        stop();
        start(rule.mapped);
        EXPECT_EQ(device_->sync_for_device(token_, 0, 8, rule.synced).code(), rule.error);
        EXPECT_EQ(seen(token_), rule.device_copies ? "private!" : "in slot!");
        EXPECT_EQ(text_, "private!");
        stop();
    }
}

TEST_F(Sync, PartOfAMapping) {
    start(kBoth);
    ASSERT_TRUE(device_->sync_for_cpu(token_, 3, 4, kBoth));
    EXPECT_EQ(text_, "prislot!");
    text_ = "private!";
    ASSERT_TRUE(device_->sync_for_device(token_, 7, 1, kBoth));
    ASSERT_TRUE(device_->sync_for_device(token_, 0, 1, kBoth));
    EXPECT_EQ(seen(token_), "pn slot!");
    stop();
}

TEST_F(Sync, ARangeOutsideOfTheMappingIsAnError) {
    start(kBoth);
    for (const auto& [offset, bytes] : std::vector<std::pair<std::size_t, std::size_t>>{
             {0, 9}, {8, 1}, {7, 2}, {SIZE_MAX, 1}, {1, SIZE_MAX}, {SIZE_MAX, SIZE_MAX}, {0, 0}, {9, 0}}) {
        EXPECT_EQ(device_->sync_for_cpu(token_, offset, bytes, kBoth).code(), EINVAL) << offset << "," << bytes;
        EXPECT_EQ(device_->sync_for_device(token_, offset, bytes, kBoth).code(), EINVAL) << offset << "," << bytes;
    }
    EXPECT_EQ(text_, "private!");
    EXPECT_EQ(seen(token_), "in slot!");
    stop();
}

TEST_F(Sync, ADeadTokenIsAnError) {
    bounce_mapping never{};
    EXPECT_EQ(device_->sync_for_cpu(never, 0, 1, kBoth).code(), EALREADY);
    start(kBoth);
    const bounce_mapping copy = token_;
    stop();
    EXPECT_EQ(device_->sync_for_cpu(token_, 0, 1, kBoth).code(), EALREADY);
    const int of_copy = device_->sync_for_device(copy, 0, 1, kBoth).code();
    EXPECT_TRUE(of_copy == ESTALE || of_copy == EALREADY) << of_copy;
}

TEST_F(Sync, AReceiveBufferIsRecycled) {
    std::string buffer(4, '\0');
    bounce_mapping token;
    ASSERT_TRUE(device_->map(buffer.data(), 4, kFrom, 0, token));
    for (const char* packet : {"one.", "two.", "six."}) {
        write(token, packet);
        ASSERT_TRUE(device_->sync_for_cpu(token, 0, 4, kFrom));
        EXPECT_EQ(buffer, packet);
        ASSERT_TRUE(device_->sync_for_device(token, 0, 4, kFrom));
    }
    ASSERT_TRUE(device_->unmap(token, 0));
}

}  // namespace
}  // namespace bounce
