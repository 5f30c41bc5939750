// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A virtqueue, driver side: what the split and the packed layout have in common. The ring is coherent memory of the
// device, written and never read back but for what only the device writes; what the driver must remember is private.
//
// States of a queue: running; broken by a violation; stopped (its device is gone, or requests were taken back). The
// last two end with reset(). A chain is live from add() until its completion is collected or aborted, and the device
// was shown it once its sequence is below published_sequence_.
//
// A layout derives from Virtqueue and drives it: begin_request(), map_request() and remember() in add();
// pick_in_order() or is_shown(), release() and complete() in collect().
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <span>

#include "allocator/base/mutation.hpp"
#include "api/dma/device_fast.hpp"
#include "api/dma/telemetry.hpp"
#include "api/virtio/cells.hpp"
#include "api/virtio/queue_config.hpp"
#include "api/virtio/segments.hpp"
#include "api/virtio/tables.hpp"
#include "bounce/bounce.h"

namespace bounce {

/// Of all segments of a request together.
inline constexpr std::uint64_t kMostRequestBytes = std::numeric_limits<std::uint32_t>::max();

class Virtqueue {
public:
    /// In the layout that the configuration names.
    static Result<std::unique_ptr<Virtqueue>> create(Device& device, const QueueConfig& config) noexcept;
    virtual ~Virtqueue();
    Virtqueue(const Virtqueue&) = delete;
    Virtqueue& operator=(const Virtqueue&) = delete;

    /// As bounce_ring_add: sg[0, n_out) readable by the device, the rest writable.
    virtual Result<void> add(std::span<const bounce_sg> sg, std::size_t n_out, void* cookie) noexcept = 0;
    /// How many of them were added; the error of the first when that is none.
    Result<std::size_t> add_many(std::span<const bounce_ring_request> requests) noexcept;
    /// True: the device wants a kick.
    virtual bool publish() noexcept = 0;
    virtual Result<std::size_t> collect(std::span<bounce_completion> completions) noexcept = 0;
    /// True: a completion is there already.
    virtual bool arm() noexcept = 0;
    virtual void disarm() noexcept = 0;
    /// collect(), with calls asked for only while there is little to do. `wait`: calls are armed and nothing is there.
    Result<std::size_t> poll(std::span<bounce_completion> completions, bool& wait) noexcept;
    /// Nothing is added or collected any more: the device, or the memory that it wrote to, is gone.
    void stop() noexcept;
    std::size_t abort(std::span<bounce_completion> completions) noexcept;
    Result<void> reset() noexcept;
    /// Negotiated features can change at a reconnect; only while nothing is outstanding, before reset().
    Result<void> set_features(bool indirect, bool event_idx) noexcept;

    [[nodiscard]] virtual bounce_ring_layout layout() const noexcept = 0;
    /// What a kick for the last publish() carries with VIRTIO_F_NOTIFICATION_DATA.
    [[nodiscard]] virtual std::uint32_t notification_data() const noexcept = 0;
    [[nodiscard]] bounce_ring_stats stats() const noexcept;
    [[nodiscard]] std::uint32_t outstanding() const noexcept { return outstanding_; }
    [[nodiscard]] Device& device() const noexcept { return device_; }

protected:
    /// What is remembered of the chain that begins at a descriptor (split) or has an id (packed). The address and
    /// length of each segment that was mapped are in its token; those of one that is used in place are not needed
    /// again, and its flags follow from its position.
    struct Chain {
        void* cookie = nullptr;
        std::uint64_t sequence = 0;  // which add() made it
        std::uint32_t writable = 0;  // bytes that the device may write
        std::uint32_t segments = 0;  // first block of tokens, or kInPlace
        std::uint16_t n_out = 0;
        std::uint16_t n_in = 0;
        std::uint16_t link = 0;  // split: last descriptor; packed, free: the next free id
        std::uint16_t table = TablePool::kNone;
        [[nodiscard]] bool live() const noexcept { return n_out + n_in != 0; }
        [[nodiscard]] std::uint32_t count() const noexcept { return std::uint32_t{n_out} + n_in; }
        /// Descriptors of the ring itself.
        [[nodiscard]] std::uint32_t descriptors() const noexcept { return table == TablePool::kNone ? count() : 1; }
    };
    static_assert(sizeof(Chain) == 32);
    /// No segment of the chain was mapped, so nothing has to be done when it ends.
    static constexpr std::uint32_t kInPlace = ~std::uint32_t{0};

    /// A request that can be put in: its list is good, and there is room.
    struct Plan {
        std::uint32_t writable = 0;  // bytes, as below
        std::uint32_t readable = 0;
        bool in_place = true;
        TablePool::Table table;
    };

