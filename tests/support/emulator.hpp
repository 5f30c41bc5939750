// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What the tests of a cross build have to know of qemu-user, which runs them.
#pragma once

#include <bit>
#include <cstdint>

namespace bounce::test {

#ifdef BOUNCE_EMULATOR
inline constexpr bool kEmulated = true;
#else
inline constexpr bool kEmulated = false;
#endif

inline constexpr const char* kNoForkAdvice = "qemu-user accepts MADV_WIPEONFORK and MADV_DONTFORK and does neither";
inline constexpr const char* kCostlyReserve =
    "qemu-user has a page table of its own for every address that is reserved";
inline constexpr const char* kSurplusDescriptors =
    "qemu-user receives more descriptors than fit, and loses the surplus";

/// The count in an eventfd that came over a socket: qemu-user swaps the bytes of those only that it saw being made.
inline std::uint64_t received_eventfd_count(std::uint64_t count) {
    return kEmulated && std::endian::native == std::endian::big ? __builtin_bswap64(count) : count;
}

}  // namespace bounce::test
