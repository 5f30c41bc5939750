// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-net/receiver.hpp"

#include <cerrno>

#include "tools/common/failure.hpp"

namespace bounce::net {
namespace {

constexpr std::size_t kMaxPacketBytes = 65536 + kEthernetBytes;

}  // namespace

Receiver::Receiver(const Session& session, std::uint32_t pair, std::uint32_t buffers, std::size_t buffer_bytes,
                   const tools::Canary* canary)
    : session_(session),
      queue_(rx_queue(pair)),
      ring_(session.ring(queue_)),
      memory_(session, buffers, buffer_bytes, canary),
      completions_(kBatch) {
    for (std::uint32_t i = buffers; i-- > 0;) idle_.push_back(i);
    packet_.reserve(kMaxPacketBytes);
}

void Receiver::post() {
    bool added = false;
    while (!idle_.empty()) {
        const std::uint32_t index = idle_.back();
        const bounce_sg segment = memory_.segment(index, memory_.bytes());
        const int code = bounce_ring_add(ring_, &segment, 0, 1, PacketMemory::cookie(index));
        if ((code == -EAGAIN || code == -ENOSPC) && posted() > 0) break;  // after the next ones that come
        check(code, "cannot post a receive buffer");
        idle_.pop_back();
        added = true;
    }
    if (added) check(bounce_frontend_submit(session_.frontend(), queue_), "cannot submit");
}

std::uint32_t Receiver::collect() {
    return static_cast<std::uint32_t>(
        check(bounce_ring_collect(ring_, completions_.data(), completions_.size()), "cannot collect what came"));
}

/// The first buffer of a packet. False: there is no packet in it.
bool Receiver::begin(const std::byte* data, std::size_t bytes) {
    packet_.clear();
    const auto frame = PacketHeader::frame_bytes(bytes);
    if (!frame) {
        ++malformed_;
        return false;
    }
    header_ = PacketHeader::load(data);
    const std::uint32_t buffers = session_.mergeable() ? header_.num_buffers : 1;
    if (buffers == 0 || buffers > memory_.count()) {
        ++malformed_;
        return false;
    }
    if (buffers > 1) ++spanning_;
    missing_ = buffers;
    data += PacketHeader::kBytes;
    packet_.assign(data, data + *frame);
    return true;
}

/// True: a packet is complete.
bool Receiver::take(const bounce_completion& completion) {
    const std::uint32_t index = PacketMemory::index(completion);
    const std::byte* data = memory_.at(index);
    const std::size_t bytes = completion.written;
    idle_.push_back(index);
    if (completion.status < 0) throw DeviceLost(bounce_error_text(completion.status));
    if (missing_ == 0) {
        if (!begin(data, bytes)) return false;
    } else if (bytes == 0 || packet_.size() + bytes > kMaxPacketBytes) {
        ++malformed_;
        missing_ = 0;
        return false;
    } else {
        packet_.insert(packet_.end(), data, data + bytes);
    }
    return --missing_ == 0;
}

void Receiver::abort() {
    for (;;) {
        const int count = check(bounce_ring_abort(ring_, completions_.data(), completions_.size()),
                                "cannot take back receive buffers");
        if (count == 0) break;
        for (int i = 0; i < count; ++i) idle_.push_back(PacketMemory::index(completions_[static_cast<std::size_t>(i)]));
    }
    missing_ = 0;
    if (posted() != 0) throw tools::Failure(tools::text(posted(), " receive buffers are not answered"));
}

}  // namespace bounce::net
