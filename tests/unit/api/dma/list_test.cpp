// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Lists of pieces as few segments.
#include "api/dma/token.hpp"
#include "tests/unit/api/dma/device_fixture.hpp"

namespace bounce {
namespace {

constexpr auto kTo = Direction::kToDevice;
constexpr auto kFrom = Direction::kFromDevice;
constexpr auto kBoth = Direction::kBidirectional;

class Lists : public DeviceTest {
protected:
    Lists() : memory_(2u << 20) {
        const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
        buf_ = memory_.data() + (4096 - address % 4096);
        for (std::size_t i = 0; i < (1u << 20); ++i) buf_[i] = static_cast<char>('a' + i % 23);
    }
    bounce_list& list(std::size_t pieces, std::size_t segments) {
        tokens_.assign(pieces + segments, bounce_mapping{});
        segments_.assign(segments, bounce_segment{});
        list_ = {sizeof list_, tokens_.data(), tokens_.size(), segments_.data(), segments, 0, 0, 0};
        return list_;
    }
    bounce_sg piece(std::size_t offset, std::size_t bytes) { return {buf_ + offset, bytes, 0, 0}; }
    static std::string privately(const std::vector<bounce_sg>& sg) {
        std::string all;
        for (const auto& one : sg) all.append(static_cast<const char*>(one.base), one.bytes);
        return all;
    }
    /// What the device reads in the segments.
    std::string by_device() {
        std::string all;
        for (std::size_t i = 0; i < list_.n_segments; ++i)
            all.append(reinterpret_cast<const char*>(at(segments_[i].addr, segments_[i].bytes)), segments_[i].bytes);
        return all;
    }
    void device_writes(const std::string& text) {
        std::size_t done = 0;
        for (std::size_t i = 0; i < list_.n_segments && done < text.size(); ++i) {
            const std::size_t part = std::min<std::size_t>(segments_[i].bytes, text.size() - done);
            std::memcpy(at(segments_[i].addr, part), text.data() + done, part);
            done += part;
        }
    }
    /// Takes slots until nothing of more than `bytes` in a row is left.
    std::vector<Slot> only_holes_of(std::uint64_t bytes) {
        std::vector<Slot> taken;
        AllocRequest request;
        request.bytes = bytes;
        for (;;) {
            auto slot = pool_->alloc(request);
            if (!slot) break;
            taken.push_back(*slot);
        }
        std::sort(taken.begin(), taken.end(), [](const Slot& a, const Slot& b) { return a.gpa < b.gpa; });
        std::vector<Slot> rest;
        for (std::size_t i = 0; i < taken.size(); ++i) {
            if (i % 2 == 0)
                EXPECT_TRUE(pool_->free(taken[i], SlotKind::kStreaming));
            else
                rest.push_back(taken[i]);
        }
        return rest;
    }

