// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// C++20 over bounce/quarantine.h.
#pragma once

#include <bounce/quarantine.h>
#include <bounce/bounce.hpp>

namespace bounce {

inline Result<void> quarantine(DeviceRef device) noexcept {
    return detail::checked(bounce_device_quarantine(device.handle()));
}
/// How many slots went home.
inline Result<std::size_t> release(DeviceRef device) noexcept {
    return detail::counted<std::size_t>(bounce_device_release(device.handle()));
}

}  // namespace bounce
