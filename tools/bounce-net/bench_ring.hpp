// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Two subjects of the bench, both through bounce_ring_add(): bounced, with private packets, and born-shared, with
// packets in the pool.
#pragma once

#include <cstdint>
#include <vector>

#include "tools/bounce-net/bench.hpp"
#include "tools/bounce-net/packet_memory.hpp"

namespace bounce::net {

class RingSubject {
public:
    /// canary: for private buffers; null: born-shared ones. control: it answers what the device asks.
    RingSubject(const Session& session, std::uint32_t pair, const Case& what, std::uint32_t rx_buffers,
                std::uint32_t rx_buffer_bytes, const tools::Canary* canary, bool control);

    std::uint32_t receive();
    void reclaim();
    bool send();
    void publish();
    void idle();
    [[nodiscard]] bool polls() const noexcept { return !session_.config().calls; }

    /// Takes back what is outstanding, after the connection was given up.
    void abort() noexcept;
    /// Throws tools::Failure when a canary was overwritten.
    void check_canaries() const;

private:
    void post();
    void check_packet(const bounce_completion& completion, std::uint32_t index) const;

    const Session& session_;
    std::uint32_t rx_queue_;
    std::uint32_t tx_queue_;
    bounce_ring* rx_ring_;
    bounce_ring* tx_ring_;
    PacketMemory rx_;
    PacketMemory tx_;
    std::size_t packet_bytes_;
    bool control_;
    std::vector<std::uint32_t> rx_idle_;
    std::vector<std::uint32_t> tx_free_;
    std::vector<bounce_completion> completions_;
    std::uint32_t idle_looks_ = 0;
};

}  // namespace bounce::net