    std::vector<char> memory_;
    char* buf_;
    std::vector<bounce_mapping> tokens_;
    std::vector<bounce_segment> segments_;
    bounce_list list_{};
};

TEST_F(Lists, PiecesAreOneSegment) {
    const std::vector<bounce_sg> sg{piece(7, 16), piece(5000, 4096), piece(20000, 1), piece(30000, 900)};
    auto& mapped = list(sg.size(), 4);
    ASSERT_TRUE(device_->map_list(sg, kTo, 0, 0, mapped)) << last_error();
    EXPECT_EQ(mapped.n_segments, 1u);
    EXPECT_EQ(mapped.n_mappings, 4u);
    EXPECT_EQ(mapped.bytes, 16u + 4096 + 1 + 900);
    EXPECT_EQ(by_device(), privately(sg));
    EXPECT_EQ(device_->outstanding_mappings(), 1u) << "one slot";
    ASSERT_TRUE(device_->unmap_list(mapped, 0)) << last_error();
    EXPECT_EQ(device_->unmap_list(mapped, 0).code(), EALREADY);
}

TEST_F(Lists, WrittenIsSharedOutOverThePieces) {
    const std::vector<bounce_sg> sg{piece(0, 5), piece(100, 7), piece(200, 1)};
    const std::string before = privately(sg);
    for (std::size_t written = 0; written <= 14; ++written) {
        ASSERT_TRUE(device_->map_list(sg, kFrom, 0, 0, list(3, 3))) << last_error();
        device_writes("0123456789ABC");
        ASSERT_TRUE(device_->unmap_list(list_, written));
        const std::size_t part = std::min<std::size_t>(written, 13);
        EXPECT_EQ(privately(sg), std::string("0123456789ABC").substr(0, part) + before.substr(part)) << written;
        std::size_t at = 0;
        for (const auto& one : sg) {
            std::memcpy(one.base, before.data() + at, one.bytes);
            at += one.bytes;
        }
    }
}

TEST_F(Lists, ALongPieceIsCutToTheSegmentsOfTheDevice) {
    auto device = make({.max_segment_bytes = 4096});
    const std::vector<bounce_sg> sg{piece(0, 10000), piece(20000, 3000)};
    ASSERT_TRUE(device->map_list(sg, kBoth, 0, 0, list(2, 8))) << last_error();
    EXPECT_EQ(list_.n_segments, 4u);  // 13000 bytes
    for (std::size_t i = 0; i < list_.n_segments; ++i) EXPECT_LE(segments_[i].bytes, 4096u);
    EXPECT_EQ(by_device(), privately(sg));
    device_writes(std::string(13000, 'w'));
    ASSERT_TRUE(device->unmap_list(list_, SIZE_MAX)) << last_error();
    EXPECT_EQ(privately(sg), std::string(13000, 'w'));
    EXPECT_EQ(device->map_list(sg, kBoth, 0, 0, list(2, 3)).code(), E2BIG) << "in three not even an empty pool has it";
    EXPECT_EQ(list_.n_mappings, 0u);
    auto few = make({.max_segment_bytes = 4096, .limits = {.max_segments = 3}});
    EXPECT_EQ(few->map_list(sg, kBoth, 0, 0, list(2, 8)).code(), E2BIG) << last_error();
    EXPECT_EQ(device->outstanding() + few->outstanding(), 0u);
}

TEST_F(Lists, BoundariesAreNotCrossed) {
    auto device = make({.limits = {.segment_boundary = 8192}});
    const std::vector<bounce_sg> sg{piece(1, 50000), piece(60000, 3)};
    ASSERT_TRUE(device->map_list(sg, kTo, 0, 0, list(2, 20))) << last_error();
    for (std::size_t i = 0; i < list_.n_segments; ++i)
        EXPECT_EQ(segments_[i].addr / 8192, (segments_[i].addr + segments_[i].bytes - 1) / 8192);
    EXPECT_EQ(by_device(), privately(sg));
    ASSERT_TRUE(device->unmap_list(list_, 0));
}

TEST_F(Lists, WithAMinimalAlignmentPiecesJoinWhereTheyGoOn) {
    auto device = make({.limits = {.min_align_mask = 4095}});
    // As pages of one buffer: the first begins inside a page, the last ends inside one; then one that does not go on.
    const std::vector<bounce_sg> sg{piece(100, 4096 - 100), piece(4096 * 3, 4096), piece(4096 * 7, 50), piece(9, 20)};
    ASSERT_TRUE(device->map_list(sg, kBoth, 0, 0, list(4, 8))) << last_error();
    EXPECT_EQ(list_.n_segments, 2u);
    for (std::size_t i = 0; i < list_.n_mappings; ++i)
        EXPECT_EQ((tokens_[i].addr ^ reinterpret_cast<std::uintptr_t>(tokens_[i].orig)) & 4095, 0u) << i;
    EXPECT_EQ(by_device(), privately(sg));
    device_writes(std::string(9000, 'w'));
    ASSERT_TRUE(device->unmap_list(list_, SIZE_MAX)) << last_error();
    EXPECT_EQ(privately(sg), std::string(4096 * 2 - 100 + 70, 'w'));

    // Cut where the next segment can begin.
    auto cut = make({.max_segment_bytes = 5000, .limits = {.min_align_mask = 511}});
    const std::vector<bounce_sg> long_piece{piece(33, 40000)};
    ASSERT_TRUE(cut->map_list(long_piece, kTo, 0, 0, list(1, 16))) << last_error();
    for (std::size_t i = 0; i < list_.n_mappings; ++i)
        EXPECT_EQ((tokens_[i].addr ^ reinterpret_cast<std::uintptr_t>(tokens_[i].orig)) & 511, 0u) << i;
    EXPECT_EQ(by_device(), privately(long_piece));
    ASSERT_TRUE(cut->unmap_list(list_, 0));
    auto never = make({.max_segment_bytes = 100, .limits = {.min_align_mask = 511}});
    EXPECT_EQ(never->map_list(long_piece, kTo, 0, 0, list(1, 1000)).code(), EDOM) << last_error();
    EXPECT_EQ(never->outstanding(), 0u);
}

TEST_F(Lists, IsScatteredWhereThePoolHasNoRoomInARow) {
    const std::vector<Slot> rest = only_holes_of(64u << 10);
    const std::vector<bounce_sg> sg{piece(5, 300000)};
    const std::uint64_t full = pool_->stats().full;
    bounce_mapping token;
    EXPECT_EQ(device_->map(buf_, 300000, kBoth, 0, token).code(), ENOSPC);
    EXPECT_EQ(device_->map_list(sg, kBoth, 0, 0, list(1, 1)).code(), ENOSPC) << "contiguous or nothing";
    EXPECT_EQ(device_->map_list(sg, kBoth, 0, 0, list(1, 2)).code(), ENOSPC);
    EXPECT_EQ(pool_->stats().full, full + 3) << "attempts for less do not count";
    ASSERT_TRUE(device_->map_list(sg, kBoth, 0, 0, list(1, 32))) << last_error();
    EXPECT_GE(list_.n_segments, 5u);
    EXPECT_EQ(pool_->stats().full, full + 3);
    EXPECT_EQ(by_device(), privately(sg));
    device_writes(std::string(300000, 'w'));
    ASSERT_TRUE(device_->unmap_list(list_, 299999)) << last_error();
    EXPECT_EQ(std::string(buf_ + 5, 299999), std::string(299999, 'w'));
    EXPECT_NE(buf_[5 + 299999], 'w');
    for (const Slot& slot : rest) EXPECT_TRUE(pool_->free(slot, SlotKind::kStreaming));
}

TEST_F(Lists, MoreThanThePoolIsNothingAtAll) {
    std::vector<char> big(5u << 20);
    const std::vector<bounce_sg> sg{{big.data(), big.size(), 0, 0}};
    EXPECT_EQ(device_->map_list(sg, kTo, 0, 0, list(1, 1)).code(), E2BIG);
    const int code = device_->map_list(sg, kTo, 0, 0, list(1, 1000)).code();
    EXPECT_TRUE(code == ENOSPC || code == E2BIG) << last_error();
    EXPECT_EQ(device_->outstanding(), 0u);
    EXPECT_EQ(pool_->stats().used_bytes, 0u);
}

TEST_F(Lists, AreSyncedInPart) {
    auto device = make({.max_segment_bytes = 1000});
    const std::vector<bounce_sg> sg{piece(0, 700), piece(3000, 1700), piece(9000, 5)};
    ASSERT_TRUE(device->map_list(sg, kBoth, 0, 0, list(3, 8))) << last_error();
    const std::string before = privately(sg);
    device_writes(std::string(2405, 'd'));
    ASSERT_TRUE(device->sync_list(list_, 650, 1200, kBoth, true)) << last_error();
    EXPECT_EQ(privately(sg), before.substr(0, 650) + std::string(1200, 'd') + before.substr(1850));
    std::memset(buf_ + 3000, 'p', 1700);
    ASSERT_TRUE(device->sync_list(list_, 1000, 1401, kBoth, false)) << last_error();
    EXPECT_EQ(by_device(), std::string(1000, 'd') + std::string(1400, 'p') + before[2400] + std::string(4, 'd'));
    EXPECT_EQ(device->sync_list(list_, 2400, 6, kBoth, true).code(), EINVAL);
    EXPECT_EQ(device->sync_list(list_, 0, 0, kBoth, true).code(), EINVAL);
    EXPECT_EQ(device_->sync_list(list_, 0, 1, kBoth, true).code(), EXDEV);
    ASSERT_TRUE(device->unmap_list(list_, 0)) << last_error();
    EXPECT_EQ(device->sync_list(list_, 0, 1, kBoth, true).code(), EALREADY);
    ASSERT_TRUE(device->map_list(sg, kTo, 0, 0, list(3, 8))) << last_error();
    EXPECT_TRUE(device->sync_list(list_, 0, 10, kTo, true)) << "a legal no-op";
    EXPECT_EQ(device->sync_list(list_, 0, 10, kFrom, true).code(), EPERM);
    ASSERT_TRUE(device->unmap_list(list_, 0)) << last_error();
}

TEST_F(Lists, TheirTokensEndTogether) {
    const std::vector<bounce_sg> sg{piece(0, 100), piece(3000, 100)};
    ASSERT_TRUE(device_->map_list(sg, kFrom, 0, 0, list(2, 2))) << last_error();
    for (std::size_t i = 0; i < 2; ++i) {
        EXPECT_EQ(device_->unmap(tokens_[i], 0).code(), EPERM) << last_error();
        EXPECT_EQ(device_->discard(tokens_[i]).code(), EPERM);
        EXPECT_EQ(device_->sync_for_cpu(tokens_[i], 0, 1, kFrom).code(), EPERM);
    }
    EXPECT_EQ(device_->unmap_sg({tokens_.data(), 2}, 0).code(), EPERM);
    std::swap(tokens_[0], tokens_[1]);
    EXPECT_EQ(device_->unmap_list(list_, 0).code(), EPERM) << "a part without its head";
    // The head alone went: the slot is home.
    EXPECT_EQ(device_->outstanding(), 0u);
    bounce_mapping plain;
    ASSERT_TRUE(device_->map(buf_, 10, kTo, 0, plain));
    bounce_list& wrong = list(1, 1);
    tokens_[0] = plain;
    wrong.n_mappings = 1;
    EXPECT_EQ(device_->unmap_list(wrong, 0).code(), EPERM);
    EXPECT_TRUE(device_->unmap(plain, 0));
}

TEST_F(Lists, DamagedTokensChangeNothing) {
    const std::vector<bounce_sg> sg{piece(0, 100), piece(3000, 100), piece(5000, 100)};
    ASSERT_TRUE(device_->map_list(sg, kFrom, 0, 0, list(3, 3))) << last_error();
    const std::vector<bounce_mapping> good = tokens_;
    const std::string before = privately(sg);
    const auto damaged = [&](auto&& damage) {
        tokens_ = good;
        list_.mappings = tokens_.data();
        list_.n_mappings = 3;
        damage();
        const int code = device_->unmap_list(list_, SIZE_MAX).code();
        EXPECT_EQ(device_->outstanding(), 1u);
        return code;
    };
    EXPECT_EQ(damaged([&] { tokens_[1].addr += 1; }), EINVAL);
    EXPECT_EQ(damaged([&] { tokens_[1].slot = nullptr; }), EINVAL);
    EXPECT_EQ(damaged([&] { tokens_[1].orig = nullptr; }), EINVAL);
    EXPECT_EQ(damaged([&] { tokens_[1].bytes = ~std::uint64_t{0}; }), EINVAL);
    EXPECT_EQ(damaged([&] { tokens_[2].bytes = 1u << 20; }), EFAULT);
    EXPECT_EQ(damaged([&] { tokens_[2].handle ^= 1; }), EINVAL);
    EXPECT_EQ(damaged([&] { tokens_[2].direction = BOUNCE_TO_DEVICE; }), EINVAL);
    EXPECT_EQ(damaged([&] { tokens_[0].device ^= 1; }), EXDEV);
    EXPECT_EQ(damaged([&] { list_.n_mappings = 1000; }), EALREADY);
    EXPECT_EQ(damaged([&] { list_.mappings = nullptr; }), EALREADY);
    EXPECT_EQ(privately(sg), before);
    tokens_ = good;
    list_.mappings = tokens_.data();
    list_.n_mappings = 3;
    EXPECT_TRUE(device_->unmap_list(list_, SIZE_MAX)) << last_error();
}

TEST_F(Lists, BadArgumentsAreNamed) {
    std::vector<bounce_sg> sg{piece(0, 100)};
    EXPECT_EQ(device_->map_list({}, kTo, 0, 0, list(1, 1)).code(), EINVAL);
    EXPECT_EQ(device_->map_list(sg, kTo, 0, 3, list(1, 1)).code(), EINVAL);
    EXPECT_EQ(device_->map_list(sg, kTo, 1u << 20, 0, list(1, 1)).code(), EINVAL);
    EXPECT_EQ(device_->map_list(sg, kTo, 0, 0, list(1, 0)).code(), EINVAL);
    auto& small = list(1, 1);
    small.max_mappings = 1;
    EXPECT_EQ(device_->map_list(sg, kTo, 0, 0, small).code(), EINVAL);
    small.mappings = nullptr;
    EXPECT_EQ(device_->map_list(sg, kTo, 0, 0, small).code(), EINVAL);
    sg[0].flags = BOUNCE_SG_SHARED;
    EXPECT_EQ(device_->map_list(sg, kTo, 0, 0, list(1, 1)).code(), EINVAL);
    sg[0] = {nullptr, 10, 0, 0};
    EXPECT_EQ(device_->map_list(sg, kTo, 0, 0, list(1, 1)).code(), EINVAL);
    sg[0] = {buf_, 0, 0, 0};
    EXPECT_EQ(device_->map_list(sg, kTo, 0, 0, list(1, 1)).code(), EINVAL);
    sg[0] = {buf_, SIZE_MAX, 0, 0};
    EXPECT_EQ(device_->map_list(sg, kTo, 0, 0, list(1, 1)).code(), EINVAL);
    EXPECT_EQ(device_->outstanding(), 0u);
}

TEST_F(Lists, ScrubbedAndAlignedLikeAnyMapping) {
    bounce_mapping token;
    std::vector<char> secret(3u << 20, 'S');
    ASSERT_TRUE(device_->map(secret.data(), secret.size(), kTo, 0, token)) << last_error();
    ASSERT_TRUE(device_->unmap(token, 0));
    auto device = make({.limits = {.scrub_at_map = Scrub::kAll, .scrub_at_unmap = Scrub::kAll}});
    const std::vector<bounce_sg> sg{piece(0, 100), piece(3000, 1000)};
    ASSERT_TRUE(device->map_list(sg, kFrom, 0, 4096, list(2, 2))) << last_error();
    EXPECT_EQ(segments_[0].addr % 4096, 0u);
    EXPECT_EQ(by_device(), std::string(1100, '\0'));
    device_writes(std::string(1100, 'd'));
    const std::uint64_t addr = segments_[0].addr;
    ASSERT_TRUE(device->unmap_list(list_, SIZE_MAX));
    EXPECT_EQ(std::count(at(addr, 4096), at(addr, 4096) + 4096, std::byte{0}), 4096);
}

TEST_F(Lists, AfterRenewalNothingIsCopied) {
    const std::vector<bounce_sg> sg{piece(0, 100), piece(3000, 1000)};
    const std::string before = privately(sg);
    ASSERT_TRUE(device_->map_list(sg, kFrom, 0, 0, list(2, 2))) << last_error();
    ASSERT_TRUE(pool_->renew());
    EXPECT_EQ(device_->sync_list(list_, 0, 100, kFrom, true).code(), ESTALE);
    EXPECT_EQ(device_->unmap_list(list_, SIZE_MAX).code(), ESTALE);
    EXPECT_EQ(privately(sg), before);
}

}  // namespace
}  // namespace bounce
