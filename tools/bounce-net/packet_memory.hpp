// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Buffers of packets, all of one size: private ones with canaries, or born in the pool.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bounce/bounce.h"
#include "tools/bounce-net/session.hpp"
#include "tools/common/canary.hpp"

namespace bounce::net {

/// Completions that are collected at a time.
inline constexpr std::size_t kBatch = 64;

class PacketMemory {
public:
    /// canary: for private buffers; null: born-shared ones. Throws tools::Failure.
    PacketMemory(const Session& session, std::uint32_t count, std::size_t bytes, const tools::Canary* canary);
    ~PacketMemory();
    PacketMemory(const PacketMemory&) = delete;
    PacketMemory& operator=(const PacketMemory&) = delete;

    [[nodiscard]] bool shared() const noexcept { return private_.empty(); }
    [[nodiscard]] std::uint32_t count() const noexcept { return static_cast<std::uint32_t>(at_.size()); }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
    [[nodiscard]] std::byte* at(std::uint32_t index) const noexcept { return at_[index]; }
    /// The first so many bytes of a buffer, for a ring.
    [[nodiscard]] bounce_sg segment(std::uint32_t index, std::size_t bytes) const noexcept {
        return {at_[index], bytes, flags_, 0};
    }
    /// What a ring carries for a buffer.
    [[nodiscard]] static void* cookie(std::uint32_t index) noexcept {
        return reinterpret_cast<void*>(static_cast<std::uintptr_t>(index) + 1);
    }
    [[nodiscard]] static std::uint32_t index(const bounce_completion& completion) noexcept {
        return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(completion.cookie) - 1);
    }
    /// Throws tools::Failure when a canary was overwritten.
    void check_canaries() const;

private:
    std::size_t bytes_;
    std::uint32_t flags_ = 0;
    std::vector<tools::GuardedBuffer> private_;
    std::vector<bounce_block> blocks_;
    bounce_device* device_;
    std::vector<std::byte*> at_;
};

}  // namespace bounce::net
