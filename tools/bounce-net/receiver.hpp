// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The receiving queue of a pair: its buffers are all at the device, but while one is looked at. A packet may span
// several of them (MRG_RXBUF): it is put together here. What the device says of lengths and numbers is checked. For one
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tools/bounce-net/packet_memory.hpp"
#include "tools/bounce-net/session.hpp"

namespace bounce::net {

class Receiver {
public:
    Receiver(const Session& session, std::uint32_t pair, std::uint32_t buffers, std::size_t buffer_bytes,
             const tools::Canary* canary);

    /// Gives the device every buffer that is here. Throws DeviceLost, tools::Failure.
    void post();
    /// Calls deliver(const PacketHeader&, std::span<const std::byte> frame) for each packet that is complete; the frame
    /// is private memory. How many buffers came.
    template <class Deliver>
    std::uint32_t poll(Deliver&& deliver) {
        const std::uint32_t count = collect();
        for (std::uint32_t i = 0; i < count; ++i) {
            if (take(completions_[i])) deliver(header_, std::span<const std::byte>(packet_));
        }
        if (count != 0) post();
        return count;
    }
    /// Packets that were none: too short for a header, or of buffers that there are not.
    [[nodiscard]] std::uint64_t malformed() const noexcept { return malformed_; }
    [[nodiscard]] std::uint64_t spanning() const noexcept { return spanning_; }
    [[nodiscard]] std::uint32_t posted() const noexcept { return memory_.count() - idle_count(); }
    /// Takes back everything, after a disconnect.
    void abort();
    void check_canaries() const { memory_.check_canaries(); }
    [[nodiscard]] std::uint32_t queue() const noexcept { return queue_; }

private:
    std::uint32_t collect();
    bool take(const bounce_completion& completion);
    bool begin(const std::byte* data, std::size_t bytes);
    [[nodiscard]] std::uint32_t idle_count() const noexcept { return static_cast<std::uint32_t>(idle_.size()); }

    const Session& session_;
    std::uint32_t queue_;
    bounce_ring* ring_;
    PacketMemory memory_;
    std::vector<std::uint32_t> idle_;
    std::vector<bounce_completion> completions_;
    PacketHeader header_;
    std::vector<std::byte> packet_;
    std::uint32_t missing_ = 0;  // buffers of the packet that are to come
    std::uint64_t malformed_ = 0;
    std::uint64_t spanning_ = 0;
};

}  // namespace bounce::net
