// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Option structs grow at their end, and each begins with its size: an older caller's struct is shorter than ours, a
// newer caller's is longer.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "allocator/base/error.hpp"
#include "allocator/pool/placement.hpp"
#include "bounce/bounce.h"

namespace bounce::abi {

inline constexpr std::size_t kMaxOptionBytes = 4096;  // a size beyond this is garbage, not a newer caller
inline constexpr std::size_t kMaxNameBytes = 63;

/// Copies the caller's struct into `ours`; what the caller's is too short for is zero. EINVAL when it is shorter than
/// the first version of the struct was, or when it has nonzero bytes beyond what we know.
template <class T>
Result<void> read_options(const T* given, std::size_t first_version_bytes, const char* what, T& ours) noexcept {
    if (given == nullptr) return fail_text(EINVAL, "%s is NULL", what);
    std::size_t size = 0;
    std::memcpy(&size, given, sizeof size);  // the struct may be shorter than T
    if (size < first_version_bytes || size > kMaxOptionBytes)
        return fail_text(EINVAL, "%s.size is %zu, expected %zu: set it to sizeof the struct", what, size, sizeof(T));
    const auto* bytes = reinterpret_cast<const unsigned char*>(given);
    for (std::size_t at = sizeof(T); at < size; ++at) {
        if (bytes[at] != 0)
            return fail_text(EINVAL, "%s has a nonzero byte at offset %zu, but this library knows only %zu bytes of it",
                             what, at, sizeof(T));
    }
    ours = T{};
    std::memcpy(&ours, given, size < sizeof(T) ? size : sizeof(T));
    return {};
}

inline Result<void> known_flags(std::uint32_t flags, std::uint32_t known, const char* what) noexcept {
    if ((flags & ~known) == 0) return {};
    return fail_text(EINVAL, "%s has unknown bits 0x%x, known are 0x%x", what, flags & ~known, known);
}

inline Result<void> must_be_zero(std::uint64_t value, const char* what) noexcept {
    if (value == 0) return {};
    return fail_text(EINVAL, "%s is %llu, must be 0", what, static_cast<unsigned long long>(value));
}

/// The values of enum bounce_numa_policy are those of NumaPolicy.
inline Result<NumaPolicy> read_numa_policy(std::uint32_t given, const char* what) noexcept {
    if (given > BOUNCE_NUMA_STRICT)
        return fail_text(EINVAL, "%s is %u, expected 0 to %d (enum bounce_numa_policy)", what, given,
                         BOUNCE_NUMA_STRICT);
    return static_cast<NumaPolicy>(given);
}

/// `given`, or `otherwise` for NULL; EINVAL when it is too long.
inline Result<const char*> read_name(const char* given, const char* otherwise, const char* what) noexcept {
    if (given == nullptr) return otherwise;
    if (strnlen(given, kMaxNameBytes + 1) > kMaxNameBytes)
        return fail_text(EINVAL, "%s is longer than %zu bytes", what, kMaxNameBytes);
    return given;
}

}  // namespace bounce::abi
