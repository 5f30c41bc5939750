// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The one place where payload crosses between private memory and a slot. The other side may write the slot at any
// moment: what is copied is data, and nothing here looks at it. A torn copy is the device's own fault and harmless.
#pragma once

#include <cstddef>
#include <cstring>

namespace bounce {

inline void copy_to_slot(std::byte* slot, const void* buf, std::size_t bytes) noexcept {
    std::memcpy(slot, buf, bytes);
}

inline void copy_from_slot(void* buf, const std::byte* slot, std::size_t bytes) noexcept {
    std::memcpy(buf, slot, bytes);
}

inline void zero_slot(std::byte* slot, std::size_t bytes) noexcept {
    std::memset(slot, 0, bytes);
}

}  // namespace bounce
