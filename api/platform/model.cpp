// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/platform/model.hpp"

#include <iterator>

namespace bounce::emulated {
namespace {

constexpr std::uint64_t kCBit = std::uint64_t{1} << 51;
constexpr std::uint64_t kBoundary = std::uint64_t{1} << 46;  // vTOM
constexpr std::uint64_t kAliasBit = std::uint64_t{1} << 47;  // of a realm with 48 bits of IPA
constexpr std::uint64_t kIovaBias = std::uint64_t{1} << 40;  // an IOVA must not work as a GPA by chance
constexpr std::uint32_t kPage = 4096;
constexpr std::uint32_t kOwn = BOUNCE_PLATFORM_OWN_MEMORY;
constexpr std::uint32_t kStrict = kOwn | BOUNCE_PLATFORM_NEEDS_ACCESS_PLATFORM;

// By enum bounce_emulated_model.
constexpr Model kModels[] = {
    {"plain", BOUNCE_PLATFORM_PLAIN, BOUNCE_ENCODING_IDENTITY, 0, kPage, kOwn, Reads::kPlaintext, Writes::kThrough,
     Content::kKept},
    {"iommu", BOUNCE_PLATFORM_PLAIN, BOUNCE_ENCODING_IOVA, kIovaBias, kPage, kOwn, Reads::kFault, Writes::kFault,
     Content::kKept},
    {"s390-ccw", BOUNCE_PLATFORM_S390_PV, BOUNCE_ENCODING_IDENTITY, 0, kPage, kStrict, Reads::kFault, Writes::kFault,
     Content::kKept},
    {"s390-zpci", BOUNCE_PLATFORM_S390_PV, BOUNCE_ENCODING_IOVA, kIovaBias, kPage, kStrict, Reads::kFault,
     Writes::kFault, Content::kKept},
    {"sev", BOUNCE_PLATFORM_SEV, BOUNCE_ENCODING_C_BIT, kCBit, kPage, kStrict, Reads::kCiphertext, Writes::kGarbage,
     Content::kGarbled},
    {"sev-es", BOUNCE_PLATFORM_SEV, BOUNCE_ENCODING_C_BIT, kCBit, kPage, kStrict, Reads::kCiphertext, Writes::kGarbage,
     Content::kGarbled},
    {"snp", BOUNCE_PLATFORM_SNP, BOUNCE_ENCODING_C_BIT, kCBit, kPage, kStrict, Reads::kCiphertext, Writes::kFault,
     Content::kGarbled},
    {"snp-vtom", BOUNCE_PLATFORM_SNP_VTOM, BOUNCE_ENCODING_BIAS, kBoundary, kPage, kStrict, Reads::kCiphertext,
     Writes::kFault, Content::kGarbled},
    {"tdx", BOUNCE_PLATFORM_TDX, BOUNCE_ENCODING_IDENTITY, 0, kPage, kStrict, Reads::kFault, Writes::kFault,
     Content::kGarbled},
    {"pef", BOUNCE_PLATFORM_PEF, BOUNCE_ENCODING_IDENTITY, 0, 65536, kStrict, Reads::kFault, Writes::kFault,
     Content::kZeroed},
    {"cca", BOUNCE_PLATFORM_CCA, BOUNCE_ENCODING_SHARED_BIT, kAliasBit, kPage, kStrict, Reads::kFault, Writes::kFault,
     Content::kKept},
};

}  // namespace

const Model* find_model(std::uint32_t id) noexcept {
    return id < std::size(kModels) ? &kModels[id] : nullptr;
}

}  // namespace bounce::emulated
