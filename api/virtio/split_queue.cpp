// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Split virtqueue, driver side: making and resetting one, kicks and calls. Requests are in split_add.cpp, completions
// in split_collect.cpp.
#include "api/virtio/split_queue.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <new>

#include "api/dma/callbacks.hpp"
#include "api/dma/copy.hpp"

namespace bounce {
namespace {

/// The longest chain that add() takes; EINVAL when the configuration contradicts itself.
Result<std::uint32_t> chain_limit(const SplitQueueConfig& config, bool indirect) noexcept {
    const std::uint32_t most = indirect ? kSplitMaxTable : config.queue_size;
    if (config.max_chain > most) {
        return fail(EINVAL, "chains of %llu segments do not fit, at most %llu do (%llu descriptors)", config.max_chain,
                    most, config.queue_size);
    }
    return config.max_chain != 0 ? config.max_chain : std::min(most, config.queue_size);
}

/// Tokens for a full ring of direct chains; with tables for ten segments a chain on average, and one longest chain.
std::uint32_t blocks_of_queue(std::uint32_t queue_size, std::uint32_t limit, bool indirect) noexcept {
    return indirect ? 2 * queue_size + blocks_for(limit) : queue_size;
}

}  // namespace

SplitQueue::SplitQueue(Device& device, const SplitQueueConfig& config) noexcept
    : device_(device),
      context_(device.open_context()),
      queue_size_(config.queue_size),
      indirect_(config.indirect),
      event_idx_(config.event_idx),
      tables_(device),
      cells_(device),
      config_(config) {
    counters_.device = device.id();
    counters_.index = config.index;
    counters_.size = config.queue_size;
    device.callbacks().telemetry().add_ring(counters_);
}

Result<std::unique_ptr<SplitQueue>> SplitQueue::create(Device& device, const SplitQueueConfig& config) noexcept {
    const std::uint32_t n = config.queue_size;
    if (n < kSplitMinQueue || n > kSplitMaxQueue || !std::has_single_bit(n)) {
        return fail(EINVAL, "a queue of %llu descriptors, expected a power of two from %llu to %llu", n, kSplitMinQueue,
                    kSplitMaxQueue);
    }
    if (auto limit = chain_limit(config, config.indirect); !limit) return limit.error();
    std::unique_ptr<SplitQueue> queue(new (std::nothrow) SplitQueue(device, config));
    if (queue == nullptr) return fail(ENOMEM, "no memory for a ring");
    if (auto ready = queue->init(); !ready) return ready.error();
    return queue;
}

Result<void> SplitQueue::init() noexcept {
    const std::uint32_t n = queue_size_;
    chains_.reset(new (std::nothrow) Chain[n]);
    next_.reset(new (std::nothrow) std::uint16_t[n]);
    order_.reset(new (std::nothrow) std::uint16_t[n]);
    if (chains_ == nullptr || next_ == nullptr || order_ == nullptr) {
        return fail(ENOMEM, "no memory for the private state of %llu descriptors", n);
    }
    if (auto done = set_features(config_.indirect, config_.event_idx); !done) return done;
    const SplitOffsets offsets(n);
    auto taken = device_.alloc_block(SlotKind::kCoherent, offsets.bytes, SplitOffsets::kAlign, block_);
    if (!taken) {
        block_ = bounce_block{};
        return taken;
    }
    ring_ = SplitRing(static_cast<std::byte*>(block_.ptr), n);
    cells_.init(n);
    restart();
    return {};
}

SplitQueue::~SplitQueue() {
    device_.callbacks().telemetry().drop_ring(counters_);
    if (block_.ptr != nullptr) {
        bounce_completion completions[16];
        while (abort(completions) != 0) {
        }
        (void)device_.free_block(SlotKind::kCoherent, block_);
    }
    device_.close_context(context_);
}

Result<void> SplitQueue::set_features(bool indirect, bool event_idx) noexcept {
    if (outstanding_ != 0) return fail(EBUSY, "%llu requests are outstanding, expected none", outstanding_);
    auto limit = chain_limit(config_, indirect);
    if (!limit) return Error(ENOTSUP);
    if (indirect && !tables_.ready()) {
        if (auto done = tables_.init(queue_size_); !done) return done;
    }
    const std::uint32_t blocks = blocks_of_queue(queue_size_, *limit, indirect);
    if (blocks > segments_.n_free()) {
        if (auto done = segments_.init(blocks); !done) return done;
    }
    chain_limit_ = *limit;
    indirect_ = indirect;
    event_idx_ = event_idx;
    return {};
}

/// Empty, zeroed rings and everything private as after creation, but for the counters. Nothing is outstanding.
void SplitQueue::restart() noexcept {
    device_.refresh(block_);
    cells_.refresh();
    std::memset(block_.ptr, 0, SplitOffsets(queue_size_).bytes);
    for (std::uint32_t i = 0; i < queue_size_; ++i) next_[i] = static_cast<std::uint16_t>(i + 1);
    n_free_ = queue_size_;
    free_head_ = 0;
    avail_index_ = published_ = last_used_ = 0;
    published_sequence_ = added_;
    order_at_ = order_end_ = 0;
    state_ = State::kRunning;
    disarm();
}

Result<void> SplitQueue::reset() noexcept {
    if (outstanding_ != 0) return fail(EBUSY, "%llu requests are outstanding, expected none", outstanding_);
    restart();
    return {};
}

bool SplitQueue::publish() noexcept {
    if (state_ != State::kRunning || avail_index_ == published_) return false;
    const std::uint16_t before = published_;
    published_ = avail_index_;
    published_sequence_ = added_;
    fence();  // one for the batch
    ring_.publish(avail_index_);
    // What the device says of kicks is a hint: any value costs a kick too many or too few, nothing else.
    const bool wanted = event_idx_ ? passed_event(ring_.avail_event(), avail_index_, before)
                                   : (ring_.used_flags() & kUsedNoNotify) == 0;
    kicks_wanted_ += wanted ? 1 : 0;
    if (wanted) bump(counters_.kicks);
    return wanted;
}

/// Content that was streamed into slots is there before anything that follows: the index that shows them, or that they
/// are given back.
void SplitQueue::fence() noexcept {
    if (!streamed_) return;
    fence_streams();
    streamed_ = false;
}

bool SplitQueue::arm() noexcept {
    if (state_ != State::kRunning) return true;  // collect() says why
    if (event_idx_) {
        ring_.ask_call_at(last_used_);
    } else {
        ring_.set_avail_flags(0);
    }
    return ring_.used_index_after_arm() != last_used_;
}

void SplitQueue::disarm() noexcept {
    // With event idx there is no "never": the index that comes last asks for one call in 65536 completions. The flags
    // then stay 0 (section 2.7.7.1).
    if (event_idx_) {
        ring_.ask_call_at(static_cast<std::uint16_t>(last_used_ - 1));
    } else {
        ring_.set_avail_flags(kAvailNoInterrupt);
    }
}

bounce_ring_layout SplitQueue::layout() const noexcept {
    const SplitOffsets offsets(queue_size_);
    bounce_ring_layout layout{};
    layout.desc_addr = block_.addr;
    layout.avail_addr = block_.addr + offsets.avail;
    layout.used_addr = block_.addr + offsets.used;
    layout.queue_size = queue_size_;
    layout.avail_index = last_used_;
    return layout;
}

bounce_ring_stats SplitQueue::stats() const noexcept {
    bounce_ring_stats stats{};
    stats.added = added_;
    stats.completed = completed_;
    stats.aborted = aborted_;
    stats.kicks_wanted = kicks_wanted_;
    stats.violations = violations_;
    stats.outstanding = outstanding_;
    stats.free_descriptors = n_free_;
    stats.broken = state_ == State::kBroken ? 1 : 0;
    return stats;
}

Error SplitQueue::refuse() const noexcept {
    if (state_ == State::kBroken) return broken_error();
    if (renewed()) return stale_error();
    return fail(EPROTO,
                "ring %llu was stopped (its requests aborted, or its device disconnected): it wants a reset first",
                config_.index);
}

}  // namespace bounce
