// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What can be read and changed of a pool and its devices, by name. Setting several is one step: all are checked against
// their ranges and against each other, then they are applied; when one is refused after all (a floor that the pool has
// not the memory for), those before it get their old values back.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "allocator/pool/pool.hpp"
#include "api/dma/telemetry.hpp"
#include "bounce/control.h"

namespace bounce {

/// Of the control itself.
struct ControlSettings {
    std::uint64_t publish_ms = 250;
    bool tags = true;
    std::uint64_t sample = 0;  // a choice: 0, or the power of two above it
    bool read_only = false;

    [[nodiscard]] std::uint32_t sample_every() const noexcept {
        return sample == 0 ? 0 : std::uint32_t{1} << (sample - 1);
    }
};

class Tunables {
public:
    static constexpr std::size_t kMostItems = BOUNCE_CONTROL_REQUEST_BYTES / sizeof(bounce_control_item);

    Tunables(Pool& pool, Telemetry& telemetry, ControlSettings& settings) noexcept
        : pool_(pool), telemetry_(telemetry), settings_(settings) {}

    /// Those from a number on, as far as there is room; how many there are in all.
    std::size_t list(std::uint64_t from, std::span<bounce_control_tunable> room, std::uint64_t& total) noexcept;
    /// All or none; `before` of each is filled in. ENOENT: there is no such tunable; EPERM: it is fixed; ERANGE: with
    /// the range; EINVAL: it does not fit to another one; or what the pool or device says. dry_run: nothing is applied.
    Result<void> set(std::span<bounce_control_item> items, bool dry_run) noexcept;

private:
    Result<void> check(const bounce_control_item& item, bounce_control_tunable& found) noexcept;
    Result<void> apply(std::span<const bounce_control_item> items, bool back) noexcept;
    Result<void> apply_growth(std::span<const bounce_control_item> items, bool back) noexcept;
    Result<void> apply_devices(std::span<const bounce_control_item> items, bool back) noexcept;
    Result<void> apply_settings(std::span<const bounce_control_item> items, bool back) noexcept;

    Pool& pool_;
    Telemetry& telemetry_;
    ControlSettings& settings_;
};

}  // namespace bounce
