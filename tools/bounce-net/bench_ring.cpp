// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-net/bench_ring.hpp"

#include <cerrno>

#include "tools/bounce-net/bench_loop.hpp"
#include "tools/bounce-net/frame.hpp"

namespace bounce::net {
namespace {

using tools::Failure;
using tools::text;

constexpr std::uint32_t kLooksPerKick = 64;

}  // namespace

RingSubject::RingSubject(const Session& session, std::uint32_t pair, const Case& what, std::uint32_t rx_buffers,
                         std::uint32_t rx_buffer_bytes, const tools::Canary* canary, bool control)
    : session_(session),
      rx_queue_(rx_queue(pair)),
      tx_queue_(tx_queue(pair)),
      rx_ring_(session.ring(rx_queue_)),
      tx_ring_(session.ring(tx_queue_)),
      rx_(session, rx_buffers, rx_buffer_bytes, canary),
      tx_(session, what.window, PacketHeader::kBytes + what.frame_bytes, canary),
      packet_bytes_(PacketHeader::kBytes + what.frame_bytes),
      control_(control),
      completions_(kBenchBurst) {
    for (std::uint32_t i = 0; i < what.window; ++i) {
        FrameSpec spec;
        spec.pair = static_cast<std::uint16_t>(pair);
        spec.sequence = i;
        make_frame(spec, {tx_.at(i) + PacketHeader::kBytes, what.frame_bytes}).store(tx_.at(i));
        tx_free_.push_back(i);
    }
    for (std::uint32_t i = 0; i < rx_buffers; ++i) rx_idle_.push_back(i);
    post();
}

void RingSubject::post() {
    bool added = false;
    while (!rx_idle_.empty()) {
        const std::uint32_t index = rx_idle_.back();
        const bounce_sg segment = rx_.segment(index, rx_.bytes());
        const int code = bounce_ring_add(rx_ring_, &segment, 0, 1, PacketMemory::cookie(index));
        if (code == -EAGAIN || code == -ENOSPC) break;
        check(code, "cannot post a receive buffer");
        rx_idle_.pop_back();
        added = true;
    }
    if (added) check(bounce_frontend_submit(session_.frontend(), rx_queue_), "cannot submit");
}

void RingSubject::check_packet(const bounce_completion& completion, std::uint32_t index) const {
    if (completion.status < 0) throw DeviceLost(bounce_error_text(completion.status));
    if (completion.written != packet_bytes_)
        throw Failure(
            text("a packet came back with ", completion.written, " bytes, header included, expected ", packet_bytes_));
    if (session_.mergeable() && PacketHeader::load(rx_.at(index)).num_buffers != 1)
        throw Failure("a packet that fits into one buffer came in several");
}

std::uint32_t RingSubject::receive() {
    const int count =
        check(bounce_ring_collect(rx_ring_, completions_.data(), completions_.size()), "cannot collect what came");
    if (count == 0) return 0;
    for (int i = 0; i < count; ++i) {
        const bounce_completion& completion = completions_[static_cast<std::size_t>(i)];
        const std::uint32_t index = PacketMemory::index(completion);
        rx_idle_.push_back(index);
        check_packet(completion, index);
    }
    post();
    return static_cast<std::uint32_t>(count);
}

void RingSubject::reclaim() {
    const int count =
        check(bounce_ring_collect(tx_ring_, completions_.data(), completions_.size()), "cannot collect what was sent");
    for (int i = 0; i < count; ++i) tx_free_.push_back(PacketMemory::index(completions_[static_cast<std::size_t>(i)]));
}

bool RingSubject::send() {
    if (tx_free_.empty()) return false;
    const std::uint32_t index = tx_free_.back();
    const bounce_sg segment = tx_.segment(index, packet_bytes_);
    const int code = bounce_ring_add(tx_ring_, &segment, 1, 0, PacketMemory::cookie(index));
    if (code == -EAGAIN || code == -ENOSPC) return false;
    check(code, "cannot send a packet");
    tx_free_.pop_back();
    return true;
}

void RingSubject::publish() {
    check(bounce_frontend_submit(session_.frontend(), tx_queue_), "cannot submit");
}

void RingSubject::idle() {
    if (control_) session_.process();
    if (!polls()) {
        const int code = bounce_frontend_wait(session_.frontend(), rx_queue_, control_ ? 1 : 100);
        if (code != -ETIMEDOUT && code != -EINTR) check(code, "waiting for the device");
        return;
    }
    session_.check_alive();
    // What the device says of kicks is a hint: after a long silence it gets one that it did not ask for.
    if (++idle_looks_ % kLooksPerKick != 0) return;
    check(bounce_frontend_kick(session_.frontend(), tx_queue_), "cannot kick the device");
    check(bounce_frontend_kick(session_.frontend(), rx_queue_), "cannot kick the device");
}

void RingSubject::abort() noexcept {
    for (bounce_ring* ring : {rx_ring_, tx_ring_}) {
        while (bounce_ring_abort(ring, completions_.data(), completions_.size()) > 0) {
        }
    }
}

void RingSubject::check_canaries() const {
    rx_.check_canaries();
    tx_.check_canaries();
}

}  // namespace bounce::net
