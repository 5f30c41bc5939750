// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The bare subject: static buffers in shared memory and a split ring filled by hand; preset descriptor chains, nothing
// else. The least code that can keep a virtio-blk device busy, to measure the library against.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tools/bounce-blk/bench_ring.hpp"
#include "tools/bounce-blk/session.hpp"
#include "tools/common/bare_memory.hpp"
#include "tools/common/bare_ring.hpp"
#include "tools/common/bare_wire.hpp"

namespace bounce::blk {

using tools::BareConnection;
using tools::BareMemory;

/// One queue. Same interface as RingSubject.
class BareSubject {
public:
    static std::uint64_t bytes_needed(std::uint32_t queue_size, const LoadConfig& load);

    /// memory: zeroed, bytes_needed() of it, at that GPA.
    BareSubject(BareConnection& connection, std::uint32_t queue, std::uint32_t queue_size, const LoadConfig& load,
                std::byte* memory, std::uint64_t gpa, bool polls);

    bool add(std::uint32_t slot, std::uint64_t sector) noexcept;
    void publish() { ring_.publish(); }
    std::uint32_t collect(std::vector<std::uint32_t>& slots);
    void idle() { ring_.idle(); }
    [[nodiscard]] bool polls() const noexcept { return ring_.polls(); }

private:
    struct Layout;
    void fill_slot(const Layout& layout, std::uint32_t slot, std::byte* memory, std::uint64_t gpa,
                   const LoadConfig& load) noexcept;

    tools::BareRing ring_;
    std::uint16_t depth_;
    std::byte* slots_;  // header and status of each, 128 bytes apart
};

}  // namespace bounce::blk
