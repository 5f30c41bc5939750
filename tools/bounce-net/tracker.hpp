// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What became of each packet: under way, come back, lost. By sequence number, for as many as can be under way and some
// more, so that one that comes twice or late is known for what it is.
#pragma once

#include <cstdint>
#include <vector>

namespace bounce::net {

struct Counts {
    std::uint64_t sent = 0;
    std::uint64_t received = 0;  // good ones, each once
    std::uint64_t bytes = 0;     // of frames that were received
    std::uint64_t lost = 0;      // never came
    std::uint64_t gone = 0;      // under way when the connection was lost: nobody knows
    std::uint64_t corrupted = 0;
    std::uint64_t duplicated = 0;
    std::uint64_t reordered = 0;
    std::uint64_t foreign = 0;  // of another queue pair, or never sent
    std::uint64_t malformed = 0;
    std::uint64_t spanning = 0;  // packets of several buffers

    void add(const Counts& other) noexcept;
    [[nodiscard]] bool good() const noexcept {
        return lost == 0 && corrupted == 0 && duplicated == 0 && foreign == 0 && malformed == 0;
    }
};

class Tracker {
public:
    static constexpr std::uint32_t kRemembered = 1U << 17;

    Tracker() : states_(kRemembered, State::kNone) {}

    /// Sequence numbers are given in order.
    std::uint32_t sent() noexcept;
    /// One that is good came back.
    void received(std::uint32_t sequence, std::uint64_t bytes) noexcept;
    /// What is under way is not waited for any more: it is lost, or went with the connection.
    void give_up(bool connection_lost) noexcept;

    [[nodiscard]] std::uint32_t under_way() const noexcept { return under_way_; }
    [[nodiscard]] Counts& counts() noexcept { return counts_; }

private:
    enum class State : std::uint8_t { kNone, kUnderWay, kBack, kLost };

    std::vector<State> states_;
    std::uint32_t next_ = 0;
    std::uint32_t newest_ = 0;  // of those that came
    std::uint32_t under_way_ = 0;
    Counts counts_;
};

}  // namespace bounce::net
