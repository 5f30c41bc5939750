// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A guest on an emulated platform with its devices: what the checks are made on.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/conformance/cases.hpp"
#include "tests/conformance/device_process.hpp"

namespace bounce::conformance {

/// Something that has to work failed: the check cannot go on.
struct GiveUp {
    std::string why;
};

/// Throws GiveUp with bounce_last_error() when status is not 0.
void must(int status, const char* what);

/// A pool and a device of it.
struct GuestPool {
    GuestPool() = default;
    GuestPool(GuestPool&& other) noexcept;
    GuestPool& operator=(GuestPool&&) = delete;
    ~GuestPool();
    /// 0 or -errno; destroys what there is.
    int close() noexcept;
    /// The address that the device has, by the case's rule and not by the library's.
    [[nodiscard]] std::uint64_t gpa_of(std::uint64_t address) const { return address - rule->to_address; }

    bounce_pool* pool = nullptr;
    bounce_device* device = nullptr;
    const Case* rule = nullptr;
};

class Guest {
public:
    static constexpr std::uint64_t kChunk = std::uint64_t{2} << 20;
    static constexpr std::uint64_t kPoolBytes = 2 * kChunk;
    static constexpr bounce_audience kEveryone{BOUNCE_AUDIENCE_EVERYONE, 0, 0};

    /// Starts a device for each of `who`.
    explicit Guest(const Case& rule, const std::vector<bounce_audience>& who = {kEveryone});
    ~Guest();
    Guest(const Guest&) = delete;
    Guest& operator=(const Guest&) = delete;

    [[nodiscard]] DeviceProcess& device(std::size_t i = 0) { return *devices_[i]; }
    [[nodiscard]] bounce_emulator* emulator() const { return emulator_; }
    [[nodiscard]] bounce_emulator_stats stats() const;
    /// Violations reported so far: their addresses.
    [[nodiscard]] std::vector<std::uint64_t> faults() const;
    [[nodiscard]] bounce_platform platform(const bounce_audience& audience = kEveryone) const;

    [[nodiscard]] bounce_pool_options pool_options() const;
    [[nodiscard]] bounce_region_options region_options(std::uint64_t gpa, std::uint64_t bytes) const;
    [[nodiscard]] bounce_device_options device_options() const;
    /// A pool at the case's base and a device; throws GiveUp.
    [[nodiscard]] GuestPool open() const { return open(pool_options(), device_options()); }
    [[nodiscard]] GuestPool open(const bounce_pool_options& pool, const bounce_device_options& device,
                                 const bounce_audience& audience = kEveryone) const;

private:
    static void on_violation(void* user, const bounce_violation* violation);

    const Case& rule_;
    std::vector<std::unique_ptr<DeviceProcess>> devices_;
    bounce_emulator* emulator_ = nullptr;
    std::atomic<bool> stop_{false};
    std::thread server_;
    mutable std::mutex lock_;
    std::vector<std::uint64_t> faults_;
};

}  // namespace bounce::conformance
