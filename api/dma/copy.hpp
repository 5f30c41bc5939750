// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The one place where payload crosses between private memory and a slot. The other side may write the slot at any
// moment: what is copied is data, and nothing here looks at it. A torn copy is the device's own fault and harmless.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace bounce {

/// Up to this size a copy is a few moves in place: a call of memcpy would cost more than they do.
inline constexpr std::size_t kCopyInline = 64;
/// Shorter copies are never streamed: their lines are too few to pay for the fence.
inline constexpr std::size_t kStreamFrom = 512;

namespace copy_detail {

/// sizeof(Word) to twice as many bytes, by two moves that may overlap.
template <class Word>
inline void move_ends(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
    Word head;
    Word tail;
    std::memcpy(&head, from, sizeof head);
    std::memcpy(&tail, from + bytes - sizeof tail, sizeof tail);
    std::memcpy(to, &head, sizeof head);
    std::memcpy(to + bytes - sizeof tail, &tail, sizeof tail);
}

struct Words2 {
    std::uint64_t word[2];
};
struct Words4 {
    std::uint64_t word[4];
};

/// bytes <= kCopyInline.
inline void copy_small(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
    static_assert(kCopyInline == 2 * sizeof(Words4));
    if (bytes > sizeof(Words4)) return move_ends<Words4>(to, from, bytes);
    if (bytes >= sizeof(Words2)) return move_ends<Words2>(to, from, bytes);
    if (bytes >= sizeof(std::uint64_t)) return move_ends<std::uint64_t>(to, from, bytes);
    if (bytes >= sizeof(std::uint32_t)) return move_ends<std::uint32_t>(to, from, bytes);
    if (bytes >= sizeof(std::uint16_t)) return move_ends<std::uint16_t>(to, from, bytes);
    if (bytes == 1) *to = *from;
}

inline void copy(void* to, const void* from, std::size_t bytes) noexcept {
    if (bytes <= kCopyInline)
        copy_small(static_cast<std::byte*>(to), static_cast<const std::byte*>(from), bytes);
    else
        std::memcpy(to, from, bytes);
}

/// stream_to_slot() by stores of 16 bytes, or of 32 where the processor has them.
void stream(std::byte* slot, const std::byte* buf, std::size_t bytes, bool wide) noexcept;

}  // namespace copy_detail

inline void copy_to_slot(std::byte* slot, const void* buf, std::size_t bytes) noexcept {
    copy_detail::copy(slot, buf, bytes);
}

inline void copy_from_slot(void* buf, const std::byte* slot, std::size_t bytes) noexcept {
    copy_detail::copy(buf, slot, bytes);
}

/// copy_to_slot() past the caches (non-temporal stores; a memcpy where there are none). What it wrote is not ordered
/// before later stores: fence_streams() has to stand between it and telling the device, once for any number of copies.
void stream_to_slot(std::byte* slot, const void* buf, std::size_t bytes) noexcept;

/// What this thread has streamed is visible before anything that it stores from here on. No part of any lock-free
/// protocol: the release store that tells the device orders ordinary stores, but not non-temporal ones.
inline void fence_streams() noexcept {
#if defined(__x86_64__)
    _mm_sfence();
#endif
}

/// False: stream_to_slot() is a memcpy here.
constexpr bool can_stream() noexcept {
#if defined(__x86_64__)
    return true;
#else
    return false;
#endif
}

inline void zero_slot(std::byte* slot, std::size_t bytes) noexcept {
    std::memset(slot, 0, bytes);
}

}  // namespace bounce
