// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/control/tunables.hpp"

#include <algorithm>
#include <map>
#include <random>

#include "allocator/pool/pool_tuning.hpp"
#include "api/dma/debug.hpp"
#include "tests/unit/api/control/control_fixture.hpp"

namespace bounce {
namespace {

class TunablesTest : public ControlTest {
protected:
    TunablesTest() : ControlTest(4u << 20, growth()) {}
    static GrowthConfig growth() {
        GrowthConfig config;
        config.limit_bytes = 64u << 20;
        return config;
    }
};

TEST_F(TunablesTest, EachHasARangeThatItsValueIsIn) {
    std::map<std::string, int> names;
    for (const auto& one : ask_all<bounce_control_tunable>(BOUNCE_CONTROL_TUNABLES)) {
        SCOPED_TRACE(one.name);
        EXPECT_EQ(++names[one.name], 1);
        EXPECT_LE(one.least, one.most);
        EXPECT_GE(one.value, one.least);
        EXPECT_LE(one.value, one.most);
        EXPECT_GE(one.initial, one.least);
        EXPECT_LE(one.initial, one.most);
        EXPECT_STRNE(one.help, "");
        EXPECT_LT(std::strlen(one.help), sizeof one.help - 1) << "cut off";
        if (one.choices[0] == '\0') continue;
        const std::string choices = one.choices;
        EXPECT_EQ(static_cast<std::uint64_t>(std::count(choices.begin(), choices.end(), ',')), one.most);
    }
    EXPECT_GE(names.size(), 20U);
}

TEST_F(TunablesTest, WhatIsOutOfRangeIsRefusedWithTheRange) {
    const Answer answer = set({item("stats.publish_ms", 9)});
    EXPECT_EQ(answer.head.status, -ERANGE);
    EXPECT_NE(answer.error.find("10 to 60000"), std::string::npos) << answer.error;
    EXPECT_EQ(set({item("pool.nothing", 1)}).head.status, -ENOENT);
    EXPECT_EQ(set({item("device.999999.priority", 1)}).head.status, -ENOENT);
    EXPECT_EQ(set({item("device.x.priority", 1)}).head.status, -ENOENT);
    EXPECT_EQ(set({item("pool.checks", 0)}).head.status, -EPERM);
    EXPECT_EQ(set({}).head.status, -EINVAL);
}

TEST_F(TunablesTest, SeveralAreSetTogetherOrNotAtAll) {
    ASSERT_EQ(set({item("pool.low_watermark", 1u << 20), item("pool.high_watermark", 2u << 20)}).head.status, 0);
    EXPECT_EQ(value_of("pool.low_watermark"), 1u << 20);
    // They have to fit each other.
    EXPECT_EQ(set({item("pool.shrink_delay_ms", 5), item("pool.low_watermark", 3u << 20)}).head.status, -EINVAL);
    EXPECT_EQ(value_of("pool.shrink_delay_ms"), 0U);
    // The last one cannot be had: a floor beyond the pool's memory, seen only when it is applied.
    const Answer answer = set({item("pool.reserve_bytes", 1u << 20), item(of_device("ceiling_bytes"), 32u << 20),
                               item(of_device("floor_bytes"), 4u << 20)});
    EXPECT_EQ(answer.head.status, -ENOSPC) << answer.error;
    EXPECT_EQ(value_of("pool.reserve_bytes"), 0U);
    EXPECT_EQ(value_of(of_device("ceiling_bytes")), 0U);
    EXPECT_EQ(value_of(of_device("floor_bytes")), 0U);
    EXPECT_EQ(set({item(of_device("floor_bytes"), 2u << 20), item(of_device("ceiling_bytes"), 1u << 20)}).head.status,
              -EINVAL);
}

TEST_F(TunablesTest, ADryRunChangesNothing) {
    ASSERT_EQ(set({item("stats.publish_ms", 99)}, true).head.status, 0);
    EXPECT_EQ(value_of("stats.publish_ms"), 250U);
    EXPECT_EQ(set({item("stats.publish_ms", 9)}, true).head.status, -ERANGE);
}

TEST_F(TunablesTest, ThePoolDoesWhatIsSet) {
    ASSERT_EQ(set({item("pool.limit_bytes", 8u << 20)}).head.status, 0);
    EXPECT_EQ(PoolTuning(*pool_).growth().limit_bytes, 8u << 20);
    ASSERT_EQ(set({item("pool.limit_bytes", 64u << 20)}).head.status, 0);
    EXPECT_EQ(set({item("pool.limit_bytes", 65u << 20)}).head.status, -ERANGE);
    ASSERT_EQ(set({item("pool.reserve_bytes", 1u << 20)}).head.status, 0);
    EXPECT_EQ(pool_->reserve().reserve, 1u << 20);
    ASSERT_EQ(set({item(of_device("ceiling_bytes"), 1u << 20), item(of_device("priority"), 1)}).head.status, 0);
    EXPECT_EQ(device_->quota().ceiling, 1u << 20);
    EXPECT_TRUE(device_->quota().priority);
    ASSERT_EQ(set({item(of_device("copy_policy"), 1), item(of_device("reuse_policy"), 3)}).head.status, 0);
    EXPECT_EQ(device_->copy_policy(), CopyPolicy::kMemcpy);
    EXPECT_EQ(device_->reuse_policy(), ReusePolicy::kFifo);
    ASSERT_EQ(set({item(of_device("reuse_policy"), 1)}).head.status, 0);
    EXPECT_EQ(device_->reuse_policy(), ReusePolicy::kLifo);
    // A lowered limit is kept to.
    std::vector<char> buffer(1u << 20);
    ASSERT_EQ(
        set({item(of_device("ceiling_bytes"), 0), item("pool.reserve_bytes", 0), item("pool.limit_bytes", 6u << 20)})
            .head.status,
        0);
    for (int i = 0; i < 20; ++i) static_cast<void>(pool_->service());
    EXPECT_LE(pool_->stats().bytes, 6u << 20);
}

TEST_F(TunablesTest, NewDevicesAreTaggedToo) {
    ASSERT_EQ(set({item("who.tags", 1)}).head.status, 0);
    auto later = make("blk0");
    EXPECT_TRUE(later->observed());
    ASSERT_EQ(set({item("who.tags", 0)}).head.status, 0);
    EXPECT_FALSE(later->observed());
    EXPECT_FALSE(make("blk1")->observed());
}

// A scrub policy holds for what is mapped from then on, also for maps that wait, and ends as it began.
TEST_F(TunablesTest, ScrubbingIsLive) {
    std::vector<char> buffer(3000, 'x');
    const auto tail_of = [&](bounce_mapping& mapping) { return static_cast<char*>(mapping.slot)[3000]; };
    const auto dirty = [&] {  // the tail of a slot that will be used again
        bounce_mapping mapping;
        EXPECT_TRUE(device_->map(buffer.data(), 3000, Direction::kToDevice, 0, mapping)) << last_error();
        static_cast<char*>(mapping.slot)[3000] = 'd';
        return mapping;
    };
    bounce_mapping before = dirty();
    ASSERT_EQ(set({item(of_device("scrub_at_unmap"), 2)}).head.status, 0);
    bounce_mapping after = dirty();
    const char* const of_before = static_cast<char*>(before.slot);
    const char* const of_after = static_cast<char*>(after.slot);
    ASSERT_TRUE(device_->unmap(before, 0));
    ASSERT_TRUE(device_->unmap(after, 0));
    EXPECT_EQ(of_before[0], 'x') << "it was mapped before";
    EXPECT_EQ(of_after[0], 0);
    EXPECT_EQ(of_after[3000], 0);
    ASSERT_EQ(set({item(of_device("scrub_at_unmap"), 0)}).head.status, 0);
    before = dirty();
    ASSERT_TRUE(device_->unmap(before, 0));
    ASSERT_EQ(set({item(of_device("scrub_at_map"), 1)}).head.status, 0);
    bounce_mapping mapping;
    ASSERT_TRUE(device_->map(buffer.data(), 3000, Direction::kToDevice, 0, mapping)) << last_error();
    EXPECT_EQ(tail_of(mapping), 0);
    static_cast<char*>(mapping.slot)[3000] = 'd';
    ASSERT_TRUE(device_->unmap(mapping, 0));
    ASSERT_TRUE(device_->map_wait({buffer.data(), 3000, Direction::kToDevice, 0}, 0, mapping)) << last_error();
    EXPECT_EQ(tail_of(mapping), 0);
    static_cast<char*>(mapping.slot)[3000] = 'd';
    ASSERT_TRUE(device_->unmap(mapping, 0));
    ASSERT_EQ(set({item(of_device("scrub_at_map"), 0)}).head.status, 0);
    ASSERT_TRUE(device_->map(buffer.data(), 3000, Direction::kToDevice, 0, mapping)) << last_error();
    EXPECT_EQ(tail_of(mapping), 'd');
    ASSERT_TRUE(device_->unmap(mapping, 0));
}

TEST_F(TunablesTest, NumaPolicyAndDebugSampleAreLive) {
    ASSERT_EQ(set({item(of_device("numa_policy"), 2)}).head.status, 0);
    EXPECT_EQ(device_->numa().policy, NumaPolicy::kInterleave);
    EXPECT_EQ(set({item(of_device("debug_sample"), 2)}).head.status, -EPERM);
    const DebugConfig debugged;
    auto device = Device::create(*pool_, callbacks_, {.name = "debugged", .debug = &debugged});
    ASSERT_TRUE(device) << last_error();
    const std::string name = "device." + std::to_string((*device)->id()) + ".debug_sample";
    EXPECT_EQ(value_of(name), 1U);
    EXPECT_EQ(set({item(name, 0)}).head.status, -ERANGE);
    ASSERT_EQ(set({item(name, 1000)}).head.status, 0);
    EXPECT_EQ((*device)->debug()->sample(), 1000U);
    EXPECT_EQ(value_of(of_device("bounce_policy")), 2U);
    EXPECT_EQ(set({item(of_device("bounce_policy"), 1)}).head.status, -EPERM);
}

TEST_F(TunablesTest, AReadOnlyControlSetsNothing) {
    requests_->settings().read_only = true;
    EXPECT_EQ(set({item("stats.publish_ms", 99)}).head.status, -EPERM);
    EXPECT_EQ(set({item("stats.publish_ms", 99)}, true).head.status, 0);
}

// A thousand settings from the whole of the ranges, while mappings come and go.
TEST_F(TunablesTest, AnySettingLeavesThePoolRight) {
    std::mt19937_64 random(3);
    std::vector<char> from(64 << 10, 'x');
    std::vector<char> to(64 << 10);
    int set_ones = 0;
    for (int i = 0; i < 1000; ++i) {
        const auto all = ask_all<bounce_control_tunable>(BOUNCE_CONTROL_TUNABLES);
        const auto& one = all[random() % all.size()];
        const std::uint64_t value =
            random() % 4 == 0 ? one.most : one.least + random() % (std::min(one.most - one.least, one.most - 1) + 1);
        const Answer answer = set({item(one.name, value)});
        if (answer.head.status == 0)
            ++set_ones;
        else
            EXPECT_TRUE(one.live == 0 || answer.head.status == -EINVAL || answer.head.status == -ENOSPC)
                << one.name << "=" << value << ": " << answer.error;
        for (int j = 0; j < 20; ++j) {
            bounce_mapping mapping;
            const std::size_t bytes = 1 + random() % to.size();
            const auto mapped = device_->map(to.data(), bytes, Direction::kBidirectional, 0, mapping);
            if (!mapped) {
                EXPECT_TRUE(mapped.code() == ENOSPC || mapped.code() == EDQUOT) << last_error();
                continue;
            }
            std::memcpy(mapping.slot, from.data(), bytes);
            to[bytes - 1] = 0;
            ASSERT_TRUE(device_->unmap(mapping, bytes));
            ASSERT_EQ(to[bytes - 1], 'x');
        }
        static_cast<void>(pool_->service());
        expect_clean();
        if (HasFailure()) FAIL() << "after " << one.name << " = " << value;
    }
    EXPECT_GT(set_ones, 400);
}

}  // namespace
}  // namespace bounce
