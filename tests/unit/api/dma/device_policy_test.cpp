// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The policies of a device where they meet its mappings. Which one wins is the machine's business and not tested.
#include <thread>

#include "tests/unit/api/dma/device_fixture.hpp"

namespace bounce {
namespace {

constexpr auto kTo = Direction::kToDevice;
constexpr auto kBoth = Direction::kBidirectional;

class Policy : public DeviceTest {
protected:
    /// Maps and unmaps until `done`, and looks at every byte on the way.
    template <class Done>
    void churn(Device& device, std::size_t bytes, Done done) {
        std::string text(bytes, 'a');
        for (std::uint64_t i = 0; i < 3'000'000 && !done(); ++i) {
            text[i % bytes] = static_cast<char>('a' + i % 26);
            const std::string before = i % 64 == 0 ? text : std::string();
            bounce_mapping token;
            ASSERT_TRUE(device.map(text.data(), bytes, kBoth, 0, token)) << last_error();
            if (i % 64 == 0) {
                ASSERT_EQ(seen(token), before);
            }
            ASSERT_TRUE(device.unmap(token, SIZE_MAX)) << last_error();
            if (i % 64 == 0) {
                ASSERT_EQ(text, before);
            }
        }
    }
};

TEST_F(Policy, FixedPoliciesAreInForceAtOnceAndForGood) {
    for (const auto copy : {CopyPolicy::kMemcpy, CopyPolicy::kNonTemporal}) {
        for (const auto reuse : {ReusePolicy::kLifo, ReusePolicy::kWindow, ReusePolicy::kFifo}) {
            auto device = make({.copy = copy, .reuse = reuse});
            bool changed = false;
            std::uint64_t made = 0;
            churn(*device, 1024, [&] {
                changed = changed || device->calibrating() || device->copy_policy() != copy ||
                          device->reuse_policy() != reuse;
                return ++made == 10'000;
            });
            EXPECT_FALSE(changed);
        }
    }
}

TEST_F(Policy, WhatIsLeftOpenBeginsWithLifoAndMemcpy) {
    EXPECT_EQ(device_->copy_policy(), CopyPolicy::kMemcpy);
    EXPECT_EQ(device_->reuse_policy(), ReusePolicy::kLifo);
    EXPECT_FALSE(device_->calibrating());
}

TEST_F(Policy, ATrialBeginsAndEndsWhileContentStaysRight) {
    churn(*device_, 4096, [&] { return device_->calibrating(); });
    ASSERT_TRUE(device_->calibrating());
    churn(*device_, 4096, [&] { return !device_->calibrating(); });
    EXPECT_FALSE(device_->calibrating());
}

TEST_F(Policy, ATrialKeepsToWhatTheOptionsFix) {
    auto device = make({.copy = CopyPolicy::kMemcpy});
    bool streamed = false;
    const auto look = [&] { streamed = streamed || device->copy_policy() != CopyPolicy::kMemcpy; };
    churn(*device, 4096, [&] { return look(), device->calibrating(); });
    churn(*device, 4096, [&] { return look(), !device->calibrating(); });
    EXPECT_FALSE(streamed);
    auto fixed = make({.reuse = ReusePolicy::kWindow});
    bool other = false;
    const auto look_again = [&] { other = other || fixed->reuse_policy() != ReusePolicy::kWindow; };
    churn(*fixed, 4096, [&] { return look_again(), fixed->calibrating(); });
    churn(*fixed, 4096, [&] { return look_again(), !fixed->calibrating(); });
    EXPECT_FALSE(other);
}

TEST_F(Policy, ThreadsShareATrial) {
    const auto work = [&] {
        std::vector<char> buf(2048, 'x');
        for (int i = 0; i < 60'000; ++i) {
            bounce_mapping token;
            ASSERT_TRUE(device_->map(buf.data(), buf.size(), kTo, 0, token)) << last_error();
            ASSERT_EQ(std::memcmp(token.slot, buf.data(), buf.size()), 0);
            ASSERT_TRUE(device_->unmap(token, 0)) << last_error();
        }
    };
    std::thread other(work);
    work();
    other.join();
}

TEST_F(Policy, StreamedContentArrivesByEveryCall) {
    auto device = make({.copy = CopyPolicy::kNonTemporal, .reuse = ReusePolicy::kLifo});
    for (const std::size_t bytes : {1u, 511u, 512u, 513u, 4096u, 5000u, 65536u}) {
        std::string text(bytes + 1, '\0');
        for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 23);
        bounce_mapping token;
        ASSERT_TRUE(device->map(text.data() + 1, bytes, kTo, 0, token)) << last_error();
        EXPECT_TRUE(seen(token) == text.substr(1)) << bytes;
        for (char& c : text) c = static_cast<char>(c + 1);
        ASSERT_TRUE(device->sync_for_device(token, 0, bytes, kTo)) << last_error();
        EXPECT_TRUE(seen(token) == text.substr(1)) << bytes;
        ASSERT_TRUE(device->unmap(token, 0));
        const bounce_sg sg[] = {{text.data(), bytes, 0, 0}, {text.data() + 1, bytes, 0, 0}};
        bounce_mapping tokens[2];
        ASSERT_TRUE(device->map_sg(sg, kTo, 0, tokens)) << last_error();
        EXPECT_TRUE(seen(tokens[0]) == text.substr(0, bytes)) << bytes;
        EXPECT_TRUE(seen(tokens[1]) == text.substr(1)) << bytes;
        ASSERT_TRUE(device->unmap_sg(tokens, 0));
    }
}

}  // namespace
}  // namespace bounce
