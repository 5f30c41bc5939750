// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a driver and a device agreed on for one virtqueue, and limits that are the same for both layouts.
#pragma once

#include <cstdint>

namespace bounce {

inline constexpr std::uint32_t kMaxQueueSize = 32768;
/// Longest indirect table that devices in the field take.
inline constexpr std::uint32_t kMaxTable = 1024;

/// What to do with the length in a used element.
enum class UsedLength : std::uint8_t {
    kClamp,   // more than the device could write is reported and cut to that
    kFail,    // more than that breaks the queue
    kIgnore,  // it means nothing: all that could be written is copied back
};

struct QueueConfig {
    std::uint32_t queue_size = 128;  // split: a power of two, 2 to 32768; packed: 1 to 32768
    bool indirect = false;
    bool event_idx = false;
    std::uint32_t index = 0;      // for reports, and for the data of a notification
    std::uint32_t max_chain = 0;  // 0: queue_size, at most 1024 with indirect
    bool packed = false;
    bool in_order = false;
    bool order_platform = false;
    bool no_kicks = false;   // the device polls: publish() never asks it
    bool unchecked = false;  // neither the caller's lists nor the device's words are checked
    UsedLength used_length = UsedLength::kClamp;
    std::uint32_t poll_after = 0;  // completions after one call from which poll() goes on polling; 0: kPollAfter
    std::uint32_t poll_idle = 0;   // empty looks in a row that end that; 0: kPollIdle
};

inline constexpr std::uint32_t kPollAfter = 16;
inline constexpr std::uint32_t kPollIdle = 128;

}  // namespace bounce
