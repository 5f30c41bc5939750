// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Devices with records and with debugging, and what their pool knows of them.
#pragma once

#include "api/abi/handles.hpp"

namespace bounce::abi {

/// Completes `config`, which refers to `debug` then.
Result<void> read_watch_options(bounce_pool& pool, const bounce_device_options& options, DeviceConfig& config,
                                DebugConfig& debug) noexcept;
/// device_abi.cpp. All but what read_watch_options() reads; `options` is what was given, as far as it is known.
Result<DeviceConfig> read_device_options(const bounce_device_options* given, std::uint64_t pool_bytes,
                                         std::uint32_t encoding, bounce_device_options& options) noexcept;
/// A device that is watched comes, and goes (others may too).
void begin_watch(bounce_pool& pool, bounce_device& device) noexcept;
void end_watch(bounce_device& device) noexcept;
/// Is any of [gpa, gpa + bytes) mapped by a device that is debugged? Then that is reported.
bool mapped_by_debugged(bounce_pool& pool, Gpa gpa, std::uint64_t bytes, const void* caller) noexcept;
/// The pool's records, made when there are none. ENOMEM.
Result<Records*> records_of(bounce_pool& pool) noexcept;

}  // namespace bounce::abi
