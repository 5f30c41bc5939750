// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a token says of its slot besides the address, in 32 bits:
//
//   0..8 slot | 9..15 size class | 16..17 birth | 18..23 region | 24..25 any | 26..31 generation
//
// The order makes the hot path short: adding at the top gives the next generation, without a carry; size class and
// birth are where a page's entry (slab_tables.hpp) has them; the top is the state byte of a free slot.
#pragma once

#include <cstdint>

#include "allocator/base/types.hpp"

namespace bounce {

/// Which slot of which class, in 16 bits.
constexpr std::uint16_t slot_index(std::uint32_t size_class, std::uint32_t slot) {
    return static_cast<std::uint16_t>(size_class << 9 | slot);
}
constexpr std::uint32_t class_of_index(std::uint16_t index) {
    return index >> 9U;
}
constexpr std::uint32_t slot_of_index(std::uint16_t index) {
    return index & 511U;
}

// A token's generation: that of the slot, and the birth count of the page on which the slot begins.
constexpr std::uint8_t token_generation(unsigned generation, unsigned birth) {
    return static_cast<std::uint8_t>(birth << 6 | generation);
}

class SlotHandle {
public:
    static constexpr unsigned kClassShift = 9;
    static constexpr unsigned kBirthShift = 16;
    static constexpr unsigned kRegionShift = 18;
    static constexpr unsigned kGenerationShift = 26;
    /// What a slot's handle and the entry of its page have in common.
    static constexpr std::uint32_t kOfPage = std::uint32_t{127} << kClassShift | std::uint32_t{3} << kBirthShift;

    /// What all slots of one size class in one region have in common.
    static constexpr std::uint32_t kOfPlace = std::uint32_t{127} << kClassShift | std::uint32_t{63} << kRegionShift;

    constexpr SlotHandle() noexcept = default;
    /// From what anybody says: every value is one.
    constexpr explicit SlotHandle(std::uint32_t bits) noexcept : bits_(bits) {}
    /// `generation` as token_generation() makes it.
    constexpr SlotHandle(RegionId region, std::uint16_t index, std::uint8_t generation) noexcept
        : bits_(std::uint32_t{index} | region.value << kRegionShift | std::uint32_t{generation} >> 6U << kBirthShift |
                std::uint32_t{generation} << kGenerationShift) {}

    [[nodiscard]] constexpr std::uint32_t bits() const noexcept { return bits_; }
    [[nodiscard]] constexpr RegionId region() const noexcept { return RegionId{bits_ >> kRegionShift & 63}; }
    [[nodiscard]] constexpr std::uint16_t index() const noexcept { return static_cast<std::uint16_t>(bits_); }
    [[nodiscard]] constexpr std::uint32_t size_class() const noexcept { return bits_ >> kClassShift & 127; }
    [[nodiscard]] constexpr std::uint32_t slot() const noexcept { return bits_ & 511; }
    [[nodiscard]] constexpr bool same_place(SlotHandle other) const noexcept {
        return ((bits_ ^ other.bits_) & kOfPlace) == 0;
    }
    /// As token_generation() makes it.
    [[nodiscard]] constexpr std::uint8_t generation() const noexcept {
        return token_generation(bits_ >> kGenerationShift, bits_ >> kBirthShift & 3);
    }
    /// The state byte (slot_ops.hpp) of this slot while it is of this kind.
    [[nodiscard]] constexpr std::uint8_t state(unsigned kind) const noexcept {
        return static_cast<std::uint8_t>((kind == 1 ? 0 : kind) << 6 | bits_ >> kGenerationShift);
    }
    /// Of the token after this one.
    [[nodiscard]] constexpr SlotHandle next() const noexcept {
        return SlotHandle(bits_ + (std::uint32_t{1} << kGenerationShift));
    }

    friend constexpr bool operator==(SlotHandle, SlotHandle) = default;

private:
    std::uint32_t bits_ = 0;
};
static_assert(sizeof(SlotHandle) == 4);

}  // namespace bounce
