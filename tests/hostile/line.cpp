// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The driver's steps, each with what the oracle has to say of it.
#include <bounce/quarantine.h>

#include <cerrno>
#include <stdexcept>

#include "tests/hostile/session.hpp"
#include "tests/hostile/shared_word.hpp"

namespace bounce::hostile {
namespace {

void need(int result, const char* what) {
    if (result < 0) throw std::runtime_error(std::string(what) + ": " + bounce_last_error());
}

std::uint32_t flags_of(const Setup& setup) {
    std::uint32_t flags = 0;
    if (setup.packed) flags |= BOUNCE_RING_PACKED;
    if (setup.indirect) flags |= BOUNCE_RING_INDIRECT;
    if (setup.event_idx) flags |= BOUNCE_RING_EVENT_IDX;
    if (setup.in_order) flags |= BOUNCE_RING_IN_ORDER;
    if (setup.order_platform) flags |= BOUNCE_RING_ORDER_PLATFORM;
    if (setup.no_kicks) flags |= BOUNCE_RING_NO_KICKS;
    if (setup.length_ignore) flags |= BOUNCE_RING_USED_LENGTH_IGNORE;
    if (setup.length_fail) flags |= BOUNCE_RING_USED_LENGTH_FAIL;
    return flags;
}

/// Of what is used in place; no buffer of a request is longer.
constexpr std::size_t kInPlaceBytes = 1536;

bounce_pool_stats stats_of(bounce_pool* pool) {
    bounce_pool_stats stats{};
    bounce_pool_get_stats(pool, &stats);
    return stats;
}

}  // namespace

Line::Line(Findings& findings, bounce_pool* pool, const char* name, const Setup& setup, std::uint32_t index)
    : findings_(findings), pool_(pool), setup_(setup), completions_(setup.queue_size + std::size_t{1}) {
    bounce_device_options device{};
    device.size = sizeof device;
    device.name = name;
    need(bounce_device_create(pool, &device, &handle_), "a device");
    bounce_ring_options ring{};
    ring.size = sizeof ring;
    ring.queue_size = setup.queue_size;
    ring.flags = flags_of(setup);
    ring.index = index;
    ring.poll_after = 2;
    ring.poll_idle = 2;
    if (const int made = bounce_ring_create(handle_, &ring, &ring_); made < 0) {
        bounce_device_destroy(handle_);
        need(made, "a ring");
    }
    premapped_.resize(kInPlaceBytes, std::uint8_t{1});
    need(bounce_buffer_alloc(handle_, kInPlaceBytes, 0, &shared_), "a buffer");
    need(bounce_device_map(handle_, premapped_.data(), kInPlaceBytes, BOUNCE_TO_DEVICE, 0, &mapping_), "a mapping");
    oracle_ = std::make_unique<Oracle>(findings, pool, ring_, setup);
    connect();
}

Line::~Line() {
    if (findings_.any()) return;  // a library that was found wrong is not to be trusted with taking it apart
    bounce_completion left[16];
    while (ring_ != nullptr && bounce_ring_abort(ring_, left, 16) > 0) {
    }
    bounce_ring_destroy(ring_);
    if (mapping_.bytes != 0) bounce_device_unmap(handle_, &mapping_, 0);
    if (shared_.ptr != nullptr) bounce_buffer_free(handle_, &shared_);
    bounce_device_destroy(handle_);
}

void Line::connect() {
    bounce_ring_layout layout{};
    need(bounce_ring_get_layout(ring_, &layout), "a layout");
    device_ = std::make_unique<HostileDevice>(pool_, layout, setup_);
}

bool Line::broken() const {
    bounce_ring_stats stats{};
    bounce_ring_get_stats(ring_, &stats);
    return stats.broken != 0;
}

bool Line::add(std::vector<Buffer> buffers, std::size_t n_out, InPlace first) {
    std::vector<bounce_sg> list;
    for (Buffer& one : buffers) list.push_back(one.sg());
    if (n_out != 0 && first == InPlace::kBornShared) list[0] = {shared_.ptr, list[0].bytes, BOUNCE_SG_SHARED, 0};
    if (n_out != 0 && first == InPlace::kMapped) list[0] = {&mapping_, list[0].bytes, BOUNCE_SG_MAPPED, 0};
    bounce_ring_stats before{};
    bounce_ring_get_stats(ring_, &before);
    const std::size_t n_in = list.size() - n_out;
    const int result = bounce_ring_add(ring_, list.data(), n_out, n_in, oracle_->next_cookie());
    if (result < 0) {
        const bool may = before.broken != 0 ? result == -EPROTO
                                            : result == -EAGAIN || result == -ENOSPC ||
                                                  (result == -EINVAL && list.size() > setup_.queue_size);
        if (!may) findings_.add("add returned %d: %s", result, bounce_last_error());
        return false;
    }
    bounce_ring_stats after{};
    bounce_ring_get_stats(ring_, &after);
    try {
        const Request& seen = device_->watch(n_out, n_in, before.free_descriptors - after.free_descriptors);
        oracle_->added(std::move(buffers), seen, device_->requests().size() - 1);
    } catch (const std::runtime_error& error) {
        findings_.add("%s", error.what());
    }
    return true;
}

void Line::publish() {
    const bool dead = broken();
    const int wanted = bounce_ring_publish(ring_);
    if (wanted != 0 && (wanted != 1 || dead || setup_.no_kicks)) findings_.add("publish returned %d", wanted);
    std::uint32_t data = 0;
    if (bounce_ring_get_notification_data(ring_, &data) != 0) findings_.add("a kick has no data");
    if (dead) return;
    device_->published();
    oracle_->published();
}

int Line::collect(std::size_t max, bool poll) {
    const std::size_t outstanding = oracle_->live();
    completions_.resize(max);
    oracle_->before_collect(*device_, max);
    int wait = 0;
    const int n = poll ? bounce_ring_poll(ring_, completions_.data(), max, &wait)
                       : bounce_ring_collect(ring_, completions_.data(), max);
    if (n > 0 && static_cast<std::size_t>(n) > outstanding)
        findings_.add("%d completions of %zu outstanding requests", n, outstanding);
    oracle_->collected(*device_, completions_.data(), n);
    return n;
}

void Line::recover() {
    const std::uint64_t held = stats_of(pool_).used_bytes;
    if (const int done = bounce_device_quarantine(handle_); done < 0)
        findings_.add("quarantine returned %d: %s", done, bounce_last_error());
    bounce_completion left[7];
    for (int n = 1; n > 0 && !findings_.any();) {
        n = bounce_ring_abort(ring_, left, 7);
        oracle_->aborted(*device_, left, n);
    }
    if (oracle_->live() != 0) findings_.add("%zu requests were never given back", oracle_->live());
    // What the device may still write went nowhere.
    const bounce_pool_stats stats = stats_of(pool_);
    if (stats.used_bytes + stats.quarantined_bytes < held)
        findings_.add("%llu bytes are used and %llu in quarantine, where %llu were used before",
                      static_cast<unsigned long long>(stats.used_bytes),
                      static_cast<unsigned long long>(stats.quarantined_bytes), static_cast<unsigned long long>(held));
    if (const int done = bounce_device_release(handle_); done < 0)
        findings_.add("release returned %d: %s", done, bounce_last_error());
    if (stats_of(pool_).quarantined != 0) findings_.add("something stayed in quarantine");
    if (const int done = bounce_ring_reset(ring_); done < 0)
        findings_.add("reset returned %d: %s", done, bounce_last_error());
    oracle_->reset();
    connect();
}

void Line::honest_turn(std::size_t n, std::uint32_t garbage) {
    std::size_t added = 0;
    for (; added < n; ++added) {
        content_ = harmless(content_ + 1U);
        std::vector<Buffer> buffers;
        buffers.emplace_back(40 + added * 60, false, content_);
        if (setup_.queue_size > 1) buffers.emplace_back(40 + added * 60, true, std::uint8_t{0});
        if (!add(std::move(buffers), 1)) break;
    }
    if (added == 0) findings_.add("an honest queue with nothing outstanding takes no request: %s", bounce_last_error());
    device_->act({Step::kEvents, 0, garbage});
    publish();
    std::vector<std::uint8_t> expected;
    while (const Request* request = device_->oldest()) {
        for (std::size_t i = 0; i < request->written.size(); ++i) {
            const auto content = static_cast<std::uint8_t>(*request->readable[i].at);
            const std::uint8_t answer = harmless(~std::uint32_t{content});
            std::memset(request->written[i].at, answer, request->written[i].bytes);
            expected.push_back(answer);
        }
        device_->serve_oldest();
    }
    if (const int n_done = collect(setup_.queue_size + std::size_t{1}); n_done != static_cast<int>(added))
        findings_.add("%d completions of an honest queue, expected %zu", n_done, added);
    for (std::size_t i = 0; i < expected.size() && i < oracle_->answers().size(); ++i) {
        if (oracle_->answers()[i] != expected[i]) findings_.add("the answer of an honest device was changed");
    }
    oracle_->check_ring();
}

void Line::finish() {
    recover();
    if (const int done = bounce_ring_destroy(ring_); done < 0)
        return findings_.add("destroy returned %d: %s", done, bounce_last_error());
    ring_ = nullptr;
    if (const int done = bounce_device_unmap(handle_, &mapping_, 0); done < 0)
        findings_.add("unmap returned %d: %s", done, bounce_last_error());
    if (const int done = bounce_buffer_free(handle_, &shared_); done < 0)
        findings_.add("freeing a buffer returned %d: %s", done, bounce_last_error());
    if (const int done = bounce_device_destroy(handle_); done < 0)
        return findings_.add("destroying the device returned %d: %s", done, bounce_last_error());
    handle_ = nullptr;
}

}  // namespace bounce::hostile
