// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/region/address_form.hpp"

#include <cerrno>

#include "allocator/base/bits.hpp"
#include "allocator/base/mutation.hpp"

namespace bounce {

Result<Gpa> AddressForm::first(Gpa base, std::uint64_t bytes) const noexcept {
    if (BOUNCE_MUTATED(kAddressEncoding)) return base;
    // A region ends before the bit, or begins behind all that have it.
    if (forbidden != 0 && ((base.value & forbidden) != 0 || bytes > forbidden - (base.value & (forbidden - 1))))
        return fail(EINVAL, "%llu bytes at GPA 0x%llx have the bit 0x%llx, which says of a page who may see it", bytes,
                    base.value, forbidden);
    std::uint64_t address = offset ? 0 : base.value + bias;
    if (locate != nullptr) {
        const int status = locate(user, base.value, bytes, &address);
        if (status != 0) {
            return fail(status < 0 && status >= -4095 ? -status : EIO,
                        "no address for the device for %llu bytes at GPA 0x%llx (the hook returned %lld)", bytes,
                        base.value, static_cast<std::uint64_t>(status));
        }
    }
    if (!is_multiple(address - base.value, kChunkBytes))
        return fail(EINVAL,
                    "the region at GPA 0x%llx begins at 0x%llx for the device, expected a distance of a multiple of "
                    "2 MiB",
                    base.value, address);
    if (address + (bytes - 1) < address)
        return fail(EINVAL, "%llu bytes from address 0x%llx (GPA 0x%llx) reach beyond the last address", bytes, address,
                    base.value);
    return Gpa{address};
}

}  // namespace bounce