    enum class State : std::uint8_t { kRunning, kBroken, kStopped };

    Virtqueue(Device& device, const QueueConfig& config) noexcept;
    /// A queue of the layout Q, with all it needs: Q::check() says whether its size can be, and Q::bytes() how much
    /// memory its ring has.
    template <class Q>
    static Result<std::unique_ptr<Q>> make(Device& device, const QueueConfig& config) noexcept {
        if (auto good = Q::check(config); !good) return good.error();
        std::unique_ptr<Q> queue(new (std::nothrow) Q(device, config));
        if (queue == nullptr) return fail(ENOMEM, "no memory for a ring");
        if (auto ready = queue->init(); !ready) return ready.error();
        return queue;
    }
    /// Private memory and the ring's own, of so many bytes.
    Result<void> init_memory(std::size_t ring_bytes) noexcept;
    static Result<void> check_chain(const QueueConfig& config) noexcept;
    /// Empty, zeroed rings and everything private as after creation, but for the counters. Nothing is outstanding.
    void restart() noexcept;
    /// The layout's part of that, and of the end of a chain.
    virtual void restart_ring() noexcept = 0;
    virtual void free_descriptors(std::uint32_t head, const Chain& chain) noexcept = 0;

    /// Checks a list and finds room for it, and a table for the chain at `head` where it should have one.
    Result<void> begin_request(std::span<const bounce_sg> sg, std::size_t n_out, std::uint32_t head,
                               Plan& plan) noexcept;
    /// Is it one good segment that is used in place, and is there room for it? These are put in without a plan.
    [[gnu::always_inline]] bool one_in_place(std::span<const bounce_sg> sg, std::size_t n_out) const noexcept {
        if (sg.size() != 1 || n_out > 1 || n_free_ == 0) return false;
        const bounce_sg& one = sg[0];
        const bool good = one.flags == BOUNCE_SG_MAPPED ||
                          (one.offset == 0 && (one.flags == (BOUNCE_SG_SHARED | BOUNCE_SG_SHARED_IN) ||
                                               (one.flags == BOUNCE_SG_SHARED && n_out != 0)));
        return good && one.base != nullptr && one.bytes - 1 < kMostRequestBytes;
    }
    /// The address of a segment that is used where it is.
    Result<std::uint64_t> place(const bounce_sg& sg, Direction direction) noexcept;
    /// Maps the segments of a request in order, and calls put(i, address, bytes, write, last) for each. On failure the
    /// table is given back and nothing has changed. Descriptors are described while they are mapped: what a failure
    /// leaves in free ones is never looked at.
    template <class Put>
    Result<void> map_request(std::span<const bounce_sg> sg, std::size_t n_out, std::uint32_t head, const Plan& plan,
                             std::uint32_t& segments, Put&& put) noexcept;
    /// The chain at `head` is live.
    void remember(std::uint32_t head, void* cookie, std::size_t n, std::size_t n_out, const Plan& plan,
                  std::uint32_t segments, std::uint16_t link) noexcept {
        remember(head,
                 {cookie, 0, plan.writable, segments, static_cast<std::uint16_t>(n_out),
                  static_cast<std::uint16_t>(n - n_out), link, plan.table.id},
                 plan.readable);
    }
    /// The same of one_in_place().
    [[gnu::always_inline]] void remember_one(std::uint32_t head, void* cookie, std::uint64_t bytes, bool readable,
                                             std::uint16_t link) noexcept {
        const auto length = static_cast<std::uint32_t>(bytes);
        remember(head, {cookie, 0, readable ? 0 : length, kInPlace, readable, !readable, link, TablePool::kNone},
                 readable ? length : 0);
    }
    [[gnu::always_inline]] void remember(std::uint32_t head, const Chain& chain, std::uint32_t readable) noexcept {
        chains_[head] = chain;
        chains_[head].sequence = added_++;
        ++outstanding_;
        counters_.added.store(added_, std::memory_order_relaxed);
        bump(counters_.bytes_out, readable);
        if (in_order_) {
            order_[newest_] = static_cast<std::uint16_t>(head);
            if (++newest_ == queue_size_) newest_ = 0;
        }
    }

