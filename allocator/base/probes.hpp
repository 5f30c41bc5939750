// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// USDT probes of the provider `bounce`, for bpftrace, perf and SystemTap (docs/probes.md). Each is a function, so that
// its arguments have types whether there are probes or not; where one is, there is a nop, and a note in the library
// that says in which registers or words the arguments are. So a probe is put where its arguments are at hand.
//
// The only place that includes <sys/sdt.h> (Debian: systemtap-sdt-dev). Without that header, or with
// BOUNCE_NO_PROBES, there are none.
#pragma once

#include <cstdint>

#if !defined(BOUNCE_NO_PROBES) && __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#define BOUNCE_PROBE3(name, a, b, c) STAP_PROBE3(bounce, name, a, b, c)
#define BOUNCE_PROBE4(name, a, b, c, d) STAP_PROBE4(bounce, name, a, b, c, d)
#else
#define BOUNCE_PROBE3(name, a, b, c) static_cast<void>(a), static_cast<void>(b), static_cast<void>(c)
#define BOUNCE_PROBE4(name, a, b, c, d) \
    static_cast<void>(a), static_cast<void>(b), static_cast<void>(c), static_cast<void>(d)
#endif

namespace bounce::probes {

/// A mapping was made: device id, address for the device, bytes, direction (enum bounce_direction).
[[gnu::always_inline]] inline void map(std::uint32_t device, std::uint64_t addr, std::uint64_t bytes,
                                       std::uint8_t direction) noexcept {
    BOUNCE_PROBE4(map, device, addr, bytes, direction);
}

/// Its token has ended; what the device wrote is copied back after this.
[[gnu::always_inline]] inline void unmap(std::uint32_t device, std::uint64_t addr, std::uint64_t bytes,
                                         std::uint8_t direction) noexcept {
    BOUNCE_PROBE4(unmap, device, addr, bytes, direction);
}

/// Bytes of a mapping were synced. for_cpu: 1 for the CPU, 0 for the device.
[[gnu::always_inline]] inline void sync(std::uint32_t device, std::uint64_t addr, std::uint64_t bytes,
                                        std::uint8_t for_cpu) noexcept {
    BOUNCE_PROBE4(sync, device, addr, bytes, for_cpu);
}

/// A request was refused for want of memory: device id, bytes, errno (ENOSPC; EDQUOT: its ceiling).
[[gnu::always_inline]] inline void full(std::uint32_t device, std::uint64_t bytes, int code) noexcept {
    BOUNCE_PROBE3(full, device, bytes, code);
}

/// A request that waited in line has its memory: device id, bytes, ns that it waited.
[[gnu::always_inline]] inline void wait(std::uint32_t device, std::uint64_t bytes, std::uint64_t ns) noexcept {
    BOUNCE_PROBE3(wait, device, bytes, ns);
}

/// A region came by growing: its index, its bytes, those of the pool with it.
[[gnu::always_inline]] inline void grow(std::uint32_t region, std::uint64_t bytes, std::uint64_t total) noexcept {
    BOUNCE_PROBE3(grow, region, bytes, total);
}

/// One went by shrinking: the same, without it.
[[gnu::always_inline]] inline void shrink(std::uint32_t region, std::uint64_t bytes, std::uint64_t total) noexcept {
    BOUNCE_PROBE3(shrink, region, bytes, total);
}

/// A device broke the protocol: its name, enum bounce_violation_kind, what it said, what was expected.
[[gnu::always_inline]] inline void violation(const char* device, int kind, std::uint64_t got,
                                             std::uint64_t expected) noexcept {
    BOUNCE_PROBE4(violation, device, kind, got, expected);
}

}  // namespace bounce::probes
