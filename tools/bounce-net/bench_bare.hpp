// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The bare subject: static packets in shared memory and two split rings filled by hand; preset descriptors, nothing
// else. Same interface as RingSubject.
#pragma once

#include <cstdint>

#include "tools/bounce-net/bench.hpp"
#include "tools/common/bare_memory.hpp"
#include "tools/common/bare_ring.hpp"
#include "tools/common/bare_wire.hpp"

namespace bounce::net {

class BareSubject {
public:
    static std::uint64_t bytes_needed(std::uint32_t queue_size, std::uint32_t rx_buffer_bytes, const Case& what);

    /// memory: zeroed, bytes_needed() of it, at that GPA.
    BareSubject(tools::BareConnection& connection, std::uint32_t pair, std::uint32_t queue_size,
                std::uint32_t rx_buffer_bytes, const Case& what, std::byte* memory, std::uint64_t gpa, bool polls);

    std::uint32_t receive();
    void reclaim();
    bool send();
    void publish() { tx_.publish(); }
    void idle() { rx_.idle(); }
    [[nodiscard]] bool polls() const noexcept { return rx_.polls(); }

private:
    tools::BareRing rx_;
    tools::BareRing tx_;
    std::uint32_t rx_buffers_;
    std::uint32_t tx_buffers_;
    std::uint32_t packet_bytes_;
    std::vector<std::uint16_t> tx_free_;
};

}  // namespace bounce::net
