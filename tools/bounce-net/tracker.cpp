// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-net/tracker.hpp"

namespace bounce::net {

void Counts::add(const Counts& other) noexcept {
    sent += other.sent;
    received += other.received;
    bytes += other.bytes;
    lost += other.lost;
    gone += other.gone;
    corrupted += other.corrupted;
    duplicated += other.duplicated;
    reordered += other.reordered;
    foreign += other.foreign;
    malformed += other.malformed;
    spanning += other.spanning;
}

std::uint32_t Tracker::sent() noexcept {
    states_[next_ % kRemembered] = State::kUnderWay;
    ++under_way_;
    ++counts_.sent;
    return next_++;
}

void Tracker::received(std::uint32_t sequence, std::uint64_t bytes) noexcept {
    if (sequence >= next_ || next_ - sequence > kRemembered) {
        ++counts_.foreign;
        return;
    }
    State& state = states_[sequence % kRemembered];
    if (state == State::kBack) {
        ++counts_.duplicated;
        return;
    }
    if (state == State::kLost) {  // late after all
        --counts_.lost;
    } else {
        --under_way_;
    }
    state = State::kBack;
    ++counts_.received;
    counts_.bytes += bytes;
    if (sequence < newest_) {
        ++counts_.reordered;
    } else {
        newest_ = sequence;
    }
}

void Tracker::give_up(bool connection_lost) noexcept {
    (connection_lost ? counts_.gone : counts_.lost) += under_way_;
    for (std::uint32_t sequence = next_; under_way_ != 0; --under_way_) {
        while (states_[--sequence % kRemembered] != State::kUnderWay) {
        }
        // What went with a connection cannot come late: its successor has never seen it.
        states_[sequence % kRemembered] = connection_lost ? State::kBack : State::kLost;
    }
}

}  // namespace bounce::net
