// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Forms that are damaged or made up.
#include "api/dma/save_form.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <random>

#include "tests/support/saved_pool.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kBase = 0x1'0000'0000;

class SaveFormTest : public testing::Test {
protected:
    /// A form with a bit of everything.
    std::vector<std::byte> form() {
        test::PoolOver over(file_, kBase);
        auto disk = over.device("disk");
        auto net = over.device("net");
        std::vector<char> text(50'000, 't');
        std::vector<bounce_mapping> mappings;
        std::vector<bounce_block> blocks(3);
        for (const std::size_t bytes : {1u, 100u, 1500u, 4096u, 9000u, 20480u, 50'000u}) {
            mappings.emplace_back();
            Device& device = mappings.size() % 2 == 0 ? *disk : *net;
            EXPECT_TRUE(
                device.map(text.data(), bytes, Direction{static_cast<std::uint8_t>(bytes % 3)}, 0, mappings.back()));
        }
        EXPECT_TRUE(disk->alloc_block(SlotKind::kCoherent, 300, 0, blocks[0]));
        EXPECT_TRUE(net->alloc_block(SlotKind::kBuffer, 30'000, 0, blocks[1]));
        EXPECT_TRUE(net->alloc_block(SlotKind::kCoherent, 64, 4096, blocks[2]));
        auto saved = over.saved();
        for (std::size_t i = 0; i < mappings.size(); ++i)
            EXPECT_TRUE((i % 2 != 0 ? *disk : *net).unmap(mappings[i], 0)) << last_error();
        EXPECT_TRUE(disk->free_block(SlotKind::kCoherent, blocks[0]));
        EXPECT_TRUE(net->free_block(SlotKind::kBuffer, blocks[1]));
        EXPECT_TRUE(net->free_block(SlotKind::kCoherent, blocks[2]));
        return saved;
    }
    static int code(std::span<const std::byte> form) {
        const auto parsed = SaveForm::parse(form);
        if (!parsed) {
            EXPECT_STRNE(last_error(), "");
        }
        return parsed.code();
    }

    test::SharedFile file_{1u << 20};
};

TEST_F(SaveFormTest, RoundTrip) {
    const auto saved = form();
    const auto parsed = SaveForm::parse(saved);
    ASSERT_TRUE(parsed) << last_error();
    EXPECT_EQ(parsed->counts().regions, 1u);
    EXPECT_EQ(parsed->counts().devices, 2u);
    EXPECT_EQ(parsed->counts().records, 10u);
    EXPECT_STREQ(parsed->device(0), "disk");
    EXPECT_STREQ(parsed->device(1), "net");
    EXPECT_EQ(parsed->region(0).base, kBase);
    EXPECT_EQ(saved.size(), SaveForm::bytes_for(parsed->counts()));
    EXPECT_TRUE(test::try_restore(file_, kBase, saved));
}

// The bytes are the same on every machine.
TEST_F(SaveFormTest, IsLittleEndian) {
    const auto saved = form();
    EXPECT_EQ(std::memcmp(saved.data(), "BNCESAVE", 8), 0);
    EXPECT_EQ(saved[8], std::byte{1});
    EXPECT_EQ(saved[11], std::byte{0});
    EXPECT_EQ(saved[12], std::byte{64});
    EXPECT_EQ(saved[SaveForm::kHeaderBytes + 4], std::byte{1});  // kBase
    // CRC-64/XZ of its usual check string.
    SaveForm::Counts none;
    std::vector<std::byte> empty(SaveForm::bytes_for(none));
    SaveWriter writer(empty.data(), none);
    ASSERT_TRUE(writer.finish());
    EXPECT_EQ(code(empty), 0);
}

TEST_F(SaveFormTest, EveryByteFlippedIsRefused) {
    auto saved = form();
    for (std::size_t i = 0; i < saved.size(); ++i) {
        for (const unsigned mask : {0x01u, 0x80u, 0xffu}) {
            saved[i] ^= static_cast<std::byte>(mask);
            ASSERT_NE(code(saved), 0) << "byte " << i;
            if (mask == 0xff && i % 16 == 0) {
                ASSERT_FALSE(test::try_restore(file_, kBase, saved));
            }
            saved[i] ^= static_cast<std::byte>(mask);
        }
    }
    EXPECT_EQ(code(saved), 0);
}

TEST_F(SaveFormTest, EveryLengthButTheRightOneIsRefused) {
    auto saved = form();
    const std::size_t right = saved.size();
    saved.resize(right + 40);
    for (std::size_t length = 0; length <= saved.size(); ++length) {
        ASSERT_EQ(code(std::span(saved).first(length)) == 0, length == right) << length;
        // Also when the length and the sum are made to fit.
        if (length < SaveForm::kHeaderBytes || length == right) continue;
        std::vector<std::byte> forged(saved.begin(), saved.begin() + static_cast<std::ptrdiff_t>(length));
        SaveForm::seal(forged);
        ASSERT_NE(code(forged), 0) << length;
    }
}

// Whoever can write a form can give it a right sum. What is taken then is a form all the same.
TEST_F(SaveFormTest, ForgedBytes) {
    const auto saved = form();
    std::mt19937 random(1);
    int taken = 0;
    int refused = 0;
    for (std::size_t i = 0; i < saved.size(); ++i) {
        for (const unsigned mask : {0x01u, 0x10u, 0x80u, 0xffu}) {
            auto forged = saved;
            forged[i] ^= static_cast<std::byte>(mask);
            SaveForm::seal(forged);
            test::try_restore(file_, kBase, forged) ? ++taken : ++refused;
        }
    }
    EXPECT_GT(refused, 1000);
    EXPECT_GT(taken, 100);  // names, private addresses, sizes below that of the slot
    std::printf("%d forms taken, %d refused\n", taken, refused);
}

TEST_F(SaveFormTest, ForgedNumbers) {
    const auto saved = form();
    std::mt19937_64 random(2);
    constexpr std::uint64_t kEvil[] = {0,          1,          2,          63,         64,         4095,       4096,
                                       0x7fffffff, 0x80000000, 0xffffffff, 1ull << 32, 1ull << 43, 1ull << 63, ~0ull};
    for (int round = 0; round < 3000; ++round) {
        auto forged = saved;
        for (std::size_t n = 1 + random() % 3; n != 0; --n) {
            const std::size_t width = random() % 2 == 0 ? 8 : 4;
            const std::size_t at = 32 + random() % ((forged.size() - 40) / 4) * 4;
            std::uint64_t value = kEvil[random() % std::size(kEvil)];
            if (random() % 3 == 0) std::memcpy(&value, forged.data() + 32 + random() % (forged.size() - 40), 8);
            std::memcpy(forged.data() + at, &value, std::min(width, forged.size() - at));
        }
        SaveForm::seal(forged);
        test::try_restore(file_, kBase, forged);
    }
}

TEST_F(SaveFormTest, VersionsAreToldApart) {
    auto saved = form();
    saved[8] = std::byte{2};
    SaveForm::seal(saved);
    EXPECT_EQ(code(saved), ENOTSUP);
}

class Writer : public testing::Test {
protected:
    static constexpr std::uint64_t kSlab = kBase + 16 * kPageBytes;
    SavedExtent extent_{kSlab, kSizeClasses[0].min_pages, 0};
    SavedRecord record_{.addr = kSlab, .bytes = 64, .orig = 1, .device = 0, .direction = 1, .flags = 0, .kind = 1};

    static int code(std::initializer_list<SavedRegion> regions, std::initializer_list<const char*> devices,
                    std::initializer_list<SavedExtent> extents, std::initializer_list<SavedRecord> records) {
        SaveForm::Counts counts{static_cast<std::uint32_t>(regions.size()), static_cast<std::uint32_t>(devices.size()),
                                extents.size(), records.size()};
        std::vector<std::byte> form(SaveForm::bytes_for(counts));
        SaveWriter writer(form.data(), counts);
        for (const auto& one : regions) writer.add(one);
        for (const auto& one : devices) writer.add(one);
        for (const auto& one : extents) writer.add(one);
        for (const auto& one : records) writer.add(one);
        EXPECT_TRUE(writer.finish());
        return SaveForm::parse(form).code();
    }
    int with(const SavedExtent& extent, const SavedRecord& record) {
        return code({{kBase, 1u << 20}}, {"d"}, {extent}, {record});
    }
};

TEST_F(Writer, RegionsInOrderAndProper) {
    EXPECT_EQ(code({}, {}, {}, {}), 0);
    EXPECT_EQ(code({{kBase, 1u << 20}}, {}, {}, {}), 0);
    EXPECT_EQ(code({{kBase, 4096}}, {}, {}, {}), EINVAL);
    EXPECT_EQ(code({{kBase + 1, 1u << 20}}, {}, {}, {}), EINVAL);
    EXPECT_EQ(code({{0 - std::uint64_t{4096}, 1u << 20}}, {}, {}, {}), EINVAL);
    EXPECT_EQ(code({{kBase, 1u << 20}, {kBase + (1u << 19), 1u << 20}}, {}, {}, {}), EINVAL);
    EXPECT_EQ(code({{kBase + (1u << 20), 1u << 20}, {kBase, 1u << 20}}, {}, {}, {}), EINVAL);
    const std::uint64_t last = 0 - (std::uint64_t{1} << 20);
    EXPECT_EQ(code({{last, 1u << 20}}, {}, {}, {}), 0);
    EXPECT_EQ(code({{last, 1u << 20}, {0, 1u << 20}}, {}, {}, {}), EINVAL);
}

TEST_F(Writer, NamesInOrderAndProper) {
    EXPECT_EQ(code({}, {"a", "b"}, {}, {}), 0);
    EXPECT_EQ(code({}, {"b", "a"}, {}, {}), EINVAL);
    EXPECT_EQ(code({}, {"a", "a"}, {}, {}), EINVAL);
    EXPECT_EQ(code({}, {""}, {}, {}), EINVAL);
}

TEST_F(Writer, ExtentsAreWhatTheSlabCoreMakes) {
    EXPECT_EQ(with(extent_, record_), 0);
    SavedExtent bad = extent_;
    bad.size_class = kClasses;
    EXPECT_EQ(with(bad, record_), EINVAL);
    bad = extent_;
    bad.pages = kSizeClasses[0].max_pages + 1U;
    EXPECT_EQ(with(bad, record_), EINVAL);
    bad.pages = 0;
    EXPECT_EQ(with(bad, record_), EINVAL);
    bad = {kBase + (1u << 20) - kPageBytes, 2, kRunClass};
    EXPECT_EQ(
        with(bad, {.addr = bad.start, .bytes = 64, .orig = 1, .device = 0, .direction = 0, .flags = 0, .kind = 1}),
        EINVAL);
    EXPECT_EQ(code({{kBase, 1u << 20}}, {"d"}, {extent_, extent_}, {record_}), EINVAL);
    EXPECT_EQ(code({{kBase, 1u << 20}}, {"d"}, {extent_, {kSlab + (1u << 18), 1, kRunClass}}, {record_}), EINVAL)
        << "one without a record";
    EXPECT_EQ(code({{kBase, 1u << 20}}, {"d"}, {extent_}, {}), EINVAL);
    EXPECT_EQ(code({{kBase, 1u << 20}}, {"d"}, {}, {record_}), EINVAL);
    EXPECT_EQ(code({}, {"d"}, {extent_}, {record_}), EINVAL) << "in no region";
}

TEST_F(Writer, RecordsAreSlots) {
    const auto bad = [&](auto change) {
        SavedRecord record = record_;
        change(record);
        return with(extent_, record);
    };
    EXPECT_EQ(bad([](SavedRecord& r) { r.addr += 1; }), EINVAL);
    EXPECT_EQ(bad([](SavedRecord& r) { r.addr -= 64; }), EINVAL);
    EXPECT_EQ(bad([](SavedRecord& r) { r.addr += 1u << 19; }), EINVAL);
    EXPECT_EQ(bad([](SavedRecord& r) { r.bytes = 0; }), EINVAL);
    EXPECT_EQ(bad([](SavedRecord& r) { r.bytes = 65; }), EINVAL);
    EXPECT_EQ(bad([](SavedRecord& r) { r.orig = 0; }), EINVAL);
    EXPECT_EQ(bad([](SavedRecord& r) { r.device = 1; }), EINVAL);
    EXPECT_EQ(bad([](SavedRecord& r) { r.direction = 3; }), EINVAL);
    EXPECT_EQ(bad([](SavedRecord& r) { r.flags = 3; }), EINVAL);
    EXPECT_EQ(bad([](SavedRecord& r) { r.kind = 0; }), EINVAL);
    EXPECT_EQ(bad([](SavedRecord& r) { r.kind = 4; }), EINVAL);
    EXPECT_EQ(bad([](SavedRecord& r) { r.kind = 2; }), EINVAL) << "a block has no private buffer";
    EXPECT_EQ(code({{kBase, 1u << 20}}, {"d"}, {extent_}, {record_, record_}), EINVAL);
}

TEST_F(Writer, CountsAreKept) {
    SaveForm::Counts counts{.regions = 1};
    std::vector<std::byte> form(SaveForm::bytes_for(counts));
    SaveWriter few(form.data(), counts);
    EXPECT_FALSE(few.finish());
    SaveWriter many(form.data(), counts);
    many.add(SavedRegion{kBase, 1u << 20});
    many.add(SavedRegion{2 * kBase, 1u << 20});
    EXPECT_FALSE(many.finish());
}

}  // namespace
}  // namespace bounce
