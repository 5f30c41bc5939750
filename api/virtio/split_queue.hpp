// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Split virtqueue, driver side (virtio 1.2, section 2.7). The ring is coherent memory of the device, little-endian,
// written and never read back but for the used ring and its event field; what the driver must remember is private.
//
// States of a queue: running; broken by a violation; stopped (its device is gone, or requests were taken back). The
// last two end with reset(). A descriptor is free (on the list through next_), or part of one chain; a chain is live
// from add() until its completion is collected or aborted, and the device was shown it once its sequence is below
// published_sequence_.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "api/dma/device.hpp"
#include "api/dma/telemetry.hpp"
#include "api/virtio/cells.hpp"
#include "api/virtio/segments.hpp"
#include "api/virtio/split_ring.hpp"
#include "api/virtio/tables.hpp"
#include "bounce/bounce.h"

namespace bounce {

struct SplitQueueConfig {
    std::uint32_t queue_size = 128;  // power of two, 2 to 32768
    bool indirect = false;
    bool event_idx = false;
    std::uint32_t index = 0;      // for reports
    std::uint32_t max_chain = 0;  // 0: queue_size, at most 1024 with indirect
};

class SplitQueue {
public:
    static Result<std::unique_ptr<SplitQueue>> create(Device& device, const SplitQueueConfig& config) noexcept;
    ~SplitQueue();
    SplitQueue(const SplitQueue&) = delete;
    SplitQueue& operator=(const SplitQueue&) = delete;

    /// As bounce_ring_add: sg[0, n_out) readable by the device, the rest writable.
    Result<void> add(std::span<const bounce_sg> sg, std::size_t n_out, void* cookie) noexcept;
    /// True: the device wants a kick.
    bool publish() noexcept;
    Result<std::size_t> collect(std::span<bounce_completion> completions) noexcept;
    /// True: a completion is there already.
    bool arm() noexcept;
    void disarm() noexcept;
    /// Nothing is added or collected any more: the device, or the memory that it wrote to, is gone.
    void stop() noexcept;
    std::size_t abort(std::span<bounce_completion> completions) noexcept;
    Result<void> reset() noexcept;
    /// Negotiated features can change at a reconnect; only while nothing is outstanding, before reset().
    Result<void> set_features(bool indirect, bool event_idx) noexcept;

    [[nodiscard]] bounce_ring_layout layout() const noexcept;
    [[nodiscard]] bounce_ring_stats stats() const noexcept;
    [[nodiscard]] std::uint32_t outstanding() const noexcept { return outstanding_; }
    [[nodiscard]] Device& device() const noexcept { return device_; }

private:
    /// What is remembered of the chain that begins at a descriptor. The address and length of each segment are in its
    /// token, its flags follow from its position, its successor is in next_.
    struct Chain {
        void* cookie = nullptr;
        std::uint64_t sequence = 0;  // which add() made it
        std::uint32_t writable = 0;  // bytes that the device may write
        std::uint32_t segments = 0;  // first block of tokens
        std::uint16_t n_out = 0;
        std::uint16_t n_in = 0;
        std::uint16_t tail = 0;  // last descriptor
        std::uint16_t table = TablePool::kNone;
        [[nodiscard]] bool live() const noexcept { return n_out + n_in != 0; }
    };
    static_assert(sizeof(Chain) == 32);

    enum class State : std::uint8_t { kRunning, kBroken, kStopped };

    SplitQueue(Device& device, const SplitQueueConfig& config) noexcept;
    Result<void> init() noexcept;
    void restart() noexcept;
    [[nodiscard]] bool renewed() const noexcept;
    [[nodiscard]] Error refuse() const noexcept;

    [[nodiscard]] bool use_table(std::uint32_t n) const noexcept;
    Result<void> map_segment(const bounce_sg& sg, Direction direction, std::uint32_t block, std::uint32_t& cells,
                             bounce_mapping& token) noexcept;
    void discard(std::uint32_t first_block, std::uint32_t n) noexcept;

    void fence() noexcept;

    Error stale() noexcept;
    [[nodiscard]] Error stale_error() const noexcept;
    Error violate(int kind, std::uint64_t got, std::uint64_t expected) noexcept;
    [[nodiscard]] Error broken_error() const noexcept;
    void finish(std::uint32_t head, std::uint32_t reported, bounce_completion& completion) noexcept;
    void retire(std::uint32_t head, const Chain& chain) noexcept;
    void sort_outstanding() noexcept;

    // Hot: one thread drives a queue, nothing here is shared.
    Device& device_;
    Context* const context_;  // of its own; may be nullptr
    SplitRing ring_;
    std::unique_ptr<Chain[]> chains_;        // by head
    std::unique_ptr<std::uint16_t[]> next_;  // by descriptor: the next of its chain, or of the free list
    std::uint32_t queue_size_;
    std::uint32_t chain_limit_ = 0;
    std::uint32_t n_free_ = 0;  // descriptors
    std::uint32_t outstanding_ = 0;
    std::uint16_t free_head_ = 0;
    std::uint16_t avail_index_ = 0;  // added
    std::uint16_t published_ = 0;    // of these: shown to the device
    std::uint16_t last_used_ = 0;    // collected
    State state_ = State::kRunning;
    bool indirect_;
    bool event_idx_;
    bool streamed_ = false;  // since the last fence()
    std::uint64_t added_ = 0;
    std::uint64_t published_sequence_ = 0;  // chains below it were shown to the device
    std::uint64_t completed_ = 0;
    SegmentPool segments_;
    TablePool tables_;
    CellArea cells_;
    RingCounters counters_;  // what others see of it

    // Cold.
    SplitQueueConfig config_;
    std::unique_ptr<std::uint16_t[]> order_;  // heads in the order of submission, while aborting
    std::uint32_t order_at_ = 0;
    std::uint32_t order_end_ = 0;
    std::uint64_t aborted_ = 0;
    std::uint64_t kicks_wanted_ = 0;
    std::uint64_t violations_ = 0;
    int broken_kind_ = 0;
    std::uint64_t broken_got_ = 0;
    std::uint64_t broken_expected_ = 0;
    bounce_block block_{};
};

}  // namespace bounce
