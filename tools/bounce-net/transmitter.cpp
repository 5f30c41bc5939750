// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-net/transmitter.hpp"

#include <cerrno>

#include "tools/common/failure.hpp"

namespace bounce::net {
Transmitter::Transmitter(const Session& session, std::uint32_t pair, std::uint32_t packets, std::size_t frame_bytes,
                         const tools::Canary* canary)
    : session_(session),
      queue_(tx_queue(pair)),
      ring_(session.ring(queue_)),
      memory_(session, packets, PacketHeader::kBytes + frame_bytes, canary),
      completions_(kBatch) {
    for (std::uint32_t i = packets; i-- > 0;) free_.push_back(i);
}

std::span<std::byte> Transmitter::frame() const noexcept {
    if (free_.empty()) return {};
    return {memory_.at(free_.back()) + PacketHeader::kBytes, memory_.bytes() - PacketHeader::kBytes};
}

bool Transmitter::add(std::size_t bytes, const PacketHeader& header) {
    const std::uint32_t index = free_.back();
    header.store(memory_.at(index));
    const bounce_sg segment = memory_.segment(index, PacketHeader::kBytes + bytes);
    const int code = bounce_ring_add(ring_, &segment, 1, 0, PacketMemory::cookie(index));
    if ((code == -EAGAIN || code == -ENOSPC) && outstanding() > 0) return false;
    check(code, "cannot send a packet");
    free_.pop_back();
    dirty_ = true;
    return true;
}

void Transmitter::submit() {
    if (!dirty_) return;
    dirty_ = false;
    check(bounce_frontend_submit(session_.frontend(), queue_), "cannot submit");
}

std::uint32_t Transmitter::reclaim() {
    if (outstanding() == 0) return 0;
    const int count =
        check(bounce_ring_collect(ring_, completions_.data(), completions_.size()), "cannot collect what was sent");
    for (int i = 0; i < count; ++i) {
        const bounce_completion& completion = completions_[static_cast<std::size_t>(i)];
        free_.push_back(PacketMemory::index(completion));
        if (completion.status < 0) throw DeviceLost(bounce_error_text(completion.status));
    }
    return static_cast<std::uint32_t>(count);
}

void Transmitter::abort() {
    for (;;) {
        const int count =
            check(bounce_ring_abort(ring_, completions_.data(), completions_.size()), "cannot take back what was sent");
        if (count == 0) break;
        for (int i = 0; i < count; ++i) free_.push_back(PacketMemory::index(completions_[static_cast<std::size_t>(i)]));
    }
    dirty_ = false;
    if (outstanding() != 0)
        throw tools::Failure(tools::text(outstanding(), " packets that were sent are not answered"));
}

}  // namespace bounce::net
