// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The form that the addresses of a region have for its devices: the GPA moved by a constant of the region. So the pool
// does all its arithmetic in addresses for the device, and a mapping costs the same whatever their form is.
#pragma once

#include <cstdint>

#include "allocator/base/error.hpp"
#include "allocator/base/types.hpp"

namespace bounce {

struct AddressForm {
    /// Tells where a region begins for the device; 0 or -errno.
    using Hook = int (*)(void* user, std::uint64_t gpa, std::uint64_t bytes, std::uint64_t* address);

    std::uint64_t bias = 0;  // added to the GPA, modulo 2^64
    bool offset = false;     // the offset in the region, instead
    Hook locate = nullptr;   // asked once for each region, instead
    void* user = nullptr;
    std::uint64_t forbidden = 0;  // a bit of at least 2 MiB that no GPA of a region has; 0: none

    /// The address of the first byte of a region. Multiples of 2 MiB stay such, so that what is aligned for one side is
    /// aligned for the other. EINVAL when it cannot be so; the hook's error.
    [[nodiscard]] Result<Gpa> first(Gpa base, std::uint64_t bytes) const noexcept;
};

}  // namespace bounce
