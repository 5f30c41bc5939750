// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The protections that the conformance suite, the hostile device or a unit test must notice when one is missing. The
// mutation check compiles the library a second time with BOUNCE_MUTATIONS defined and then, in that copy only, the
// environment says which one is left out. In every other build BOUNCE_MUTATED is the constant false, and nothing of
// this exists.
#pragma once

#include <cstdint>

namespace bounce {

#ifdef BOUNCE_MUTATIONS
enum class Mutation : std::uint8_t {
    kNone,
    kShareBeforeUse,
    kUnshareAfter,
    kScrubAtAlloc,
    kScrubAtConversion,
    kDirectionAtUnmap,
    kLengthClamp,
    kMaskCheck,
    kBoundaryCheck,
    kGenerationCheck,
    kQuota,
    kQuarantine,
    kAddressEncoding,
    // Of rings and of the front-end, noticed by tests/hostile and tests/fuzz.
    kPrivateShadow,
    kUsedIdWidth,
    kUsedIdShown,
    kUsedOnce,
    kUsedIndex,
    kLengthShares,
    kBrokenSticks,
    kTableRemembered,
    kWrapCounter,
    kEventHint,
    kCellDirection,
    kCellLength,
    kReplySize,
    kReplyDescriptors,
    kConfigAnswer,
    // Noticed by unit tests.
    kSlotKind,
    kRenegotiation,
    kStopBound,
    kPeek,
    kPrivateWrite,
    kReadOnce,
    kIndexMask,
    kHeaderLength,
    // Of the device side, noticed by tests/fuzz.
    kElementInUse,
    kWritePermission,
};
/// The one that is left out; defined by the test program (tests/conformance).
Mutation current_mutation() noexcept;
#define BOUNCE_MUTATED(name) (::bounce::current_mutation() == ::bounce::Mutation::name)
#else
#define BOUNCE_MUTATED(name) false
#endif

}  // namespace bounce
