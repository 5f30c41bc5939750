// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/vhost/frontend.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <new>
#include <string_view>

#include "allocator/base/mutation.hpp"

namespace bounce::vhost {
namespace {

/// How long a back-end may take to stop when it is to be hung up on anyway: it may be stuck.
constexpr std::uint32_t kStopMilliseconds = 1000;

FrontendConfig with_own_strings(FrontendConfig config, char (&path)[108], char (&name)[64]) noexcept {
    std::snprintf(path, sizeof path, "%s", config.socket_path);
    std::snprintf(name, sizeof name, "%s", config.name);
    config.socket_path = path;
    config.name = name;
    return config;
}

Result<void> check_config(const FrontendConfig& config) noexcept {
    if (auto good = check_socket_path(config.socket_path); !good) return good;
    if (config.queues == 0 || config.queues > kMaxQueues)
        return fail(EINVAL, "%llu queues, expected 1 to %llu", config.queues, kMaxQueues);
    if (config.timeout_ms == 0) return fail(EINVAL, "the timeout is 0 ms, expected at least 1");
    return check_policy(config.features);
}

}  // namespace

Frontend::Frontend(Pool& pool, Callbacks& callbacks, const FrontendConfig& config) noexcept
    : pool_(pool),
      callbacks_(callbacks),
      config_(with_own_strings(config, path_, name_)),
      session_(callbacks, name_, config.timeout_ms, config.queue_unit()) {}

Result<std::unique_ptr<Frontend>> Frontend::connect(Pool& pool, Callbacks& callbacks,
                                                    const FrontendConfig& config) noexcept {
    if (auto good = check_config(config); !good) return good.error();
    std::unique_ptr<Frontend> frontend(new (std::nothrow) Frontend(pool, callbacks, config));
    if (frontend == nullptr) return fail(ENOMEM, "no memory for a front-end");
    if (auto lent = pool.lend(); !lent) return lent.error();
    frontend->lent_ = true;
    if (auto started = frontend->start(); !started) return frontend->abandon(started.error());
    return frontend;
}

Result<void> Frontend::start() noexcept {
    // What others left in the memory is none of the back-end's business.
    if (auto clean = pool_.forget(); !clean) return clean;
    if (auto good = check_regions(pool_.shown()); !good) return good;
    config_.device.name = name_;
    auto made = Device::create(pool_, callbacks_, config_.device);
    if (!made) return made.error();
    config_.device.debug = nullptr;
    device_ = std::move(*made);
    if (auto done = session_.open(path_); !done) return done;
    if (auto done = negotiate(0); !done) return done;
    if (auto done = create_queues(); !done) return done;
    return run_queues();
}

Result<void> Frontend::negotiate(std::uint64_t previous) noexcept {
    if (auto done = session_.negotiate(config_.features, previous); !done) return done;
    const Terms& terms = session_.terms();
    if (config_.queues > terms.max_queues)
        return fail_text(ENOTSUP, "%u queues are wanted, the back-end has %u%s", config_.queues, terms.max_queues,
                         (terms.protocol & kMultiQueue) == 0 ? " (no VHOST_USER_PROTOCOL_F_MQ)" : "");
    return {};
}

Result<void> Frontend::create_queues() noexcept {
    queues_.reset(new (std::nothrow) FrontendQueue[config_.queues]);
    if (queues_ == nullptr) return fail(ENOMEM, "no memory for %llu queues", config_.queues);
    const std::uint64_t accepted = session_.terms().accepted;
    QueueConfig ring;
    ring.queue_size = config_.queue_size;
    ring.max_chain = config_.max_chain;
    ring.indirect = (accepted & kIndirectDesc) != 0;
    ring.event_idx = (accepted & kEventIdx) != 0;
    ring.packed = (accepted & kRingPacked) != 0;
    ring.in_order = (accepted & kInOrder) != 0;
    ring.order_platform = (accepted & kOrderPlatform) != 0;
    for (ring.index = 0; ring.index < config_.queues; ++ring.index) {
        if (auto done = queues_[ring.index].create(*device_, ring); !done) return done;
        ++queue_count_;
    }
    own_blocks_ = device_->outstanding();
    return {};
}

Result<void> Frontend::run_queues() noexcept {
    // What came since is shown too, if it may be and if there is room for it.
    const Terms& terms = session_.terms();
    RegionMask regions = pool_.hold_regions();
    const auto count = static_cast<std::uint32_t>(std::popcount(regions));
    if (count > terms.max_memory_slots || !check_regions(regions)) regions = pool_.shown();
    if (auto done = show_regions(regions); !done) return done;
    pool_.use_regions(regions);
    // A back-end that cannot add memory slots gets a fixed size.
    const bool slots = (terms.protocol & kConfigureMemSlots) != 0;
    pool_.limit_regions(slots ? terms.max_memory_slots : static_cast<std::uint32_t>(std::popcount(regions)));
    for (std::uint32_t i = 0; i < queue_count_; ++i) {
        if (auto done = set_up_queue(i); !done) return done;
    }
    for (std::uint32_t i = 0; i < queue_count_; ++i) {
        if (auto done = enable_queue(i); !done) return done;
    }
    terms_ = session_.terms();
    state_.store(State::kConnected, std::memory_order_relaxed);
    return {};
}

Result<void> Frontend::set_up_queue(std::uint32_t index) noexcept {
    FrontendQueue& queue = queues_[index];
    if (auto done = queue.open_events(); !done) return done;
    // A polling driver gives a call descriptor too: its ring stays disarmed, and back-ends know that best.
    if (auto done = session_.start_queue(index, queue.ring().layout(), queue.call_fd(), queue.kick_fd()); !done)
        return done;
    return serve_misses();  // of the ring itself
}

Result<void> Frontend::enable_queue(std::uint32_t index) noexcept {
    if (auto done = session_.enable_queue(index); !done) return done;
    queues_[index].set_stopped(false);
    return serve_misses();
}

/// Takes everything back after a failure to connect; the error and its sentence stay those of the failure.
Error Frontend::abandon(Error error) noexcept {
    char sentence[512];
    std::snprintf(sentence, sizeof sentence, "%s", last_error());
    hang_up();
    if (auto fresh = renew_tainted(); !fresh)
        callbacks_.log(BOUNCE_LOG_ERROR, "%s: the pool's memory cannot be renewed, and is retired: %s", name_,
                       last_error());
    return fail_text(error.code(), "%s", sentence);
}

void Frontend::hang_up() noexcept {
    state_.store(State::kDisconnected, std::memory_order_relaxed);
    session_.hang_up();
    for (std::uint32_t i = 0; i < queue_count_; ++i) queues_[i].close_events();
}

Result<void> Frontend::renew_tainted() noexcept {
    if (!tainted_) return {};
    if (retired_)
        return fail(ENOTSUP, "the memory could not be renewed when the front-end was to be closed, and is retired");
    if (auto fresh = pool_.renew_open(); !fresh) return fresh;
    tainted_ = false;
    return {};
}

Result<void> Frontend::disconnect() noexcept {
    // A back-end that is hung up on while its rings run may take more requests, or trip over itself:
    // qemu-storage-daemon 7.2 ends by an assertion. Whether it stopped is of no matter here: the memory is renewed.
    const std::uint32_t most = BOUNCE_MUTATED(kStopBound) ? config_.timeout_ms : kStopMilliseconds;
    if (state() == State::kConnected) (void)stop_queues(Deadline(std::min(config_.timeout_ms, most)));
    hang_up();
    for (std::uint32_t i = 0; i < queue_count_; ++i) queues_[i].ring().stop();
    return renew_tainted();
}

Result<void> Frontend::reconnect() noexcept {
    if (state() != State::kDisconnected)
        return fail(EBUSY, "the front-end has a connection; bounce_frontend_disconnect() ends it");
    if (auto fresh = renew_tainted(); !fresh) {
        char why[300];
        std::snprintf(why, sizeof why, "%s", last_error());
        return fail_text(fresh.code(), "the former back-end may still write to the memory, so no other gets it: %s",
                         why);
    }
    for (std::uint32_t i = 0; i < queue_count_; ++i) {
        if (const std::uint32_t n = queues_[i].ring().outstanding(); n != 0)
            return fail(EBUSY, "queue %llu has %llu outstanding requests; bounce_ring_abort() takes them back", i, n);
    }
    if (auto good = check_regions(pool_.shown()); !good) return good;
    if (auto again = restart(); !again) return abandon(again.error());
    ++reconnects_;
    return {};
}

Result<void> Frontend::restart() noexcept {
    shown_regions_ = 0;
    misbehaved_ = false;
    iotlb_.clear();
    if (auto done = session_.open(path_); !done) return done;
    if (auto done = negotiate(BOUNCE_MUTATED(kRenegotiation) ? 0 : terms_.accepted); !done) return done;
    for (std::uint32_t i = 0; i < queue_count_; ++i) {
        if (auto done = queues_[i].ring().reset(); !done) return done;
    }
    return run_queues();
}

Result<void> Frontend::close() noexcept {
    const bool clean = state() == State::kConnected && stop_queues(session_.deadline());
    hang_up();
    auto fresh = renew_tainted();
    // A back-end that says it has stopped may still be believed where there is no other way: the caller's own memory.
    if (!fresh && clean) {
        callbacks_.log(BOUNCE_LOG_WARNING, "%s: the back-end stopped, but the memory that it saw was not renewed: %s",
                       name_, last_error());
        fresh = Result<void>();
        tainted_ = false;
    }
    // What the back-end may still write must serve nobody else.
    if (!fresh) {
        pool_.write_off();
        retired_ = true;
    }
    abort_all();
    if (const std::uint64_t left = device_->outstanding() - own_blocks_; left != 0)
        return fail(EBUSY, "%llu mappings or blocks of the front-end's device exist, expected none", left);
    return fresh;
}

/// True when every queue was said to have stopped, all before the deadline, and none gave reason not to believe that: a
/// back-end that broke the protocol, or that has requests (some go on with those after they said so).
bool Frontend::stop_queues(Deadline deadline) noexcept {
    bool clean = !misbehaved_;
    for (std::uint32_t i = 0; i < queue_count_; ++i) {
        if (!queues_[i].stopped()) {
            if (auto stopped = session_.stop_queue(i, deadline); !stopped) return false;
        }
        const bounce_ring_stats ring = queues_[i].ring().stats();
        clean = clean && ring.broken == 0 && ring.outstanding == 0;
    }
    return clean;
}

void Frontend::abort_all() noexcept {
    bounce_completion completions[32];
    for (std::uint32_t i = 0; i < queue_count_; ++i) {
        while (queues_[i].ring().abort(completions) != 0) {
        }
    }
}

Frontend::~Frontend() {
    queues_.reset();
    device_.reset();
    if (!lent_) return;
    if (tainted_ && !retired_) pool_.write_off();
    pool_.take_back();
}

}  // namespace bounce::vhost
