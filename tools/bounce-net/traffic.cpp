// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-net/traffic.hpp"

#include <algorithm>
#include <cstring>

#include "tools/bounce-net/checksum.hpp"
#include "tools/common/failure.hpp"

namespace bounce::net {
namespace {

using tools::text;

constexpr std::size_t kAddressBytes = 12;  // both Ethernet addresses

bool same_addresses(std::span<const std::byte> sent, std::span<const std::byte> came) {
    const bool same = std::memcmp(sent.data(), came.data(), kAddressBytes) == 0;
    return same ||
           (std::memcmp(sent.data(), came.data() + 6, 6) == 0 && std::memcmp(sent.data() + 6, came.data(), 6) == 0);
}

}  // namespace

std::size_t GeneratedTraffic::make(std::uint32_t sequence, std::span<std::byte> room, PacketHeader& header) {
    // The size follows from the sequence number: a run can be repeated.
    tools::Random random(config_.seed + sequence);
    const std::size_t bytes = config_.least_bytes + random.below(config_.most_bytes - config_.least_bytes + 1);
    const FrameSpec spec{config_.protocol, config_.pair, sequence, config_.seed, config_.offload_checksum};
    header = make_frame(spec, room.first(bytes));
    return bytes;
}

void GeneratedTraffic::check(std::span<const std::byte> frame, const PacketHeader& header, Tracker& tracker) {
    const Checked checked = check_frame(frame, header, config_.offload_checksum);
    if (checked.verdict == Verdict::kGood && checked.pair == config_.pair) {
        tracker.received(checked.sequence, frame.size());
        return;
    }
    if (checked.verdict == Verdict::kGood) {
        ++tracker.counts().foreign;
        complain(text("packet ", checked.sequence, " of queue pair ", checked.pair, " came on pair ", config_.pair));
    } else if (checked.verdict == Verdict::kForeign) {
        ++tracker.counts().foreign;
        complain(text("a packet of ", frame.size(), " bytes is ", verdict_text(checked.verdict)));
    } else {
        ++tracker.counts().corrupted;
        complain(text("packet ", checked.sequence, " came back with ", frame.size(), " bytes and ",
                      verdict_text(checked.verdict)));
    }
}

CapturedTraffic::CapturedTraffic(std::vector<Packet> packets) : packets_(std::move(packets)) {}

std::size_t CapturedTraffic::make(std::uint32_t sequence, std::span<std::byte> room, PacketHeader& header) {
    const Packet& packet = packets_[sequence];
    std::copy(packet.begin(), packet.end(), room.begin());
    header = {};
    return packet.size();
}

void CapturedTraffic::sent(std::uint32_t sequence) {
    under_way_.emplace(crc32c(std::span(packets_[sequence]).subspan(kAddressBytes)), sequence);
}

void CapturedTraffic::check(std::span<const std::byte> frame, const PacketHeader& /*header*/, Tracker& tracker) {
    if (frame.size() > kAddressBytes) {
        auto [at, end] = under_way_.equal_range(crc32c(frame.subspan(kAddressBytes)));
        // Of several alike the one that was sent first.
        auto found = end;
        for (; at != end; ++at) {
            const Packet& sent = packets_[at->second];
            const bool same = sent.size() == frame.size() && same_addresses(sent, frame) &&
                              std::equal(sent.begin() + kAddressBytes, sent.end(), frame.begin() + kAddressBytes);
            if (same && (found == end || at->second < found->second)) found = at;
        }
        if (found != end) {
            tracker.received(found->second, frame.size());
            under_way_.erase(found);
            return;
        }
    }
    ++tracker.counts().foreign;
    complain(text("a packet of ", frame.size(), " bytes came back that is none of those under way"));
}

}  // namespace bounce::net
