// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a hostile session plays: a setup and a list of steps, of the driver and of its device in turn. It comes from a
// seed, from the bytes of a fuzzer, or from a text. Every script can be written as text, so what a seed or a fuzzer
// found is played again by hand.
//
//   setup packed 16 indirect event_idx     layout and queue size, then any of indirect, event_idx, in_order,
//                                          order_platform, no_kicks, length_ignore, length_fail
//   add 3 40                               one step a line: a name and two numbers, 0 when they are left out
//   # a comment
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace bounce::hostile {

enum class Step : std::uint8_t {
    // The driver. a and b choose sizes and numbers.
    kAdd,
    kPublish,
    kCollect,
    kPoll,
    kArm,
    kDisarm,
    kRecover,  // quarantine, abort, release, reset
    kHonest,   // one turn of the honest queue beside
    kScan,     // the oracle looks for private bytes
    // The device, as it should be.
    kComplete,  // request a; the length is right
    kFill,      // content of the writable segments of request a
    // The device, as it should not be. a: which request or word, b: a value.
    kLongLength,
    kShortLength,
    kAnyId,
    kAliasId,      // that of request a, with other upper bits
    kReplay,       // of a request that was completed
    kInside,       // an id that is no head: behind that of request a
    kUnpublished,  // a request that was added and not yet published
    kRunAhead,     // completions that were never written
    kFlipDesc,     // a word of the descriptors
    kFlipTable,    // a word of the indirect table of request a
    kFlipDriver,   // a word of what the driver writes: avail ring, driver event
    kFlipDevice,   // a word of what the device writes: used ring, device event
    kFlipData,     // content of any segment of request a, readable ones, too
    kEvents,       // garbage in the event fields
    kScribble,     // garbage in everything that the driver never has to read
    kStorm,        // many completions of the same, and events, in a row
    kWithhold,     // request a is never completed
    kFlipConfig,   // byte a of the configuration space, and what the next answer about it is
    kReadConfig,   // of the driver: some of that, at a
    kCount
};
inline constexpr std::uint8_t kFirstDeviceStep = static_cast<std::uint8_t>(Step::kComplete);

struct Action {
    Step step;
    std::uint8_t a;
    std::uint32_t b;
};

struct Setup {
    bool packed = false;
    std::uint32_t queue_size = 16;
    bool indirect = false;
    bool event_idx = false;
    bool in_order = false;
    bool order_platform = false;
    bool no_kicks = false;
    bool length_ignore = false;
    bool length_fail = false;
};

struct Script {
    Setup setup;
    std::vector<Action> actions;

    static Script from_seed(std::uint64_t seed, bool packed, std::size_t actions);
    /// Any bytes make a script: two of setup, then six for each action.
    static Script from_bytes(std::span<const std::uint8_t> bytes, bool packed);
    /// Throws std::runtime_error with the line that is wrong.
    static Script from_text(const std::string& text);
    [[nodiscard]] std::string text() const;
    /// What from_bytes() makes this script of, for a corpus.
    [[nodiscard]] std::vector<std::uint8_t> bytes() const;
};

}  // namespace bounce::hostile
