// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What is sent, and whether what comes back is that: generated frames, or those of a file.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "tools/bounce-net/capture.hpp"
#include "tools/bounce-net/frame.hpp"
#include "tools/bounce-net/tracker.hpp"
#include "tools/common/random.hpp"

namespace bounce::net {

class Traffic {
public:
    virtual ~Traffic() = default;
    [[nodiscard]] virtual std::uint64_t count() const noexcept = 0;
    /// Makes packet number `sequence` in `room`: its bytes, and what the device is to do with it.
    virtual std::size_t make(std::uint32_t sequence, std::span<std::byte> room, PacketHeader& header) = 0;
    /// It went into the ring.
    virtual void sent(std::uint32_t /*sequence*/) {}
    /// Counts what came: in `tracker` when it is good, as corrupted or foreign when not. A sentence about the first
    /// that is not good is kept.
    virtual void check(std::span<const std::byte> frame, const PacketHeader& header, Tracker& tracker) = 0;
    [[nodiscard]] const std::string& complaint() const noexcept { return complaint_; }

protected:
    void complain(const std::string& sentence) {
        if (complaint_.empty()) complaint_ = sentence;
    }

private:
    std::string complaint_;
};

struct GeneratedConfig {
    std::uint64_t count = 0;
    std::uint32_t least_bytes = 60;
    std::uint32_t most_bytes = 1514;
    Protocol protocol = Protocol::kUdp;
    std::uint16_t pair = 0;
    std::uint64_t seed = 1;
    bool offload_checksum = false;
};

class GeneratedTraffic : public Traffic {
public:
    explicit GeneratedTraffic(const GeneratedConfig& config) : config_(config) {}
    [[nodiscard]] std::uint64_t count() const noexcept override { return config_.count; }
    std::size_t make(std::uint32_t sequence, std::span<std::byte> room, PacketHeader& header) override;
    void check(std::span<const std::byte> frame, const PacketHeader& header, Tracker& tracker) override;

private:
    GeneratedConfig config_;
};

/// Packets of a file cannot carry a sequence number: they are known by their content behind the Ethernet addresses,
/// which may come back swapped.
class CapturedTraffic : public Traffic {
public:
    explicit CapturedTraffic(std::vector<Packet> packets);
    [[nodiscard]] std::uint64_t count() const noexcept override { return packets_.size(); }
    std::size_t make(std::uint32_t sequence, std::span<std::byte> room, PacketHeader& header) override;
    void sent(std::uint32_t sequence) override;
    void check(std::span<const std::byte> frame, const PacketHeader& header, Tracker& tracker) override;

private:
    std::vector<Packet> packets_;
    std::unordered_multimap<std::uint32_t, std::uint32_t> under_way_;  // CRC: sequence
};

}  // namespace bounce::net
