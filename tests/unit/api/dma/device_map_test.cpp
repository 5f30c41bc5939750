// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/token.hpp"
#include "tests/unit/api/dma/device_fixture.hpp"

namespace bounce {
namespace {

constexpr auto kTo = Direction::kToDevice;
constexpr auto kFrom = Direction::kFromDevice;
constexpr auto kBoth = Direction::kBidirectional;

class Map : public DeviceTest {};

TEST_F(Map, ToDeviceCopiesInAndNotBack) {
    std::string text = "outgoing";
    bounce_mapping token;
    ASSERT_TRUE(device_->map(text.data(), text.size(), kTo, 0, token)) << last_error();
    EXPECT_EQ(seen(token), "outgoing");
    EXPECT_EQ(token.bytes, 8u);
    EXPECT_GE(token.addr, kBase);
    EXPECT_EQ(device_->outstanding_mappings(), 1u);
    write(token, "tampered");
    ASSERT_TRUE(device_->unmap(token, SIZE_MAX)) << last_error();
    EXPECT_EQ(text, "outgoing");
    EXPECT_EQ(device_->outstanding(), 0u);
}

TEST_F(Map, FromDeviceNeverShowsThePrivateContent) {
    std::string secret(4096, 'S');
    bounce_mapping token;
    ASSERT_TRUE(device_->map(secret.data(), secret.size(), kFrom, 0, token));
    EXPECT_EQ(seen(token).find('S'), std::string::npos);
    write(token, std::string(4096, 'd'));
    EXPECT_EQ(secret, std::string(4096, 'S')) << "nothing may arrive before unmap";
    ASSERT_TRUE(device_->unmap(token, 4096));
    EXPECT_EQ(secret, std::string(4096, 'd'));
}

TEST_F(Map, FromDeviceCopiesBackNoMoreThanWasWritten) {
    for (const std::size_t written :
         {std::size_t{0}, std::size_t{1}, std::size_t{9}, std::size_t{10}, std::size_t{11}, SIZE_MAX}) {
        std::string text = "0123456789";
        bounce_mapping token;
        ASSERT_TRUE(device_->map(text.data(), text.size(), kFrom, 0, token));
        write(token, "abcdefghij");
        ASSERT_TRUE(device_->unmap(token, written));
        const std::size_t part = std::min<std::size_t>(written, 10);
        EXPECT_EQ(text, std::string("abcdefghij").substr(0, part) + std::string("0123456789").substr(part));
    }
}

TEST_F(Map, BidirectionalCopiesBothWays) {
    std::string text = "question";
    bounce_mapping token;
    ASSERT_TRUE(device_->map(text.data(), text.size(), kBoth, 0, token));
    EXPECT_EQ(seen(token), "question");
    write(token, "answer!!");
    ASSERT_TRUE(device_->unmap(token, SIZE_MAX));
    EXPECT_EQ(text, "answer!!");
}

TEST_F(Map, PreserveKeepsWhatTheDeviceDoesNotWrite) {
    std::string text = "0123456789";
    bounce_mapping token;
    ASSERT_TRUE(device_->map(text.data(), text.size(), kFrom, BOUNCE_MAP_PRESERVE, token));
    EXPECT_EQ(seen(token), "0123456789");
    write(token, "XY", 4);
    ASSERT_TRUE(device_->unmap(token, SIZE_MAX));
    EXPECT_EQ(text, "0123XY6789");
}

TEST_F(Map, SkipSyncCopiesNothingEitherWay) {
    std::string text = "private!";
    bounce_mapping token;
    ASSERT_TRUE(device_->map(text.data(), text.size(), kBoth, BOUNCE_MAP_SKIP_SYNC, token));
    EXPECT_NE(seen(token), "private!");
    write(token, "tampered");
    ASSERT_TRUE(device_->unmap(token, SIZE_MAX));
    EXPECT_EQ(text, "private!");
}

TEST_F(Map, DiscardCopiesNothing) {
    for (const Direction direction : {kTo, kFrom, kBoth}) {
        std::string text = "private!";
        bounce_mapping token;
        ASSERT_TRUE(device_->map(text.data(), text.size(), direction, 0, token));
        write(token, "tampered");
        ASSERT_TRUE(device_->discard(token));
        EXPECT_EQ(text, "private!");
        EXPECT_EQ(device_->discard(token).code(), EALREADY);
    }
}

TEST_F(Map, AnySizeThatThePoolHolds) {
    for (const std::size_t bytes :
         {1u, 63u, 64u, 65u, 1500u, 4096u, 4097u, 65536u, 262145u, 1u << 20, (2u << 20) + 1}) {
        std::string text(bytes, '\0');
        for (std::size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>('a' + i % 23);
        const std::string before = text;
        bounce_mapping token;
        ASSERT_TRUE(device_->map(text.data(), bytes, kBoth, 0, token)) << bytes << ": " << last_error();
        EXPECT_TRUE(seen(token) == before) << bytes;
        std::fill(text.begin(), text.end(), '\0');
        ASSERT_TRUE(device_->unmap(token, bytes));
        EXPECT_TRUE(text == before) << bytes;
    }
}

TEST_F(Map, BadArgumentsAreNamedAndChangeNothing) {
    char byte = 0;
    bounce_mapping token;
    const auto code = [&](void* buf, std::size_t bytes, std::uint32_t flags) {
        std::memset(&token, 0xff, sizeof token);
        const int failed = device_->map(buf, bytes, kTo, flags, token).code();
        EXPECT_STRNE(last_error(), "");
        EXPECT_EQ(device_->unmap(token, 0).code(), EALREADY) << "a failed map leaves a token that is not live";
        return failed;
    };
    EXPECT_EQ(code(nullptr, 1, 0), EINVAL);
    EXPECT_EQ(code(&byte, 0, 0), EINVAL);
    EXPECT_EQ(code(&byte, SIZE_MAX, 0), EINVAL);
    EXPECT_EQ(code(&byte, 1, 1u << 15), EINVAL);
    EXPECT_EQ(code(&byte, 1, 1u << 31), EINVAL);
    EXPECT_EQ(code(&byte, 1, BOUNCE_MAP_PRESERVE | BOUNCE_MAP_SKIP_SYNC), EINVAL);
    EXPECT_EQ(device_->outstanding(), 0u);
}

TEST_F(Map, LargerThanAnyRegionIsNotTheSameAsFull) {
    std::vector<char> big(8u << 20);
    bounce_mapping token;
    EXPECT_EQ(device_->map(big.data(), big.size(), kTo, 0, token).code(), E2BIG);
    std::vector<bounce_mapping> tokens;
    for (;;) {
        const auto mapped = device_->map(big.data(), 1u << 20, kFrom, 0, token);
        if (!mapped) {
            EXPECT_EQ(mapped.code(), ENOSPC) << last_error();
            break;
        }
        tokens.push_back(token);
        ASSERT_LE(tokens.size(), 4u);
    }
    EXPECT_FALSE(tokens.empty());
    for (auto& each : tokens) EXPECT_TRUE(device_->unmap(each, 0));
}

TEST_F(Map, ADoubleUnmapIsAnErrorThatChangesNothing) {
    std::string text = "text";
    bounce_mapping token;
    ASSERT_TRUE(device_->map(text.data(), text.size(), kFrom, 0, token));
    bounce_mapping copy = token;
    write(token, "new!");
    ASSERT_TRUE(device_->unmap(token, 4));
    text = "mine";
    EXPECT_EQ(device_->unmap(token, 4).code(), EALREADY);
    const int of_copy = device_->unmap(copy, 4).code();
    EXPECT_TRUE(of_copy == ESTALE || of_copy == EALREADY) << of_copy;
    EXPECT_EQ(text, "mine");

    // Also when the slot has a new holder.
    std::string other = "other";
    bounce_mapping next;
    ASSERT_TRUE(device_->map(other.data(), other.size(), kTo, 0, next));
    const int of_stale = device_->unmap(copy, 4).code();
    EXPECT_TRUE(of_stale == ESTALE || of_stale == EALREADY) << of_stale;
    EXPECT_EQ(seen(next), "other");
    EXPECT_TRUE(device_->unmap(next, 0)) << last_error();
}

TEST_F(Map, ATokenOfAnotherDeviceOrPoolIsRefused) {
    std::string text = "text";
    auto other = make({});
    bounce_mapping token;
    ASSERT_TRUE(device_->map(text.data(), text.size(), kTo, 0, token));
    EXPECT_EQ(other->unmap(token, 0).code(), EXDEV);
    EXPECT_EQ(other->sync_for_device(token, 0, 1, kTo).code(), EXDEV);
    EXPECT_TRUE(device_->unmap(token, 0));
}

TEST_F(Map, ADamagedTokenIsRefusedAndTheRealOneStaysGood) {
    std::string text = "text";
    bounce_mapping token;
    ASSERT_TRUE(device_->map(text.data(), text.size(), kFrom, 0, token));
    const auto damaged = [&](auto&& damage) {
        bounce_mapping copy = token;
        damage(copy);
        return device_->unmap(copy, SIZE_MAX).code();
    };
    EXPECT_EQ(damaged([](bounce_mapping& m) { m.direction = 3; }), EINVAL);
    EXPECT_EQ(damaged([](bounce_mapping& m) { m.orig = nullptr; }), EINVAL);
    EXPECT_EQ(damaged([](bounce_mapping& m) { m.state = 0; }), EALREADY);
    EXPECT_EQ(damaged([](bounce_mapping& m) { m.device = 0; }), EXDEV);
    EXPECT_EQ(damaged([](bounce_mapping& m) { m.handle ^= 1U << 26; }), ESTALE);
    EXPECT_EQ(damaged([](bounce_mapping& m) { m.addr += 1; }), EFAULT);
    EXPECT_EQ(damaged([](bounce_mapping& m) { m.addr = 0; }), EFAULT);
    EXPECT_EQ(damaged([](bounce_mapping& m) { m.addr = kBase + (64u << 20); }), EFAULT);
    EXPECT_EQ(damaged([](bounce_mapping& m) { m.slot = nullptr; }), EFAULT);
    EXPECT_EQ(damaged([](bounce_mapping& m) { m.bytes = 1u << 20; }), EFAULT);
    EXPECT_EQ(damaged([](bounce_mapping& m) { m.handle |= 63U << 16; }), EFAULT);
    EXPECT_EQ(text, "text");
    write(token, "data");
    EXPECT_TRUE(device_->unmap(token, SIZE_MAX)) << last_error();
    EXPECT_EQ(text, "data");
}

TEST_F(Map, ATokenMayBeMoved) {
    std::string text = "text";
    bounce_mapping token;
    ASSERT_TRUE(device_->map(text.data(), text.size(), kFrom, 0, token));
    bounce_mapping moved = token;
    token = {};
    write(moved, "data");
    EXPECT_TRUE(device_->unmap(moved, 4));
    EXPECT_EQ(text, "data");
}

TEST_F(Map, AfterRenewalNothingIsCopiedAndTheSlotIsFree) {
    std::string in = "private";
    std::string out = "payload";
    bounce_mapping from;
    bounce_mapping to;
    bounce_mapping skipped;
    bounce_mapping empty;
    bounce_mapping unsynced;
    ASSERT_TRUE(device_->map(in.data(), in.size(), kFrom, 0, empty));
    ASSERT_TRUE(device_->map(in.data(), in.size(), kFrom, BOUNCE_MAP_SKIP_SYNC, unsynced));
    ASSERT_TRUE(device_->map(in.data(), in.size(), kFrom, 0, from));
    ASSERT_TRUE(device_->map(out.data(), out.size(), kTo, 0, to));
    ASSERT_TRUE(device_->map(in.data(), in.size(), kFrom, 0, skipped));
    ASSERT_TRUE(pool_->renew()) << last_error();
    EXPECT_EQ(device_->sync_for_cpu(from, 0, 1, kFrom).code(), ESTALE);
    EXPECT_EQ(device_->unmap(from, SIZE_MAX).code(), ESTALE);
    EXPECT_EQ(device_->unmap(empty, 0).code(), ESTALE);
    EXPECT_EQ(device_->unmap(unsynced, SIZE_MAX).code(), ESTALE);
    EXPECT_EQ(in, "private");
    EXPECT_EQ(device_->unmap(from, SIZE_MAX).code(), EALREADY);
    EXPECT_TRUE(device_->unmap(to, 0)) << last_error();
    EXPECT_TRUE(device_->discard(skipped)) << last_error();
    EXPECT_EQ(device_->outstanding(), 0u);
}

TEST_F(Map, NameAndPoolAreKept) {
    char name[] = "blk0";
    auto device = make({.name = name});
    name[0] = 'X';
    EXPECT_STREQ(device->name(), "blk0");
    EXPECT_EQ(&device->pool(), pool_.get());
    EXPECT_EQ(&device->callbacks(), &callbacks_);
    EXPECT_EQ(pool_->users(), 2u);
}

}  // namespace
}  // namespace bounce
