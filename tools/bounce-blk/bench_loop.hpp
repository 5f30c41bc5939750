// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The measured loop: the same code, and the same clock readings, for every subject.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tools/bounce-blk/session.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/histogram.hpp"
#include "tools/common/random.hpp"
#include "tools/common/signals.hpp"
#include "tools/common/ticks.hpp"
#include "tools/common/units.hpp"

namespace bounce::blk {

struct LoopConfig {
    std::uint32_t depth = 32;
    double warm_up_seconds = 0.1;
    double seconds = 0.5;
    double timeout_seconds = 5;
    std::uint64_t first_block = 0;  // this loop's part of the device, in requests
    std::uint64_t blocks = 1;
    std::uint64_t sectors_per_block = 8;
    bool random = true;
    std::uint64_t seed = 1;
};

struct LoopResult {
    std::uint64_t operations = 0;
    std::uint64_t completed = 0;  // with those before and after what was measured
    double seconds = 0;
    tools::Histogram latencies;  // in ticks
};

/// Which sector comes next.
class Offsets {
public:
    explicit Offsets(const LoopConfig& config) noexcept : config_(config), random_(config.seed) {}
    std::uint64_t next() noexcept {
        std::uint64_t block = 0;
        if (config_.random) {
            block = random_.below(config_.blocks);
        } else {
            block = next_;
            next_ = next_ + 1 == config_.blocks ? 0 : next_ + 1;
        }
        return (config_.first_block + block) * config_.sectors_per_block;
    }

private:
    const LoopConfig& config_;
    tools::Random random_;
    std::uint64_t next_ = 0;
};

/// A subject keeps `depth` requests, each known by its slot number:
///   bool add(slot, sector)      into the ring; false: no room now, but there will be; throws when there never is
///   void publish()              shows the device what was added
///   uint32_t collect(slots)     which have completed, at most slots.size(); throws when one failed
///   void idle()                 nothing completed: is the device still there? Waits, if it is not to be polled
///   bool polls()                idle() does not wait, so it is called only now and then
///
/// Requests go round in batches of at most a quarter of the depth, so that device and driver work at the same time:
/// with whole rounds each waits for the other as soon as they fall into step.
///
/// One clock reading a batch: a request's time runs from before it is added to after it was collected, copies included.
template <class Subject>
class Loop {
public:
    Loop(Subject& subject, const LoopConfig& config, const tools::Ticks& ticks)
        : subject_(subject),
          config_(config),
          ticks_(ticks),
          offsets_(config),
          start_(config.depth),
          done_(std::max(1U, config.depth / kBatchesInFlight)) {
        for (std::uint32_t slot = config.depth; slot-- > 0;) idle_slots_.push_back(slot);
    }

    LoopResult run() {
        LoopResult result;
        const std::uint64_t begin = ticks_.now();
        std::uint64_t boundary = begin + ticks_.from_seconds(config_.warm_up_seconds);
        std::uint64_t measured_from = 0;  // 0: warming up
        last_progress_ = begin;
        refill(begin);
        for (;;) {
            const std::uint32_t count = subject_.collect(done_);
            if (count == 0 && !idle()) continue;
            const std::uint64_t now = ticks_.now();
            for (std::uint32_t i = 0; i < count; ++i) {
                result.latencies.record(now - start_[done_[i]]);
                idle_slots_.push_back(done_[i]);
            }
            result.operations += count;
            completed_ += count;
            if (now >= boundary || tools::stop_requested()) {
                if (measured_from != 0 || tools::stop_requested()) {
                    result.seconds = ticks_.nanoseconds(static_cast<double>(now - measured_from)) / 1e9;
                    break;
                }
                result.latencies.reset();
                result.operations = 0;
                measured_from = now;
                boundary = now + ticks_.from_seconds(config_.seconds);
            }
            refill(now);
            if (count > 0) last_progress_ = now;
        }
        drain();
        result.completed = completed_;
        tools::throw_if_stopped();
        return result;
    }

private:
    static constexpr std::uint32_t kBatchesInFlight = 4;

    /// Gives every idle slot a request.
    void refill(std::uint64_t now) {
        bool added = false;
        while (!idle_slots_.empty()) {
            const std::uint32_t slot = idle_slots_.back();
            start_[slot] = now;
            if (!subject_.add(slot, offsets_.next())) break;  // backpressure: after the next completions
            idle_slots_.pop_back();
            added = true;
        }
        if (added) subject_.publish();
    }

    /// True: time to look at the clock.
    bool idle() {
        if (subject_.polls() && ++empty_polls_ % 1024 != 0) return false;
        subject_.idle();
        const double silent = ticks_.nanoseconds(static_cast<double>(ticks_.now() - last_progress_)) / 1e9;
        if (silent > config_.timeout_seconds) {
            throw DeviceLost(tools::text("the device is connected but has completed nothing for ",
                                         tools::format_number(config_.timeout_seconds), " s (--timeout)"));
        }
        return true;
    }

    /// What is still in flight comes home, so that the connection ends in order.
    void drain() {
        last_progress_ = ticks_.now();
        while (idle_slots_.size() < config_.depth) {
            const std::uint32_t count = subject_.collect(done_);
            for (std::uint32_t i = 0; i < count; ++i) idle_slots_.push_back(done_[i]);
            completed_ += count;
            if (count > 0) {
                last_progress_ = ticks_.now();
            } else {
                idle();
            }
        }
    }

    Subject& subject_;
    const LoopConfig config_;
    const tools::Ticks& ticks_;
    Offsets offsets_;
    std::vector<std::uint64_t> start_;
    std::vector<std::uint32_t> done_;
    std::vector<std::uint32_t> idle_slots_;
    std::uint64_t last_progress_ = 0;
    std::uint64_t completed_ = 0;
    std::uint32_t empty_polls_ = 0;
};

}  // namespace bounce::blk
