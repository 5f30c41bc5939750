// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The tables behind access_policy.cpp: what is true of each platform, which features are known, and how answers read.
#pragma once

#include <bit>
#include <cstdint>

#include "bounce/policy.h"

namespace bounce {

struct PlatformRule {
    std::uint32_t kind;       // enum bounce_platform_kind
    const char* name;         // in sentences
    const char* why_private;  // the beginning of a sentence
    const char* rings;        // what sharing them means
    const char* slot;         // what a slot's address is
    bool is_private;          // devices see nothing but what was shared
    bool lets_devices_in;     // there is a way to let a device into private memory
};

/// nullptr: there is none.
const PlatformRule* find_platform(std::uint32_t kind) noexcept;

// Of the bits that belong to rings and transports (24 to 49), those that virtio 1.2 and its predecessors give a
// meaning, those that vhost takes for itself (26, 30), ADMIN_VQ (41), and the own region. None but the three of
// bounce/policy.h changes what an address means.
constexpr std::uint64_t bits(unsigned first, unsigned last) noexcept {
    return (~std::uint64_t{0} >> (63 - last)) & (~std::uint64_t{0} << first);
}
inline constexpr std::uint64_t kKnownFeatures = bits(24, 24) | bits(26, 30) | bits(32, 41) | BOUNCE_F_DMB;
inline constexpr std::uint64_t kUnknownFeatures = bits(24, 49) & ~kKnownFeatures;

constexpr int lowest_bit(std::uint64_t bits) noexcept {
    return std::countr_zero(bits);
}

/// "IOVAs": what a device takes whose form of address this is.
const char* address_kind(std::uint32_t address) noexcept;

/// address: one of BOUNCE_ADDRESS_*.
std::uint32_t decision_of(std::uint32_t address, bool bounces) noexcept;

/// Everything but the reason and private_memory.
void set_refused(bounce_policy& policy) noexcept;

/// rings_text and address_text of a decision that is no refusal.
void set_texts(const bounce_policy_options& options, const PlatformRule& rule, bool bounces,
               bounce_policy& policy) noexcept;

}  // namespace bounce
