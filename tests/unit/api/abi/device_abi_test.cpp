// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include <climits>

#include "tests/unit/api/abi/abi_fixture.hpp"

namespace bounce {
namespace {

using DeviceAbi = AbiTest;

TEST_F(DeviceAbi, OptionsAreChecked) {
    bounce_device* device = device_;
    auto options = device_options();
    options.size = 8;
    expect_error(bounce_device_create(pool_, &options, &device), EINVAL, "options.size");
    EXPECT_EQ(device, nullptr);
    options = device_options();
    options.flags = 4;
    expect_error(bounce_device_create(pool_, &options, &device), EINVAL, "options.flags");
    options = device_options();
    options.reserved = 1;
    expect_error(bounce_device_create(pool_, &options, &device), EINVAL, "options.reserved");
    const std::string name(64, 'n');
    options = device_options();
    options.name = name.c_str();
    expect_error(bounce_device_create(pool_, &options, &device), EINVAL, "options.name");
    options = device_options();
    expect_error(bounce_device_create(nullptr, &options, &device), EINVAL, "pool is NULL");
    expect_error(bounce_device_create(pool_, nullptr, &device), EINVAL, "options is NULL");
    expect_error(bounce_device_create(pool_, &options, nullptr), EINVAL, "device is NULL");
    EXPECT_EQ(bounce_device_destroy(nullptr), 0);
}

TEST_F(DeviceAbi, ZeroMeansNoLimit) {
    char byte = 'x';
    bounce_mapping mapping;
    ASSERT_EQ(bounce_device_map(device_, &byte, 1, BOUNCE_TO_DEVICE, 0, &mapping), 0) << bounce_last_error();
    EXPECT_EQ(bounce_device_unmap(device_, &mapping, 0), 0);
}

TEST_F(DeviceAbi, MasksAndLimitsAreThoseOfTheOptions) {
    auto options = device_options();
    options.dma_mask = 0xffff'ffff;
    options.max_segment_bytes = 16;
    bounce_device* device = nullptr;
    ASSERT_EQ(bounce_device_create(pool_, &options, &device), 0);
    char bytes[32] = {};
    bounce_mapping mapping;
    bounce_block block;
    expect_error(bounce_device_map(device, bytes, 17, BOUNCE_TO_DEVICE, 0, &mapping), E2BIG, "16");
    expect_error(bounce_device_map(device, bytes, 16, BOUNCE_TO_DEVICE, 0, &mapping), ERANGE);
    EXPECT_EQ(bounce_coherent_alloc(device, 64, 0, &block), 0);
    EXPECT_EQ(bounce_coherent_free(device, &block), 0);
    EXPECT_EQ(bounce_device_destroy(device), 0);
}

TEST_F(DeviceAbi, PoliciesAreChecked) {
    bounce_device* device = nullptr;
    const auto expect_bad = [&](std::uint32_t copy, std::uint32_t reuse, std::uint64_t window, const char* text) {
        auto options = device_options();
        options.copy_policy = copy;
        options.reuse_policy = reuse;
        options.reuse_window_bytes = window;
        expect_error(bounce_device_create(pool_, &options, &device), EINVAL, text);
    };
    expect_bad(3, 0, 0, "options.copy_policy is 3");
    expect_bad(0, 4, 0, "options.reuse_policy is 4");
    expect_bad(0, BOUNCE_REUSE_LIFO, 65536, "has no window");
    expect_bad(0, BOUNCE_REUSE_FIFO, 65536, "has no window");
    expect_bad(0, BOUNCE_REUSE_WINDOW, 4095, "4095, expected 4096");
    expect_bad(0, BOUNCE_REUSE_AUTO, stats().bytes / 8 + 1, "1/8 of the pool");
    for (std::uint32_t copy = 0; copy <= BOUNCE_COPY_NONTEMPORAL; ++copy) {
        for (std::uint32_t reuse = 0; reuse <= BOUNCE_REUSE_FIFO; ++reuse) {
            auto options = device_options();
            options.copy_policy = copy;
            options.reuse_policy = reuse;
            if (reuse == BOUNCE_REUSE_WINDOW) options.reuse_window_bytes = stats().bytes / 8;
            ASSERT_EQ(bounce_device_create(pool_, &options, &device), 0) << bounce_last_error();
            EXPECT_EQ(bounce_device_destroy(device), 0);
        }
    }
}

TEST_F(DeviceAbi, AnOlderCallersOptionsEndBeforeThePolicies) {
    auto options = device_options();
    options.size = offsetof(bounce_device_options, copy_policy);
    options.copy_policy = 77;  // not part of what was handed in
    bounce_device* device = nullptr;
    ASSERT_EQ(bounce_device_create(pool_, &options, &device), 0) << bounce_last_error();
    EXPECT_EQ(bounce_device_destroy(device), 0);
}

TEST_F(DeviceAbi, NullArguments) {
    char byte = 0;
    bounce_mapping mapping{};
    bounce_sg sg{&byte, 1, 0, 0};
    bounce_block block{};
    expect_error(bounce_device_map(nullptr, &byte, 1, BOUNCE_TO_DEVICE, 0, &mapping), EINVAL, "device is NULL");
    expect_error(bounce_device_map(device_, &byte, 1, BOUNCE_TO_DEVICE, 0, nullptr), EINVAL, "mapping is NULL");
    expect_error(bounce_device_map(device_, nullptr, 1, BOUNCE_TO_DEVICE, 0, &mapping), EINVAL, "NULL");
    expect_error(bounce_device_unmap(nullptr, &mapping, 0), EINVAL, "device is NULL");
    expect_error(bounce_device_unmap(device_, nullptr, 0), EINVAL, "mapping is NULL");
    expect_error(bounce_device_sync_for_cpu(nullptr, &mapping, 0, 1, 0), EINVAL, "device is NULL");
    expect_error(bounce_device_sync_for_cpu(device_, nullptr, 0, 1, 0), EINVAL, "mapping is NULL");
    expect_error(bounce_device_sync_for_device(nullptr, &mapping, 0, 1, 0), EINVAL, "device is NULL");
    expect_error(bounce_device_sync_for_device(device_, nullptr, 0, 1, 0), EINVAL, "mapping is NULL");
    expect_error(bounce_device_map_sg(nullptr, &sg, 1, 0, 0, &mapping), EINVAL, "device is NULL");
    expect_error(bounce_device_map_sg(device_, nullptr, 1, 0, 0, &mapping), EINVAL, "sg is NULL");
    expect_error(bounce_device_map_sg(device_, &sg, 1, 0, 0, nullptr), EINVAL, "mappings is NULL");
    expect_error(bounce_device_map_sg(device_, &sg, 0, 0, 0, &mapping), EINVAL, "0 segments");
    expect_error(bounce_device_unmap_sg(nullptr, &mapping, 1, 0), EINVAL, "device is NULL");
    expect_error(bounce_device_unmap_sg(device_, nullptr, 1, 0), EINVAL, "mappings is NULL");
    expect_error(bounce_device_unmap_sg(device_, &mapping, 0, 0), EINVAL, "0 mappings");
    expect_error(bounce_coherent_alloc(nullptr, 1, 0, &block), EINVAL, "device is NULL");
    expect_error(bounce_coherent_alloc(device_, 1, 0, nullptr), EINVAL, "block is NULL");
    expect_error(bounce_coherent_free(nullptr, &block), EINVAL, "device is NULL");
    expect_error(bounce_coherent_free(device_, nullptr), EINVAL, "block is NULL");
    expect_error(bounce_buffer_alloc(nullptr, 1, 0, &block), EINVAL, "device is NULL");
    expect_error(bounce_buffer_alloc(device_, 1, 0, nullptr), EINVAL, "block is NULL");
    expect_error(bounce_buffer_free(nullptr, &block), EINVAL, "device is NULL");
    expect_error(bounce_buffer_free(device_, nullptr), EINVAL, "block is NULL");
}

TEST_F(DeviceAbi, DirectionsThatAreNone) {
    char byte = 0;
    bounce_sg sg{&byte, 1, 0, 0};
    for (const int direction : {-1, 3, 256, 257, INT_MAX, INT_MIN}) {
        bounce_mapping mapping{};
        expect_error(bounce_device_map(device_, &byte, 1, direction, 0, &mapping), EINVAL, "direction");
        expect_error(bounce_device_map_sg(device_, &sg, 1, direction, 0, &mapping), EINVAL, "direction");
        ASSERT_EQ(bounce_device_map(device_, &byte, 1, BOUNCE_BIDIRECTIONAL, 0, &mapping), 0);
        expect_error(bounce_device_sync_for_cpu(device_, &mapping, 0, 1, direction), EINVAL, "direction");
        expect_error(bounce_device_sync_for_device(device_, &mapping, 0, 1, direction), EINVAL, "direction");
        EXPECT_EQ(bounce_device_unmap(device_, &mapping, 0), 0);
    }
}

TEST_F(DeviceAbi, DestroyNamesWhatIsOutstanding) {
    char byte = 0;
    bounce_mapping mapping;
    bounce_block blocks[2];
    ASSERT_EQ(bounce_device_map(device_, &byte, 1, BOUNCE_TO_DEVICE, 0, &mapping), 0);
    ASSERT_EQ(bounce_coherent_alloc(device_, 1, 0, &blocks[0]), 0);
    ASSERT_EQ(bounce_buffer_alloc(device_, 1, 0, &blocks[1]), 0);
    expect_error(bounce_device_destroy(device_), EBUSY, "1 mappings and 2 blocks");
    EXPECT_EQ(bounce_device_unmap(device_, &mapping, 0), 0);
    EXPECT_EQ(bounce_coherent_free(device_, &blocks[0]), 0);
    expect_error(bounce_device_destroy(device_), EBUSY, "0 mappings and 1 blocks");
    EXPECT_EQ(bounce_buffer_free(device_, &blocks[1]), 0);
}

TEST_F(DeviceAbi, StreamingEndToEnd) {
    char question[] = "question";
    char answer[16] = {};
    const bounce_sg sg[] = {{question, 8, 0, 0}, {answer, 16, 0, 0}};
    bounce_mapping mappings[2];
    ASSERT_EQ(bounce_device_map_sg(device_, sg, 2, BOUNCE_BIDIRECTIONAL, 0, mappings), 0) << bounce_last_error();
    void* seen = nullptr;
    ASSERT_EQ(bounce_pool_gpa_to_hva(pool_, mappings[0].addr, 8, &seen), 0);
    EXPECT_EQ(std::memcmp(seen, "question", 8), 0);
    ASSERT_EQ(bounce_pool_gpa_to_hva(pool_, mappings[1].addr, 16, &seen), 0);
    std::memcpy(seen, "answer", 7);
    EXPECT_EQ(bounce_device_sync_for_cpu(device_, &mappings[1], 0, 3, BOUNCE_FROM_DEVICE), 0);
    EXPECT_STREQ(answer, "ans");
    EXPECT_EQ(bounce_device_unmap_sg(device_, mappings, 2, 8 + 7), 0);
    EXPECT_STREQ(answer, "answer");
}

}  // namespace
}  // namespace bounce
