// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Little-endian integers in memory that a device shares. Every access is one load or store of the full width, so what
// was validated is what is used, and a device that writes at the same moment is no data race.
#pragma once

#include <atomic>
#include <bit>
#include <concepts>
#include <cstdint>

namespace bounce {

/// Between the host's byte order and little-endian; its own inverse.
template <std::unsigned_integral T>
constexpr T to_le(T value) noexcept {
    static_assert(sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8);
    if constexpr (std::endian::native == std::endian::little) {
        return value;
    } else if constexpr (sizeof(T) == 2) {
        return __builtin_bswap16(value);
    } else if constexpr (sizeof(T) == 4) {
        return __builtin_bswap32(value);
    } else {
        return __builtin_bswap64(value);
    }
}

/// An integer that is little-endian in memory whatever the host is. Plain data: it is laid over ring memory. A place
/// that orders anything by an access passes the order and names its partner.
template <std::unsigned_integral T>
class Le {
public:
    T load(std::memory_order order = std::memory_order_relaxed) const noexcept {
        // C++20 has no atomic_ref of const; ring memory is never const itself.
        return to_le(std::atomic_ref<T>(const_cast<T&>(raw_)).load(order));
    }
    void store(T value, std::memory_order order = std::memory_order_relaxed) noexcept {
        std::atomic_ref<T>(raw_).store(to_le(value), order);
    }

private:
    static_assert(std::atomic_ref<T>::is_always_lock_free && std::atomic_ref<T>::required_alignment <= sizeof(T));
    alignas(sizeof(T)) T raw_;
};

using le16 = Le<std::uint16_t>;
using le32 = Le<std::uint32_t>;
using le64 = Le<std::uint64_t>;

}  // namespace bounce
