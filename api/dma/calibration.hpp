// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Finds out which choice of slots and copies suits a device: a few *arms* are tried in turn while it works, and the
// best one stays until the next trial. Pure logic: it is told what happened and when, and reads no clock.
//
// What is measured. Slots that the device left in its cache make the driver's stores slow, and slots that the driver
// left in its own make the device slow; where the device is the slower side, the driver cannot see the second. So an
// arm has two figures:
//   span  the time from the map of one mapping to its unmap, by the bytes that were unmapped meanwhile. With a full
//         queue that is the time a mapping takes of whichever side is the slower one; with a queue of one it is the
//         whole round. As one mapping is out all the time, a device without work does not count.
//   cost  the driver's own time in copies, by their bytes: it decides where the spans say nothing, because the device
//         has better things to do than to wait for memory.
// Times must be taken in order: the counter is read long before a fence behind streamed stores is done, and what is not
// in the time of a mapping is in none when there is only one at a time.
//
// A trial is some rounds; in a round every arm gets a visit. What is measured begins when the queue has turned over, so
// that no mapping of the arm before is in the figures. And a window is what it is only when all of its slots have been
// used once, because until then they come from wherever they were left: windows beyond the caches do that in the first
// round, which counts for nothing else; the others in the second, because the first has driven them out of the caches.
// An arm that is far behind in all rounds is not visited again. At the end an arm takes over only when it was clearly
// better in (nearly) every round, each compared with the same round of the other: the machine changes meanwhile, and a
// preempted thread spoils a visit, but not two in a row.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "api/dma/policy.hpp"

namespace bounce {

class Calibration {
public:
    static constexpr std::size_t kMaxArms = 6;
    static constexpr unsigned kRounds = 7;
    static constexpr unsigned kCounted = 1;  // the first round whose figures count
    // Mappings of the device from the end of a trial to the next: in proportion to those of the trial, which cost
    // several times as much when an arm is a bad one; more and more while nothing changes.
    static constexpr std::uint64_t kFirstTrial = 1024;
    static constexpr std::uint64_t kLeastPause = 1u << 18;
    static constexpr std::uint64_t kLeastPart = 64;
    static constexpr std::uint64_t kMostPart = 512;

    /// One mapping made or ended.
    struct Event {
        std::uint64_t id = 0;  // of the mapping: no other has it as long as this one lives
        std::uint64_t bytes = 0;
        std::uint64_t begin = 0;       // when the call began, ticks
        std::uint64_t end = 0;         // when it ended
        std::uint64_t copy_ticks = 0;  // of it: in the copy
        bool copied = false;
    };

    /// The first arm is in force at first; with less than two there is nothing to try.
    explicit Calibration(std::span<const Choice> arms = {}) noexcept;

    [[nodiscard]] const Choice& choice() const noexcept { return arms_[arm_]; }
    [[nodiscard]] bool trying() const noexcept { return trying_; }
    /// Mappings from now, or from the end of this trial, to the next begin().
    [[nodiscard]] std::uint64_t pause() const noexcept { return pause_; }

    /// Each of these may change choice() and trying().
    void begin() noexcept;
    void mapped(const Event& event) noexcept;
    void unmapped(const Event& event) noexcept;

private:
    enum class Phase : std::uint8_t { kTurnover, kSample };
    struct Figures {
        double span = 0;  // ticks per weighed byte; 0: not known
        double cost = 0;
    };
    using Metric = double Figures::*;

    void begin_visit() noexcept;
    void begin_sample() noexcept;
    void end_sample_of(const Event& event) noexcept;
    void note_cost(const Event& event) noexcept;
    void count(const Event& event) noexcept;
    [[nodiscard]] bool warm() const noexcept;
    void drop_pointless() noexcept;
    [[nodiscard]] bool pointless(const Choice& arm) const noexcept;
    [[nodiscard]] bool enough(std::uint32_t least) const noexcept;
    void end_visit() noexcept;
    void next_visit() noexcept;
    void drop_hopeless() noexcept;
    [[nodiscard]] bool hopeless(std::size_t arm) const noexcept;
    void decide() noexcept;
    [[nodiscard]] bool better(std::size_t a, std::size_t b) const noexcept;
    [[nodiscard]] bool clearly(Metric metric, std::size_t a, std::size_t b) const noexcept;

    std::array<Choice, kMaxArms> arms_{};
    std::size_t n_arms_;
    bool can_stream_ = false;    // an arm does
    std::size_t arm_ = 0;        // in force
    std::size_t incumbent_ = 0;  // in force before the trial
    std::uint64_t pause_ = kFirstTrial;
    bool trying_ = false;

    // The trial.
    unsigned round_ = 0;
    std::size_t visited_ = 0;  // arms of this round
    std::array<bool, kMaxArms> dropped_{};
    std::uint64_t part_ = kLeastPart;  // the pause, in trials
    std::uint64_t trial_mappings_ = 0;
    bool copied_in_ = false;  // some of them
    bool copied_back_ = false;
    std::array<unsigned, kMaxArms> rounds_{};  // that an arm took part in: from the first, without a gap
    std::array<std::array<Figures, kRounds>, kMaxArms> figures_{};

    // The visit.
    static constexpr std::size_t kCosts = 64;
    Phase phase_ = Phase::kTurnover;
    bool marked_ = false;       // marker_ is out
    bool turned_ = false;       // the first mapping of the visit has ended
    std::uint64_t marker_ = 0;  // the mapping that is followed
    std::uint64_t marked_at_ = 0;
    std::uint64_t since_mark_ = 0;  // weighed bytes unmapped
    std::uint32_t mappings_ = 0;    // of this phase
    std::uint64_t bytes_ = 0;
    double span_ticks_ = 0;
    double span_bytes_ = 0;
    double span_weight_ = 1;  // weighed bytes, by bytes
    std::array<float, kCosts> costs_{};
    std::size_t n_costs_ = 0;
};

}  // namespace bounce
