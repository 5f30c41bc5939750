// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/direct.hpp"

#include <cerrno>

#include "allocator/base/bits.hpp"

namespace bounce {

Result<std::uint64_t> DirectPath::take(const void* buf, std::size_t bytes, int direction) noexcept {
    // Before the host maps anything: of a granule that is shared with others, the device shall not see an instant.
    const auto at = reinterpret_cast<std::uintptr_t>(buf);
    if (!is_multiple(at | bytes, config_.granule))
        return fail(EINVAL, "a buffer of %llu bytes at 0x%llx is not whole granules of %llu bytes", bytes, at,
                    config_.granule);
    std::uint64_t address = 0;
    if (const int status = config_.translate(config_.user, buf, bytes, direction, &address); status != 0)
        return fail(status < 0 ? -status : EINVAL,
                    "the buffer of %llu bytes at 0x%llx has no address for the device: "
                    "translate() returned %lld",
                    bytes, at, static_cast<std::uint64_t>(std::int64_t{status}));
    if (const auto good = check(address, bytes); !good) {
        if (config_.untranslate != nullptr) config_.untranslate(config_.user, address, bytes);
        return good.error();
    }
    live_.fetch_add(1, std::memory_order_relaxed);
    return address;
}

Result<void> DirectPath::check(std::uint64_t address, std::size_t bytes) const noexcept {
    if (address > config_.highest || bytes - 1 > config_.highest - address)
        return fail(ERANGE, "%llu bytes at address 0x%llx are not below the device's mask 0x%llx", bytes, address,
                    config_.highest);
    if (!is_multiple(address, config_.align))
        return fail(EINVAL, "address 0x%llx is not a multiple of %llu, as the device needs it", address, config_.align);
    if (!is_multiple(address, config_.granule))
        return fail(EINVAL, "address 0x%llx is not at a granule of %llu bytes", address, config_.granule);
    return {};
}

void DirectPath::give(std::uint64_t address, std::size_t bytes) noexcept {
    if (config_.untranslate != nullptr) config_.untranslate(config_.user, address, bytes);
    live_.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace bounce