    /// Was the device given this chain, and has it not been completed?
    [[nodiscard]] bool is_shown(std::uint32_t head) const noexcept {
        return (chains_[head].live() || BOUNCE_MUTATED(kUsedOnce)) &&
               (chains_[head].sequence < published_sequence_ || BOUNCE_MUTATED(kUsedIdShown));
    }
    /// In order, one used element stands for all requests up to its own. How many those are, of the chain at `head`.
    [[nodiscard]] std::uint64_t batch_of(std::uint32_t head) const noexcept {
        return chains_[head].sequence - chains_[order_[oldest_]].sequence + 1;
    }
    /// They were completed: next_in_order() hands them out.
    void confirm(std::uint64_t batch, std::uint32_t len) noexcept {
        confirmed_ = static_cast<std::uint32_t>(batch);
        confirmed_len_ = len;
    }
    /// The oldest of them; only while confirmed_ != 0. Those before the last count as written in full (virtio 1.2,
    /// sections 2.7.9 and 2.8.9).
    std::uint32_t next_in_order(std::uint32_t& len) noexcept {
        const std::uint32_t head = order_[oldest_];
        if (++oldest_ == queue_size_) oldest_ = 0;
        len = --confirmed_ == 0 ? confirmed_len_ : chains_[head].writable;
        return head;
    }

    /// Ends a chain, but for its descriptors. Its state is cleared before it is handed out: a replay of the id finds
    /// nothing.
    Chain release(std::uint32_t head) noexcept {
        const Chain chain = chains_[head];
        chains_[head].n_out = chains_[head].n_in = 0;
        tables_.give(chain.table, head);
        --outstanding_;
        return chain;
    }
    /// Gives back what a completed chain held. The bytes that the device wrote fill the writable segments in order.
    void complete(const Chain& chain, std::uint32_t reported, bounce_completion& completion) noexcept {
        std::uint32_t written = reported;
        if (reported > chain.writable || used_length_ == UsedLength::kIgnore) [[unlikely]]
            written = correct_length(reported, chain.writable);
        completion = bounce_completion{chain.cookie, 0, written, reported, 0};
        if (chain.segments != kInPlace) end_segments(chain, written, completion);  // by value: it stays in registers
        bump(counters_.completed);
        bump(counters_.bytes_in, completion.written);
    }
    /// With UsedLength::kFail: is this more than can be?
    [[nodiscard]] bool too_long(std::uint32_t head, std::uint32_t reported) const noexcept {
        return used_length_ == UsedLength::kFail && reported > chains_[head].writable &&
               !length_is_reserved(chains_[head].writable);
    }
    /// The length of a used descriptor of a packed ring means something when the device has written: of a buffer that
    /// it could only read, it is what the device left there, such as the length that the driver wrote (virtio 1.2,
    /// section 2.8.6).
    [[nodiscard]] bool length_is_reserved(std::uint32_t writable) const noexcept {
        return writable == 0 && config_.packed;
    }
    /// What is to be done when a collect() ends with n completions.
    [[gnu::always_inline]] Result<std::size_t> collected(std::span<bounce_completion> completions,
                                                         std::size_t n) noexcept {
        if (!renewed()) [[likely]]
            return n;
        return collected_stale(completions, n);
    }

    /// Has other memory taken the place of the ring's, or of its cells'?
    [[nodiscard]] bool renewed() const noexcept {
        return ring_region_->renewed_under_copy(block_.epoch) ||
               (cells_.used() && cells_region_->renewed_since(cells_.area().epoch));
    }
    [[nodiscard]] Error refuse() const noexcept;
    Error stale() noexcept;
    Result<std::size_t> collected_stale(std::span<bounce_completion> completions, std::size_t n) noexcept;
    Error violate(int kind, std::uint64_t got, std::uint64_t expected) noexcept;

    /// Content that was streamed into slots is there before anything that follows: the index that shows them, or that
    /// they are given back.
    void fence() noexcept {
        if (streamed_) [[unlikely]]
            fence_now();
    }

    // Hot: one thread drives a queue, nothing here is shared.
    Device& device_;
    Context* const context_;           // of its own; may be nullptr
    std::unique_ptr<Chain[]> chains_;  // by head, or id
    std::uint32_t queue_size_;
    std::uint32_t index_mask_;  // the least 2^k - 1 that covers all indices; chains_ is as long
    std::uint32_t n_free_ = 0;  // descriptors
    std::uint32_t outstanding_ = 0;
    std::uint32_t confirmed_ = 0;  // in order: completed, and not handed out
    std::uint32_t confirmed_len_ = 0;
    std::uint32_t oldest_ = 0;  // in order_
    std::uint32_t newest_ = 0;
    std::uint16_t free_head_ = 0;
    State state_ = State::kRunning;
    const UsedLength used_length_;
    bool indirect_;
    bool event_idx_;
    const bool in_order_;
    const bool order_platform_;
    const bool no_kicks_;
    const bool unchecked_;
    bool streamed_ = false;  // since the last fence()
    bool armed_ = false;     // by poll()
    RegionId last_region_;   // where a segment that is used in place was found before
    std::uint64_t added_ = 0;
    std::uint64_t published_sequence_ = 0;  // chains below it were shown to the device
    RingCounters counters_;                 // what others see of it, too
    SegmentPool segments_;
    TablePool tables_;
    CellArea cells_;
    // Heads in the order of submission: with in_order always, otherwise while aborting.
    std::unique_ptr<std::uint16_t[]> order_;
    bounce_block block_{};
    const Region* ring_region_ = nullptr;
    const Region* cells_region_ = nullptr;  // when there are cells

