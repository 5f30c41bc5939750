// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Little-endian words of shared memory, as another machine than the driver's sees them.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tests/hostile/hostile_device.hpp"

namespace bounce::hostile {

template <class T>
T swapped(T value) {
    if constexpr (std::endian::native == std::endian::little) return value;
    T out = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) out = static_cast<T>(out << 8 | (value >> (8 * i) & 0xff));
    return out;
}

template <class T>
T load(const std::byte* at) {
    // seq_cst: pairs with whatever the driver stores last of what it publishes.
    T& place = *reinterpret_cast<T*>(const_cast<std::byte*>(at));
    return swapped(std::atomic_ref<T>(place).load(std::memory_order_seq_cst));
}

/// Never half of what kPrivate looks like.
template <class T>
void store(std::byte* at, T value) {
    constexpr auto kPair = static_cast<std::uint16_t>(kPrivate << 8 | kPrivate);
    if (static_cast<std::uint16_t>(value) == kPair) value = static_cast<T>(value ^ 0x0101);
    // seq_cst: releases what was written before to the driver's acquire loads.
    std::atomic_ref<T>(*reinterpret_cast<T*>(at)).store(swapped(value), std::memory_order_seq_cst);
}

inline std::uint8_t harmless(std::uint32_t value) {
    const auto byte = static_cast<std::uint8_t>(value);
    return byte == kPrivate ? std::uint8_t{0} : byte;
}

}  // namespace bounce::hostile
