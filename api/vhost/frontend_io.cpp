// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a front-end does while it is connected: memory, queues, configuration space.
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <limits>

#include "api/vhost/frontend.hpp"

namespace bounce::vhost {
namespace {

/// Can a process that holds this descriptor make our accesses fault? On hugetlbfs a punched hole may find no page
/// again, and a file that is not sealed can be cut short; both end in SIGBUS here.
Result<void> check_trust(std::uint32_t index, const Region& region) noexcept {
    struct statfs about {};
    const bool huge = region.page_bytes() > kPageBytes || (::fstatfs(region.fd(), &about) == 0 &&
                                                           static_cast<unsigned long>(about.f_type) == HUGETLBFS_MAGIC);
    if (huge)
        return fail(EINVAL,
                    "region %llu has hugepages: a back-end could punch holes into it and so end this process; "
                    "BOUNCE_FRONTEND_TRUSTED says that it will not",
                    index);
    const int seals = ::fcntl(region.fd(), F_GET_SEALS);
    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0)
        return fail(
            EINVAL,
            "region %llu is not sealed against shrinking: a back-end could cut it short and so end this process; "
            "BOUNCE_FRONTEND_TRUSTED says that it will not",
            index);
    return {};
}

}  // namespace

/// May the back-end be shown these?
Result<void> Frontend::check_regions(RegionMask regions) const noexcept {
    for (; regions != 0; regions &= regions - 1) {
        const auto i = static_cast<std::uint32_t>(std::countr_zero(regions));
        const Region& region = pool_.region(RegionId{i});
        if (region.fd() < 0)
            return fail(EINVAL, "region %llu has no file descriptor, so a back-end process cannot be shown it", i);
        if (config_.trusted) continue;
        if (auto good = check_trust(i, region); !good) return good;
    }
    return {};
}

/// Shows those of the regions, all checked, that the back-end has not been shown yet.
Result<void> Frontend::show_regions(RegionMask regions) noexcept {
    const Terms& terms = session_.terms();
    const bool slots = (terms.protocol & kConfigureMemSlots) != 0;
    const auto n = static_cast<std::uint32_t>(std::popcount(regions | shown_regions_));
    if (n > terms.max_memory_slots)
        return fail_text(ENOTSUP, "the pool has %u regions, the back-end takes at most %u%s", n, terms.max_memory_slots,
                         slots ? "" : " (no VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS)");
    if (slots) {
        for (RegionMask rest = regions & ~shown_regions_; rest != 0; rest &= rest - 1) {
            const auto i = static_cast<std::uint32_t>(std::countr_zero(rest));
            tainted_ = true;
            if (auto done = session_.add_memory(pool_.region(RegionId{i})); !done) return done;
            shown_regions_ |= RegionMask{1} << i;
            if (auto done = translate_regions(RegionMask{1} << i); !done) return done;
        }
        return {};
    }
    const Region* table[kMaxTableRegions];
    std::uint32_t count = 0;
    for (RegionMask rest = regions; rest != 0; rest &= rest - 1) {
        table[count++] = &pool_.region(RegionId{static_cast<std::uint32_t>(std::countr_zero(rest))});
    }
    tainted_ = true;
    if (auto done = session_.set_memory(std::span(table, count)); !done) return done;
    const RegionMask fresh = regions & ~shown_regions_;
    shown_regions_ = regions;
    return translate_regions(fresh);
}

/// Takes regions away that nothing of ours is in any more. A back-end that keeps its mapping all the same keeps memory
/// that is used by nobody, or by it again: what comes to their place is fresh.
Result<void> Frontend::hide_regions(RegionMask regions) noexcept {
    for (; regions != 0; regions &= regions - 1) {
        const auto i = static_cast<std::uint32_t>(std::countr_zero(regions));
        if (auto done = stop_translating(RegionMask{1} << i); !done) return done;
        if (auto done = session_.remove_memory(pool_.region(RegionId{i})); !done) return done;
        shown_regions_ &= ~(RegionMask{1} << i);
    }
    return {};
}

Result<void> Frontend::sync_regions() noexcept {
    if (auto good = need_connection(); !good) return good;
    const bool slots = (terms_.protocol & kConfigureMemSlots) != 0;
    if (slots) {
        auto hidden = hide_regions(pool_.leave_regions());
        if (!hidden) return noted(hidden);
    }
    const RegionMask regions = pool_.hold_regions();
    Result<void> shown;
    if ((regions & ~shown_regions_) != 0) {
        shown = slots ? check_regions(regions)
                      : fail(ENOTSUP,
                             "the back-end cannot be shown more memory while it runs (no "
                             "VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS); it sees %llu of %llu regions",
                             static_cast<std::uint64_t>(std::popcount(shown_regions_)),
                             static_cast<std::uint64_t>(std::popcount(regions | shown_regions_)));
        if (shown) shown = noted(show_regions(regions));
    }
    // Also of those before one that was refused.
    pool_.use_regions(shown_regions_);
    return shown;
}

Frontend::State Frontend::state() const noexcept {
    return state_.load(std::memory_order_relaxed);
}

Result<void> Frontend::need_connection() const noexcept {
    switch (state()) {
        case State::kConnected: return {};
        case State::kGone: return fail(ECONNRESET, "the back-end is gone; bounce_frontend_disconnect() comes next");
        case State::kDisconnected: break;
    }
    return fail(ECONNRESET, "the front-end is not connected");
}

