// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a client asks, and the answer: bytes in, bytes out. Nothing of a request is believed before it was checked, and
// each takes a bounded time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "api/control/publish.hpp"
#include "api/control/tunables.hpp"
#include "bounce/control.h"

namespace bounce {

/// Of one client.
struct ControlPeer {
    std::uint32_t rights = 0;
    std::uint64_t uid = 0;
    bool traces = false;  // the trace that is being recorded is for this one
    PoolCheck check;
};

class ControlRequests {
public:
    struct Reply {
        alignas(8) std::array<std::byte, BOUNCE_CONTROL_REPLY_BYTES> bytes;
        std::size_t size = 0;
        bool with_stats = false;  // the descriptor of the stats segment goes along
        int trace_fd = -1;        // or this one does
        bool last = false;        // the client does not speak this protocol
    };

    ControlRequests(Pool& pool, Callbacks& callbacks, const HostNames& names, StatsSegment& segment) noexcept
        : pool_(pool),
          callbacks_(callbacks),
          names_(names),
          segment_(segment),
          publisher_(pool, callbacks, names),
          tunables_(pool, callbacks.telemetry(), settings_) {}

    void answer(ControlPeer& peer, std::span<const std::byte> request, Reply& reply) noexcept;
    /// The time is taken, what has happened becomes events, and the segment is written.
    void tick() noexcept;
    /// The client has gone.
    void forget(ControlPeer& peer) noexcept { stop_trace(peer); }
    [[nodiscard]] ControlSettings& settings() noexcept { return settings_; }
    [[nodiscard]] Tunables& tunables() noexcept { return tunables_; }

private:
    struct Asked {
        bounce_control_request head{};
        std::span<const std::byte> items;
    };
    Result<Asked> read(std::span<const std::byte> request, Reply& reply) noexcept;
    Result<void> dispatch(ControlPeer& peer, const Asked& asked, Reply& reply) noexcept;
    template <class T>
    std::span<T> room(Reply& reply) noexcept;
    void hello(const ControlPeer& peer, Reply& reply) noexcept;
    void commands(const Asked& asked, Reply& reply) noexcept;
    Result<void> set(const ControlPeer& peer, const Asked& asked, Reply& reply) noexcept;
    void held(const Asked& asked, Reply& reply) noexcept;
    Result<void> trace(ControlPeer& peer, const Asked& asked, Reply& reply) noexcept;
    void stop_trace(ControlPeer& peer) noexcept;
    Result<void> quarantine(const ControlPeer& peer, std::uint64_t id) noexcept;
    Result<void> add_region(const ControlPeer& peer, const Asked& asked, Reply& reply) noexcept;
    Result<void> end_region(const ControlPeer& peer, std::uint32_t command, std::uint64_t index) noexcept;
    static bounce_control_reply& head(Reply& reply) noexcept;
    static void records(Reply& reply, std::size_t n, std::size_t bytes) noexcept;

    Pool& pool_;
    Callbacks& callbacks_;
    const HostNames& names_;
    StatsSegment& segment_;
    ControlSettings settings_;
    Publisher publisher_;
    Tunables tunables_;
    bool traced_ = false;
    PoolStats told_{};  // as events were made of it
};

}  // namespace bounce
