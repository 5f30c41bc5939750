// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The sending queue of a pair: buffers that are free, or at the device. For one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tools/bounce-net/packet_memory.hpp"
#include "tools/bounce-net/session.hpp"

namespace bounce::net {

class Transmitter {
public:
    Transmitter(const Session& session, std::uint32_t pair, std::uint32_t packets, std::size_t frame_bytes,
                const tools::Canary* canary);

    /// Where the next frame is made; empty: none is free.
    [[nodiscard]] std::span<std::byte> frame() const noexcept;
    /// Puts it, `bytes` long, into the queue. False: no room now. Throws DeviceLost, tools::Failure.
    bool add(std::size_t bytes, const PacketHeader& header);
    /// Shows the device what was added.
    void submit();
    /// Takes back what the device is done with: how many.
    std::uint32_t reclaim();
    [[nodiscard]] std::uint32_t outstanding() const noexcept { return memory_.count() - free_count(); }
    /// Takes back everything, after a disconnect.
    void abort();
    void check_canaries() const { memory_.check_canaries(); }
    [[nodiscard]] std::uint32_t queue() const noexcept { return queue_; }

private:
    [[nodiscard]] std::uint32_t free_count() const noexcept { return static_cast<std::uint32_t>(free_.size()); }

    const Session& session_;
    std::uint32_t queue_;
    bounce_ring* ring_;
    PacketMemory memory_;
    std::vector<std::uint32_t> free_;
    std::vector<bounce_completion> completions_;
    bool dirty_ = false;
};

}  // namespace bounce::net
