// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A device over a pool of one region, and the device's side of it: reading and writing slots by GPA.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "api/dma/callbacks.hpp"
#include "api/dma/device.hpp"

namespace bounce {

inline constexpr std::uint64_t kBase = 0x1'0000'0000;

class DeviceTest : public testing::Test {
protected:
    explicit DeviceTest(std::uint64_t pool_bytes = 4u << 20, const DeviceConfig& config = {}) {
        RegionConfig region;
        region.bytes = pool_bytes;
        region.base_gpa = Gpa{kBase};
        auto pool = Pool::create(region);
        if (!pool) throw std::runtime_error(last_error());
        pool_ = std::move(*pool);
        device_ = make(config);
    }
    ~DeviceTest() override {
        if (device_ != nullptr) {
            EXPECT_EQ(device_->outstanding(), 0u);
        }
        device_.reset();
        EXPECT_EQ(pool_->stats().slots, 0u);
        EXPECT_EQ(pool_->users(), 0u);
    }

    std::unique_ptr<Device> make(const DeviceConfig& config) {
        auto device = Device::create(*pool_, callbacks_, config);
        if (!device) throw std::runtime_error(last_error());
        return std::move(*device);
    }
    /// What the device sees at an address.
    std::byte* at(std::uint64_t gpa, std::uint64_t bytes) {
        auto hva = pool_->to_hva(Gpa{gpa}, bytes);
        EXPECT_TRUE(hva) << last_error();
        return *hva;
    }
    std::string seen(const bounce_mapping& mapping) {
        return {reinterpret_cast<const char*>(at(mapping.addr, mapping.bytes)), mapping.bytes};
    }
    void write(const bounce_mapping& mapping, const std::string& text, std::size_t offset = 0) {
        std::memcpy(at(mapping.addr, mapping.bytes) + offset, text.data(), text.size());
    }

    Callbacks callbacks_;
    std::unique_ptr<Pool> pool_;
    std::unique_ptr<Device> device_;
};

}  // namespace bounce