Result<void> Frontend::need_queue(std::uint32_t queue) const noexcept {
    if (queue < queue_count_) [[likely]]
        return {};
    return fail(EINVAL, "there is no queue %llu, the front-end has %llu", queue, queue_count_);
}

/// Keeps in mind that the connection is over when a call found that.
Result<void> Frontend::noted(Result<void> result) noexcept {
    if (result.code() == ECONNRESET || result.code() == EPROTO || result.code() == ETIMEDOUT) {
        State expected = State::kConnected;
        state_.compare_exchange_strong(expected, State::kGone, std::memory_order_relaxed);
    }
    return result;
}

Result<void> Frontend::check_config_range(std::uint32_t offset, const void* data, std::size_t bytes) const noexcept {
    if (data == nullptr) return fail(EINVAL, "the buffer is NULL");
    if (bytes == 0 || bytes > kMaxConfigBytes)
        return fail(EINVAL, "%llu bytes of configuration space, expected 1 to %llu", bytes, kMaxConfigBytes);
    if (offset > std::numeric_limits<std::uint32_t>::max() - bytes)
        return fail(EINVAL, "offset %llu of the configuration space is out of range", offset);
    return need_connection();
}

Result<void> Frontend::read_config(std::uint32_t offset, void* out, std::size_t bytes) noexcept {
    if (auto good = check_config_range(offset, out, bytes); !good) return good;
    return noted(session_.read_config(offset, std::span(static_cast<std::byte*>(out), bytes)));
}

Result<void> Frontend::write_config(std::uint32_t offset, const void* in, std::size_t bytes) noexcept {
    if (auto good = check_config_range(offset, in, bytes); !good) return good;
    return noted(session_.write_config(offset, std::span(static_cast<const std::byte*>(in), bytes)));
}

Result<void> Frontend::stop_queue(std::uint32_t queue) noexcept {
    if (auto good = need_queue(queue); !good) return good;
    if (auto good = need_connection(); !good) return good;
    if (queues_[queue].stopped()) return fail(EALREADY, "queue %llu is stopped", queue);
    auto stopped = session_.stop_queue(queue, session_.deadline());
    if (stopped) queues_[queue].set_stopped(true);
    return noted(stopped);
}

Result<void> Frontend::start_queue(std::uint32_t queue) noexcept {
    if (auto good = need_queue(queue); !good) return good;
    if (auto good = need_connection(); !good) return good;
    FrontendQueue& one = queues_[queue];
    if (!one.stopped()) return fail(EALREADY, "queue %llu runs", queue);
    if (const std::uint32_t n = one.ring().outstanding(); n != 0)
        return fail(EBUSY, "queue %llu has %llu outstanding requests, expected none", queue, n);
    misbehaved_ = misbehaved_ || one.ring().stats().broken != 0;
    if (auto empty = one.ring().reset(); !empty) return empty;
    if (auto done = set_up_queue(queue); !done) return noted(done);
    return noted(enable_queue(queue));
}

bool Frontend::out_of_reach(const Virtqueue& ring) const noexcept {
    if (alone()) return true;
    if (!config_.trusted) return false;
    for (std::uint32_t i = 0; i < queue_count_; ++i) {
        if (&queues_[i].ring() == &ring) return queues_[i].stopped();
    }
    return false;
}

Result<void> Frontend::submit(std::uint32_t queue) noexcept {
    if (auto good = need_queue(queue); !good) return good;
    if (state() != State::kConnected) [[unlikely]]
        return need_connection();
    return queues_[queue].submit();
}

Result<void> Frontend::kick(std::uint32_t queue) noexcept {
    if (auto good = need_queue(queue); !good) return good;
    if (auto good = need_connection(); !good) return good;
    return queues_[queue].kick();
}

Result<void> Frontend::wait(std::uint32_t queue, std::uint32_t timeout_ms) noexcept {
    if (auto good = need_queue(queue); !good) return good;
    if (!config_.calls)
        return fail(
            EINVAL,
            "the front-end polls: it was connected without BOUNCE_FRONTEND_CALLS, so nothing can be waited for");
    // Of a back-end that is gone, what it completed before may still be collected.
    if (state() == State::kDisconnected) return need_connection();
    auto result = queues_[queue].wait(session_.channel().fd(), timeout_ms);
    return result.code() == ECONNRESET ? noted(result) : result;
}

Result<void> Frontend::check() noexcept {
    if (state() != State::kConnected) return need_connection();
    auto result = session_.channel().check();
    if (result.code() == EPROTO)
        callbacks_.violation(name_, BOUNCE_VIOLATION_REPLY, std::numeric_limits<std::uint32_t>::max(), 1, 0,
                             last_error());
    return noted(result);
}

bounce_frontend_info Frontend::info() const noexcept {
    bounce_frontend_info info{};
    info.features = terms_.accepted;
    info.offered_features = terms_.offered;
    info.protocol_features = terms_.protocol;
    info.queues = queue_count_;
    info.max_queues = terms_.max_queues;
    info.queue_size = config_.queue_size;
    info.max_memory_slots = terms_.max_memory_slots;
    info.connected = state() == State::kConnected ? 1 : 0;
    info.reconnects = reconnects_;
    return info;
}

}  // namespace bounce::vhost
