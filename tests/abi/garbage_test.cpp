// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Tokens are the caller's memory. Whatever stands in one, nothing crashes, and nothing that is live is lost. (The one
// thing that is believed is the address of the private buffer, which only the caller knows: it is left alone here.)
#include <array>
#include <random>
#include <vector>

#include "bounce/records.h"
#include "tests/unit/api/abi/abi_fixture.hpp"

namespace bounce {
namespace {

class Garbage : public AbiTest {
protected:
    void fill(void* at, std::size_t bytes) {
        auto* byte = static_cast<unsigned char*>(at);
        for (std::size_t i = 0; i < bytes; ++i) byte[i] = static_cast<unsigned char>(random_());
    }
    static bool is_error(int status) { return status < 0 && *bounce_last_error() != '\0'; }

    std::mt19937 random_{20240607};
    std::vector<char> private_ = std::vector<char>(8192, 'p');
};

TEST_F(Garbage, RandomTokens) {
    for (int i = 0; i < 20000; ++i) {
        bounce_mapping mapping;
        bounce_block block;
        fill(&mapping, sizeof mapping);
        fill(&block, sizeof block);
        ASSERT_TRUE(is_error(bounce_device_unmap(device_, &mapping, SIZE_MAX)));
        ASSERT_TRUE(is_error(bounce_device_sync_for_cpu(device_, &mapping, 0, 1, BOUNCE_BIDIRECTIONAL)));
        ASSERT_TRUE(is_error(bounce_device_sync_for_device(device_, &mapping, 0, 1, BOUNCE_BIDIRECTIONAL)));
        ASSERT_TRUE(is_error(bounce_coherent_free(device_, &block)));
        ASSERT_TRUE(is_error(bounce_buffer_free(device_, &block)));
    }
    EXPECT_EQ(stats().slots, 0u);
}

// The same for a device that goes the long way.
TEST_F(Garbage, RandomTokensOfAWatchedDevice) {
    auto options = device_options();
    options.flags = BOUNCE_DEVICE_RECORDS | BOUNCE_DEVICE_DEBUG;
    bounce_device* watched = nullptr;
    ASSERT_EQ(bounce_device_create(pool_, &options, &watched), 0) << bounce_last_error();
    for (int i = 0; i < 5000; ++i) {
        bounce_mapping mappings[2];
        bounce_block block;
        fill(mappings, sizeof mappings);
        fill(&block, sizeof block);
        if (i % 2 != 0) mappings[0].state = 0xa9;
        ASSERT_TRUE(is_error(bounce_device_unmap(watched, &mappings[0], SIZE_MAX)));
        ASSERT_TRUE(is_error(bounce_device_unmap_sg(watched, mappings, 2, SIZE_MAX)));
        ASSERT_TRUE(is_error(bounce_device_sync_for_cpu(watched, &mappings[0], 0, 1, BOUNCE_BIDIRECTIONAL)));
        ASSERT_TRUE(is_error(bounce_device_unmap_addr(watched, mappings[0].addr, 0, BOUNCE_ANY_DIRECTION, 0)));
        ASSERT_TRUE(is_error(bounce_coherent_free(watched, &block)));
    }
    EXPECT_EQ(stats().slots, 0u);
    EXPECT_EQ(bounce_device_destroy(watched), 0) << bounce_last_error();
}

// Close to the truth: a live token with some bits wrong. Either it is refused and the real one is still good, or the
// damage did not matter, and then the real one is spent.
TEST_F(Garbage, DamagedMappings) {
    constexpr std::size_t kFirst = offsetof(bounce_mapping, orig);
    constexpr std::size_t kLast = kFirst + sizeof(void*);
    int refused = 0;
    for (int i = 0; i < 20000; ++i) {
        const std::size_t bytes = 1 + random_() % private_.size();
        bounce_mapping real;
        ASSERT_EQ(bounce_device_map(device_, private_.data(), bytes, static_cast<int>(random_() % 3), 0, &real), 0);
        bounce_mapping damaged = real;
        std::array<unsigned char, sizeof damaged> image;
        std::memcpy(image.data(), &damaged, image.size());
        for (auto flips = 1 + random_() % 3; flips != 0; --flips) {
            const std::size_t at = random_() % image.size();
            if (at < kFirst || at >= kLast) image[at] = static_cast<unsigned char>(image[at] ^ 1u << random_() % 8);
        }
        std::memcpy(&damaged, image.data(), image.size());
        // Grown lengths that still fit the slot would reach beyond the private buffer: what the caller says it owns.
        if (damaged.bytes > bytes && damaged.bytes <= 2 * private_.size()) damaged.bytes = bytes;
        const int status = bounce_device_unmap(device_, &damaged, SIZE_MAX);
        // A wrong epoch says that the memory was renewed: the slot goes home, and nothing is copied.
        const bool spent = stats().slots == 0;
        ASSERT_TRUE(spent || status != 0);
        ASSERT_TRUE(!spent || status == 0 || (status == -ESTALE && damaged.epoch != real.epoch)) << status;
        if (spent) {
            ASSERT_TRUE(is_error(bounce_device_unmap(device_, &real, 0)));
        } else {
            ASSERT_TRUE(is_error(status));
            ++refused;
            ASSERT_EQ(bounce_device_unmap(device_, &real, 0), 0) << bounce_last_error();
        }
        ASSERT_EQ(stats().slots, 0u);
    }
    EXPECT_GT(refused, 10000);
}

TEST_F(Garbage, DamagedBlocks) {
    for (int i = 0; i < 20000; ++i) {
        bounce_block real;
        ASSERT_EQ(bounce_coherent_alloc(device_, 1 + random_() % 8192, 0, &real), 0);
        bounce_block damaged = real;
        std::array<unsigned char, sizeof damaged> image;
        std::memcpy(image.data(), &damaged, image.size());
        const std::size_t at = random_() % image.size();
        image[at] = static_cast<unsigned char>(image[at] ^ 1u << random_() % 8);
        std::memcpy(&damaged, image.data(), image.size());
        ASSERT_TRUE(is_error(bounce_buffer_free(device_, &damaged)));
        if (bounce_coherent_free(device_, &damaged) != 0) {
            ASSERT_EQ(bounce_coherent_free(device_, &real), 0) << bounce_last_error();
        } else {
            ASSERT_TRUE(is_error(bounce_coherent_free(device_, &real)));
        }
        ASSERT_EQ(stats().slots, 0u);
    }
}

TEST_F(Garbage, Arguments) {
    bounce_ring* ring = nullptr;
    const auto options = ring_options();
    ASSERT_EQ(bounce_ring_create(device_, &options, &ring), 0);
    std::array<bounce_sg, 4> sg{};
    std::array<bounce_mapping, 4> mappings{};
    for (int i = 0; i < 5000; ++i) {
        for (auto& each : sg) {
            // Lengths that no buffer has: the address is not looked at. Flags at random.
            each = {private_.data(), (std::size_t{random_()} << 32) | 1u << 31, static_cast<std::uint32_t>(random_()),
                    static_cast<std::uint32_t>(random_())};
        }
        const auto direction = static_cast<int>(random_());
        const auto flags = static_cast<std::uint32_t>(random_());
        ASSERT_TRUE(is_error(bounce_device_map_sg(device_, sg.data(), sg.size(), direction, flags, mappings.data())));
        ASSERT_TRUE(is_error(bounce_device_unmap_sg(device_, mappings.data(), mappings.size(), random_())));
        ASSERT_TRUE(is_error(bounce_ring_add(ring, sg.data(), random_() % 3, 1 + random_() % 2, this)));
        void* hva = nullptr;
        const std::uint64_t gpa = std::uint64_t{random_()} << 33 | random_();
        ASSERT_TRUE(is_error(bounce_pool_gpa_to_hva(pool_, gpa, SIZE_MAX - random_(), &hva)));
    }
    EXPECT_EQ(bounce_ring_destroy(ring), 0) << bounce_last_error();
    EXPECT_EQ(stats().slots, 0u);
}

TEST(ErrorText, OfAnyCode) {
    for (int code = -4096; code <= 4096; ++code) {
        ASSERT_NE(bounce_error_text(code), nullptr);
        ASSERT_STRNE(bounce_error_text(code), "");
    }
    EXPECT_STREQ(bounce_error_text(-ENOSPC), bounce_error_text(ENOSPC));
}

}  // namespace
}  // namespace bounce
