// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Little-endian fields, whatever the machine.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstring>

namespace bounce::tools {

template <std::unsigned_integral T>
constexpr T byte_swap_unless_little(T value) noexcept {
    if constexpr (std::endian::native == std::endian::little || sizeof(T) == 1) {
        return value;
    } else {
        T swapped = 0;
        for (std::size_t i = 0; i < sizeof(T); ++i) {
            swapped = static_cast<T>(swapped << 8 | ((value >> (8 * i)) & 0xff));
        }
        return swapped;
    }
}

template <std::unsigned_integral T>
T load_le(const void* from) noexcept {
    T value;
    std::memcpy(&value, from, sizeof value);
    return byte_swap_unless_little(value);
}

template <std::unsigned_integral T>
void store_le(void* to, T value) noexcept {
    value = byte_swap_unless_little(value);
    std::memcpy(to, &value, sizeof value);
}

}  // namespace bounce::tools
