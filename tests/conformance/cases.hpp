// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What each platform has to do, written down a second time and not taken from the emulator: a row each.
#pragma once

#include <cstdint>

#include "bounce/emulator.h"

namespace bounce::conformance {

enum class Private : std::uint8_t { kOpen, kCiphertext, kGarbage, kFault };
enum class Content : std::uint8_t { kKept, kGarbled, kZeroed };

struct Case {
    const char* name;
    bounce_emulated_model model;
    std::uint32_t granule;     // 0: the model's
    std::uint32_t conversion;  // the granule that conversions must then have
    std::uint64_t base_gpa;    // of the pool
    std::uint64_t to_address;  // added to a GPA gives the address for the device
    std::uint64_t wrong_form;  // added to the right address gives one in another form: it must fault; 0: none
    Private reads;             // a device reads, or writes, private memory
    Private writes;
    Content content;
    bool needs_access_platform;
    std::uint64_t coherent_mask;  // of this platform's devices; 0: none
};

inline constexpr std::uint64_t bit(unsigned n) {
    return std::uint64_t{1} << n;
}
inline constexpr std::uint64_t kHigh = 0x1'0000'0000;
inline constexpr std::uint64_t kLow = 0x4000'0000;  // below 2 GiB
inline constexpr std::uint64_t kCcwMask = 0x7fff'ffff;

// Names have letters and digits only: gtest's rule.
inline constexpr Case kCases[] = {
    {"plain", BOUNCE_EMULATED_PLAIN, 0, 4096, kHigh, 0, 0, Private::kOpen, Private::kOpen, Content::kKept, false, 0},
    {"iommu", BOUNCE_EMULATED_IOMMU, 0, 4096, kHigh, bit(40), 0 - bit(40), Private::kFault, Private::kFault,
     Content::kKept, false, 0},
    {"iommu64k", BOUNCE_EMULATED_IOMMU, 65536, 65536, kHigh, bit(40), 0 - bit(40), Private::kFault, Private::kFault,
     Content::kKept, false, 0},
    {"s390ccw", BOUNCE_EMULATED_S390_CCW, 0, 4096, kLow, 0, 0, Private::kFault, Private::kFault, Content::kKept, true,
     kCcwMask},
    {"s390zpci", BOUNCE_EMULATED_S390_ZPCI, 0, 4096, kHigh, bit(40), 0 - bit(40), Private::kFault, Private::kFault,
     Content::kKept, true, 0},
    {"sev", BOUNCE_EMULATED_SEV, 0, 4096, kHigh, 0, bit(51), Private::kCiphertext, Private::kGarbage, Content::kGarbled,
     true, 0},
    {"seves", BOUNCE_EMULATED_SEV_ES, 0, 4096, kHigh, 0, bit(51), Private::kCiphertext, Private::kGarbage,
     Content::kGarbled, true, 0},
    {"snp", BOUNCE_EMULATED_SNP, 0, 4096, kHigh, 0, bit(51), Private::kCiphertext, Private::kFault, Content::kGarbled,
     true, 0},
    {"snpvtom", BOUNCE_EMULATED_SNP_VTOM, 0, 4096, kHigh, bit(46), 0 - bit(46), Private::kCiphertext, Private::kFault,
     Content::kGarbled, true, 0},
    {"tdx", BOUNCE_EMULATED_TDX, 0, 4096, kHigh, 0, 0, Private::kFault, Private::kFault, Content::kGarbled, true, 0},
    {"pef", BOUNCE_EMULATED_PEF, 0, 65536, kHigh, 0, 0, Private::kFault, Private::kFault, Content::kZeroed, true, 0},
    {"cca", BOUNCE_EMULATED_CCA, 0, 4096, kHigh, bit(47), 0 - bit(47), Private::kFault, Private::kFault, Content::kKept,
     true, 0},
    {"cca16k", BOUNCE_EMULATED_CCA, 16384, 16384, kHigh, bit(47), 0 - bit(47), Private::kFault, Private::kFault,
     Content::kKept, true, 0},
};

}  // namespace bounce::conformance
