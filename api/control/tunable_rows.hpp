// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The tables of tunables: what each is called, what it may be, and what it is at this moment.
#pragma once

#include <cstdint>

#include "allocator/pool/pool_tuning.hpp"
#include "api/control/tunables.hpp"
#include "api/dma/device.hpp"

namespace bounce {

/// What the values of a row are, at this moment.
struct TunableValue {
    std::uint64_t value = 0;
    std::uint64_t least = 0;
    std::uint64_t most = 0;
    std::uint64_t initial = 0;
    bool live = true;
};

struct PoolView {
    Pool& pool;
    const ControlSettings& settings;
};

struct PoolRow {
    const char* name;
    bounce_control_type type;
    const char* choices;
    const char* help;
    TunableValue (*get)(const PoolView& of) noexcept;
};

struct DeviceRow {
    const char* name;  // behind device.ID.
    bounce_control_type type;
    const char* choices;
    const char* help;
    TunableValue (*get)(Device& of) noexcept;
};

std::span<const PoolRow> pool_rows() noexcept;
std::span<const DeviceRow> device_rows() noexcept;

/// The row as the wire has it.
bounce_control_tunable describe(const PoolRow& row, const PoolView& of) noexcept;
bounce_control_tunable describe(const DeviceRow& row, Device& of) noexcept;

}  // namespace bounce
