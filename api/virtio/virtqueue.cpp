// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a queue of either layout is made of: private memory, features, states. Requests are in virtqueue_add.cpp,
// completions in virtqueue_end.cpp.
#include "api/virtio/virtqueue.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "api/dma/callbacks.hpp"
#include "api/dma/copy.hpp"
#include "api/virtio/packed_queue.hpp"
#include "api/virtio/split_queue.hpp"

namespace bounce {
namespace {

/// The longest chain that add() takes; EINVAL when the configuration contradicts itself.
Result<std::uint32_t> chain_limit(const QueueConfig& config, bool indirect) noexcept {
    const std::uint32_t most = indirect ? kMaxTable : config.queue_size;
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

template <class Queue>
Result<std::unique_ptr<Virtqueue>> make_any(Device& device, const QueueConfig& config) noexcept {
    auto made = Queue::create(device, config);
    if (!made) return made.error();
    return std::unique_ptr<Virtqueue>(std::move(*made));
}

}  // namespace

Result<std::unique_ptr<Virtqueue>> Virtqueue::create(Device& device, const QueueConfig& config) noexcept {
    return config.packed ? make_any<PackedQueue>(device, config) : make_any<SplitQueue>(device, config);
}

Virtqueue::Virtqueue(Device& device, const QueueConfig& config) noexcept
    : device_(device),
      context_(device.open_context()),
      queue_size_(config.queue_size),
      index_mask_(std::bit_ceil(config.queue_size) - 1),
      used_length_(config.used_length),
      indirect_(config.indirect),
      event_idx_(config.event_idx),
      in_order_(config.in_order),
      order_platform_(config.order_platform),
      no_kicks_(config.no_kicks),
      unchecked_(config.unchecked),
      tables_(device),
      cells_(device),
      config_(config) {
    if (config_.poll_after == 0) config_.poll_after = kPollAfter;
    if (config_.poll_idle == 0) config_.poll_idle = kPollIdle;
    counters_.device = device.id();
    counters_.index = config.index;
    counters_.size = config.queue_size;
    device.callbacks().telemetry().add_ring(counters_);
}

Result<void> Virtqueue::check_chain(const QueueConfig& config) noexcept {
    auto limit = chain_limit(config, config.indirect);
    return limit ? Result<void>() : limit.error();
}

Result<void> Virtqueue::init_memory(std::size_t ring_bytes) noexcept {
    const std::uint32_t n = queue_size_;
    chains_.reset(new (std::nothrow) Chain[std::size_t{index_mask_} + 1]);
    order_.reset(new (std::nothrow) std::uint16_t[n]);
    if (chains_ == nullptr || order_ == nullptr) {
        return fail(ENOMEM, "no memory for the private state of %llu descriptors", n);
    }
    if (auto done = set_features(config_.indirect, config_.event_idx); !done) return done;
    if (auto taken = device_.alloc_block(SlotKind::kCoherent, ring_bytes, kRingAlign, block_); !taken) {
        block_ = bounce_block{};
        return taken;
    }
    ring_bytes_ = ring_bytes;
    cells_.init(n);
    ring_region_ = &device_.region_of(block_);
    if (cells_.used()) cells_region_ = &device_.region_of(cells_.area());
    return {};
}

Virtqueue::~Virtqueue() {
    device_.callbacks().telemetry().drop_ring(counters_);
    if (block_.ptr != nullptr) {
        fence();
        for (std::uint32_t head = 0; head < queue_size_; ++head) {
            if (chains_[head].live()) discard(release(head));
        }
        (void)device_.free_block(SlotKind::kCoherent, block_);
    }
    device_.close_context(context_);
}

Result<void> Virtqueue::set_features(bool indirect, bool event_idx) noexcept {
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

void Virtqueue::restart() noexcept {
    device_.refresh(block_);
    cells_.refresh();
    std::memset(block_.ptr, 0, ring_bytes_);
    n_free_ = queue_size_;
    free_head_ = 0;
    confirmed_ = confirmed_len_ = 0;
    oldest_ = newest_ = 0;
    published_sequence_ = added_;
    order_at_ = order_end_ = 0;
    since_call_ = idle_looks_ = 0;
    armed_ = false;
    state_ = State::kRunning;
    restart_ring();
    disarm();
}

Result<void> Virtqueue::reset() noexcept {
    if (outstanding_ != 0) return fail(EBUSY, "%llu requests are outstanding, expected none", outstanding_);
    restart();
    return {};
}

void Virtqueue::fence_now() noexcept {
    fence_streams();
    streamed_ = false;
}

void Virtqueue::stop() noexcept {
    if (state_ == State::kRunning) state_ = State::kStopped;
}

// A call costs more than many looks. So after one that brought many completions it pays to go on looking: what is
// outstanding will be there soon, and the device can leave out the call.
Result<std::size_t> Virtqueue::poll(std::span<bounce_completion> completions, bool& wait) noexcept {
    wait = false;
    if (armed_) {
        disarm();
        armed_ = false;
        since_call_ = idle_looks_ = 0;
    }
    auto n = collect(completions);
    if (!n || completions.empty()) return n;
    if (*n != 0) {
        since_call_ += static_cast<std::uint32_t>(*n);
        idle_looks_ = 0;
        return n;
    }
    if (since_call_ >= config_.poll_after && idle_looks_++ < config_.poll_idle) return n;
    wait = armed_ = true;
    if (arm()) {
        wait = false;  // it came meanwhile: the next look has it
    }
    return n;
}

bounce_ring_stats Virtqueue::stats() const noexcept {
    bounce_ring_stats stats{};
    stats.added = added_;
    stats.aborted = aborted_;
    stats.completed = counters_.completed.load(std::memory_order_relaxed) - aborted_;
    stats.kicks_wanted = counters_.kicks.load(std::memory_order_relaxed);
    stats.violations = counters_.violations.load(std::memory_order_relaxed);
    stats.outstanding = outstanding_;
    stats.free_descriptors = n_free_;
    stats.broken = state_ == State::kBroken ? 1 : 0;
    return stats;
}

Error Virtqueue::broken_error() const noexcept {
    switch (broken_kind_) {
        case BOUNCE_VIOLATION_USED_INDEX:
            return fail(EPROTO,
                        "ring %llu is broken: the device completed %llu requests, at most %llu were outstanding",
                        config_.index, broken_got_, broken_expected_);
        case BOUNCE_VIOLATION_USED_LENGTH:
            return fail(EPROTO, "ring %llu is broken: the device says that it wrote %llu bytes, where it could %llu",
                        config_.index, broken_got_, broken_expected_);
        default:
            return fail(
                EPROTO,
                "ring %llu is broken: the device completed id %llu, not the head of a request (queue size %llu)",
                config_.index, broken_got_, broken_expected_);
    }
}

Error Virtqueue::stale() noexcept {
    stop();
    return stale_error();
}

Error Virtqueue::stale_error() const noexcept {
    return fail(ESTALE, "the memory of ring %llu was renewed: its requests can only be aborted", config_.index);
}

Error Virtqueue::refuse() const noexcept {
    if (state_ == State::kBroken) return broken_error();
    if (renewed()) return stale_error();
    return fail(EPROTO,
                "ring %llu was stopped (its requests aborted, or its device disconnected): it wants a reset first",
                config_.index);
}

}  // namespace bounce