    [[nodiscard]] const QueueConfig& config() const noexcept { return config_; }

private:
    void fence_now() noexcept;
    Result<void> check_list(std::span<const bounce_sg> sg, std::size_t n_out, Plan& plan) const noexcept;
    [[nodiscard]] bool use_table(std::uint32_t n) const noexcept;
    Result<void> map_segment(const bounce_sg& sg, Direction direction, std::uint32_t block, std::uint32_t& cells,
                             bounce_mapping& token) noexcept;
    void undo(const SegmentWriter& tokens, std::uint32_t n) noexcept;
    [[nodiscard]] std::uint32_t correct_length(std::uint32_t reported, std::uint32_t writable) noexcept;
    void end_segments(Chain chain, std::uint32_t written, bounce_completion& completion) noexcept;
    void discard(std::uint32_t first_block, std::uint32_t n) noexcept;
    void discard(const Chain& chain) noexcept {
        if (chain.segments != kInPlace) discard(chain.segments, chain.count());
    }
    [[nodiscard]] Error stale_error() const noexcept;
    [[nodiscard]] Error broken_error() const noexcept;
    void sort_outstanding() noexcept;

    // Cold.
    QueueConfig config_;
    std::uint32_t chain_limit_ = 0;
    std::size_t ring_bytes_ = 0;
    std::uint32_t order_at_ = 0;  // while aborting
    std::uint32_t order_end_ = 0;
    std::uint32_t since_call_ = 0;  // completions since poll() was called for one
    std::uint32_t idle_looks_ = 0;
    std::uint64_t aborted_ = 0;
    int broken_kind_ = 0;
    std::uint64_t broken_got_ = 0;
    std::uint64_t broken_expected_ = 0;
};

[[gnu::always_inline]] inline Result<std::uint64_t> Virtqueue::place(const bounce_sg& sg,
                                                                     Direction direction) noexcept {
    if ((sg.flags & BOUNCE_SG_MAPPED) != 0) {
        const auto& mapping = *static_cast<const bounce_mapping*>(sg.base);
        if (unchecked_) return mapping.addr + sg.offset;
        return device_.mapped_address(mapping, sg.offset, sg.bytes, direction);
    }
    return device_.shared_address_near(last_region_, sg.base, sg.bytes);
}

template <class Put>
Result<void> Virtqueue::map_request(std::span<const bounce_sg> sg, std::size_t n_out, std::uint32_t head,
                                    const Plan& plan, std::uint32_t& segments, Put&& put) noexcept {
    const auto n = static_cast<std::uint32_t>(sg.size());
    const auto direction_of = [n_out](std::uint32_t i) {
        return i < n_out ? Direction::kToDevice : Direction::kFromDevice;
    };
    if (plan.in_place) {
        for (std::uint32_t i = 0; i < n; ++i) {
            const auto addr = place(sg[i], direction_of(i));
            if (!addr) [[unlikely]] {
                tables_.give(plan.table.id, head);
                return addr.error();
            }
            put(i, *addr, static_cast<std::uint32_t>(sg[i].bytes), i >= n_out, i + 1 == n);
        }
        segments = kInPlace;
        return {};
    }
    SegmentWriter tokens(segments_);
    std::uint32_t cells = 0;
    for (std::uint32_t i = 0; i < n; ++i) {
        bounce_mapping& token = tokens.next();
        if (auto mapped = map_segment(sg[i], direction_of(i), tokens.first(), cells, token); !mapped) [[unlikely]] {
            make_shared_segment(token, 0, 0);  // nothing to discard
            undo(tokens, i + 1);
            tables_.give(plan.table.id, head);
            return mapped;
        }
        put(i, token.addr, static_cast<std::uint32_t>(sg[i].bytes), i >= n_out, i + 1 == n);
    }
    segments = tokens.first();
    return {};
}

}  // namespace bounce
