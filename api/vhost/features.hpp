// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// May this back-end be used, and with which features? One function decides, at connecting and again at each reconnect.
//
// What address goes into the ring is part of the answer. A vhost-user peer sees the pool only, and addresses are those
// of the memory table: GPAs. With ACCESS_PLATFORM (bit 33) they are IOVAs that we translate for the peer (iotlb.hpp):
// the bit is required where the caller's policy says so, and never accepted elsewhere.
#pragma once

#include <cstdint>

#include "allocator/base/error.hpp"

namespace bounce::vhost {

struct FeaturePolicy {
    std::uint64_t required = 0;  // VERSION_1 always is
    std::uint64_t wanted = 0;    // EVENT_IDX and INDIRECT_DESC always are
    std::uint64_t refused = 0;
    bool translated = false;  // addresses are IOVAs: ACCESS_PLATFORM is required
};

/// Can this be asked for at all? EINVAL for contradictions, ENOTSUP for what the library cannot do.
Result<void> check_policy(const FeaturePolicy& policy) noexcept;

/// The features to accept of those that are offered, or ENOTSUP with a sentence that names what is missing. `previous`
/// are the features accepted from a predecessor, if any: a successor needs them all and is used with exactly these, so
/// that nothing changes under a driver that goes on with the same rings.
Result<std::uint64_t> accept_features(std::uint64_t offered, const FeaturePolicy& policy,
                                      std::uint64_t previous = 0) noexcept;

/// Names the lowest bits of `bits` for a sentence: "bit 32 (VERSION_1), bit 5".
struct FeatureNames {
    explicit FeatureNames(std::uint64_t bits) noexcept;
    char text[160];
};

}  // namespace bounce::vhost
