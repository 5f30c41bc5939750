// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Devices with records for C++20: over the C functions of records.h, which says what each call means.
#ifndef BOUNCE_RECORDS_HPP
#define BOUNCE_RECORDS_HPP

#include <bounce/records.h>
#include <bounce/bounce.hpp>

#include <optional>

namespace bounce {
inline namespace v0 {

/// bytes 0 and no direction: not stated.
inline Result<void> unmap_addr(const DeviceRef& device, std::uint64_t addr, std::size_t written = SIZE_MAX,
                               std::size_t bytes = 0, std::optional<Direction> direction = std::nullopt) noexcept {
    const int stated = direction ? static_cast<int>(*direction) : BOUNCE_ANY_DIRECTION;
    return detail::checked(bounce_device_unmap_addr(device.handle(), addr, bytes, stated, written));
}

/// What lies around an address.
inline Result<bounce_record> lookup(const DeviceRef& device, std::uint64_t addr) noexcept {
    bounce_record record;
    if (const int status = bounce_device_lookup(device.handle(), addr, &record, nullptr); status < 0)
        return Error(-status);
    return record;
}

}  // namespace v0
}  // namespace bounce
#endif
