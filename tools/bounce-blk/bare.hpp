// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The bare subject: static buffers in shared memory and a split ring filled by hand; preset descriptor chains, nothing
// else. The least code that can keep a virtio-blk device busy, to measure the library against.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tools/bounce-blk/bare_wire.hpp"
#include "tools/bounce-blk/bench_ring.hpp"
#include "tools/bounce-blk/session.hpp"

namespace bounce::blk {

/// Shared memory of its own, not of a pool.
class BareMemory {
public:
    BareMemory(std::uint64_t bytes, bool hugepages);
    ~BareMemory();
    BareMemory(const BareMemory&) = delete;
    BareMemory& operator=(const BareMemory&) = delete;

    [[nodiscard]] std::byte* data() const noexcept { return data_; }
    [[nodiscard]] std::uint64_t size() const noexcept { return bytes_; }
    [[nodiscard]] int fd() const noexcept { return fd_.get(); }

private:
    tools::Descriptor fd_;
    std::uint64_t bytes_;
    std::byte* data_ = nullptr;
};

/// One queue. Same interface as RingSubject.
class BareSubject {
public:
    static std::uint64_t bytes_needed(std::uint32_t queue_size, const LoadConfig& load);

    /// memory: zeroed, bytes_needed() of it, at that GPA.
    BareSubject(BareConnection& connection, std::uint32_t queue, std::uint32_t queue_size, const LoadConfig& load,
                std::byte* memory, std::uint64_t gpa, bool polls);

    bool add(std::uint32_t slot, std::uint64_t sector) noexcept;
    void publish();
    std::uint32_t collect(std::vector<std::uint32_t>& slots);
    void idle();
    [[nodiscard]] bool polls() const noexcept { return polls_; }

private:
    struct Layout;
    void fill_slot(const Layout& layout, std::uint32_t slot, std::uint64_t gpa, const LoadConfig& load) noexcept;
    [[nodiscard]] std::uint16_t used_index() const noexcept;

    BareConnection& connection_;
    std::uint32_t queue_;
    bool polls_;
    bool event_idx_;
    std::uint16_t mask_;
    std::uint16_t depth_;
    std::uint16_t avail_index_ = 0;
    std::uint16_t published_ = 0;
    std::uint16_t used_seen_ = 0;
    std::byte* desc_;
    std::byte* avail_;
    std::byte* used_;
    std::byte* slots_;  // header and status of each, 128 bytes apart
};

}  // namespace bounce::blk
