// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-net/bench_bare.hpp"

#include <algorithm>

#include "tools/bounce-net/bench_loop.hpp"
#include "tools/bounce-net/frame.hpp"

namespace bounce::net {
namespace {

using tools::BareRing;
using tools::text;

std::uint64_t lines(std::uint64_t bytes) {
    return (bytes + 63) / 64 * 64;
}

struct Layout {
    std::uint64_t tx_ring;
    std::uint64_t rx_data;
    std::uint64_t rx_step;
    std::uint64_t tx_data;
    std::uint64_t tx_step;
    std::uint64_t bytes;

    Layout(std::uint32_t queue_size, std::uint32_t rx_buffer_bytes, const Case& what)
        : tx_ring(BareRing::bytes(queue_size)),
          rx_data(2 * tx_ring),
          rx_step(lines(rx_buffer_bytes)),
          tx_data(rx_data + BareRing::pages(rx_step * queue_size)),
          tx_step(lines(PacketHeader::kBytes + what.frame_bytes)),
          bytes(tx_data + BareRing::pages(tx_step * what.window)) {}
};

}  // namespace

std::uint64_t BareSubject::bytes_needed(std::uint32_t queue_size, std::uint32_t rx_buffer_bytes, const Case& what) {
    return Layout(queue_size, rx_buffer_bytes, what).bytes;
}

BareSubject::BareSubject(tools::BareConnection& connection, std::uint32_t pair, std::uint32_t queue_size,
                         std::uint32_t rx_buffer_bytes, const Case& what, std::byte* memory, std::uint64_t gpa,
                         bool polls)
    : rx_(connection, rx_queue(pair), queue_size, has(connection.features(), kEventIdx), memory, polls),
      tx_(connection, tx_queue(pair), queue_size, has(connection.features(), kEventIdx),
          memory + BareRing::bytes(queue_size), polls),
      rx_buffers_(queue_size),
      tx_buffers_(what.window),
      packet_bytes_(static_cast<std::uint32_t>(PacketHeader::kBytes) + what.frame_bytes) {
    const Layout layout(queue_size, rx_buffer_bytes, what);
    for (std::uint32_t i = 0; i < rx_buffers_; ++i) {
        rx_.put_desc(i, gpa + layout.rx_data + layout.rx_step * i, rx_buffer_bytes, tools::kBareDescWrite, 0);
        rx_.put(static_cast<std::uint16_t>(i));
    }
    for (std::uint32_t i = 0; i < tx_buffers_; ++i) {
        std::byte* packet = memory + layout.tx_data + layout.tx_step * i;
        FrameSpec spec;
        spec.pair = static_cast<std::uint16_t>(pair);
        spec.sequence = i;
        make_frame(spec, {packet + PacketHeader::kBytes, what.frame_bytes}).store(packet);
        tx_.put_desc(i, gpa + layout.tx_data + layout.tx_step * i, packet_bytes_, 0, 0);
        tx_free_.push_back(static_cast<std::uint16_t>(i));
    }
    rx_.start();
    tx_.start();
    rx_.publish();
}

std::uint32_t BareSubject::receive() {
    const std::uint16_t ready = rx_.ready();
    if (ready > rx_buffers_) throw DeviceLost("the device completed more than was asked of it");
    const auto count = std::min<std::uint32_t>(ready, kBenchBurst);
    for (std::uint32_t i = 0; i < count; ++i) {
        const BareRing::Used used = rx_.take();
        if (used.id >= rx_buffers_)
            throw DeviceLost(text("the device completed buffer ", used.id, ", which there is not"));
        if (used.bytes != packet_bytes_)
            throw tools::Failure(
                text("a packet came back with ", used.bytes, " bytes, header included, expected ", packet_bytes_));
        rx_.put(static_cast<std::uint16_t>(used.id));
    }
    if (count != 0) rx_.publish();
    return count;
}

void BareSubject::reclaim() {
    const std::uint16_t ready = tx_.ready();
    if (ready > tx_buffers_) throw DeviceLost("the device completed more than was asked of it");
    for (std::uint16_t i = 0; i < ready; ++i) {
        const std::uint32_t id = tx_.take().id;
        if (id >= tx_buffers_) throw DeviceLost(text("the device completed packet ", id, ", which there is not"));
        tx_free_.push_back(static_cast<std::uint16_t>(id));
    }
}

bool BareSubject::send() {
    if (tx_free_.empty()) return false;
    tx_.put(tx_free_.back());
    tx_free_.pop_back();
    return true;
}

}  // namespace bounce::net
