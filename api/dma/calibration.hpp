// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Finds out which choice of slots and copies suits a device: a few *arms* are tried in turn while it works, and the
// best one stays until the next trial. Pure logic, as what measures a visit of an arm is (visit.hpp).
//
// A trial is some rounds; in a round every arm gets a visit, and the first round counts for nothing. A visit goes once
// through the window before it measures, because until then slots come from wherever the others have left them. For a
// window beyond the caches that takes too long to do it more than once; so its visits are made in a row, after the
// rounds of the others. An arm that is far behind in all rounds is not visited again. At the end an arm takes over only
// when it was clearly better on the whole, the worst visit of each left out because a preempted thread spoils one, and
// in most of the rounds, because the machine changes meanwhile.
//
// Between trials there are probes: the arm in force is measured for some mappings. When two in a row show other figures
// than the trial did, the processors have moved or the device has changed its ways, and the next trial does not wait
// for its time.
//
// Bounds: a trial has at most kMostOfTrial mappings; with mappings of 4 KiB that end in order at most 25,000, or 45,000
// where a window beyond the caches is tried. A change that the choice in force feels is noticed within kProbePause +
// kProbeAgain mappings and two probes, and the trial comes when the last one is kSoonPart times its length ago; that
// part doubles with each trial that probes asked for in vain, and when one was not in vain it is kSoonPart again.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "api/dma/policy.hpp"
#include "api/dma/visit.hpp"

namespace bounce {

class Calibration {
public:
    using Event = ArmVisit::Event;
    static constexpr std::size_t kMaxArms = 6;
    static constexpr unsigned kRounds = 6;
    static constexpr unsigned kCounted = 1;  // the first round whose figures count
    static constexpr std::uint64_t kMostOfTrial = kMaxArms * kRounds * std::uint64_t{ArmVisit::kMostOfVisit};
    // Mappings of the device from the end of a trial to the next: in proportion to those of the trial, which cost
    // several times as much when an arm is a bad one; more and more while nothing changes.
    static constexpr std::uint64_t kFirstTrial = 1024;
    static constexpr std::uint64_t kLeastPause = 1u << 18;
    static constexpr std::uint64_t kLeastPart = 128;
    static constexpr std::uint64_t kMostPart = 512;
    static constexpr std::uint64_t kSoonPart = 4;
    // From one probe to the next, and after one that shows something new.
    static constexpr std::uint64_t kProbePause = 1u << 16;
    static constexpr std::uint64_t kProbeAgain = 1u << 10;

    /// The first arm is in force at first; with less than two there is nothing to try.
    explicit Calibration(std::span<const Choice> arms = {}) noexcept;

    [[nodiscard]] const Choice& choice() const noexcept { return arms_[arm_]; }
    [[nodiscard]] bool trying() const noexcept { return state_ == State::kTrial; }
    /// A trial or a probe: mapped() and unmapped() want to know.
    [[nodiscard]] bool timing() const noexcept { return state_ != State::kIdle; }
    /// As in ArmVisit.
    [[nodiscard]] bool wants_clock() const noexcept { return timing() && visit_.wants_clock(); }
    [[nodiscard]] bool wants_end(std::uint64_t id) const noexcept { return timing() && visit_.wants_end(id); }
    /// Mappings from now, or from the end of this trial or probe, to the next begin().
    [[nodiscard]] std::uint64_t pause() const noexcept { return pause_; }
    /// The same to the next trial, when no probe shows anything new.
    [[nodiscard]] std::uint64_t until_trial() const noexcept { return until_trial_; }

    /// Each of these may change choice() and timing(). begin(): pause() is over.
    void begin() noexcept;
    void mapped(const Event& event) noexcept;
    void unmapped(const Event& event) noexcept;

private:
    enum class State : std::uint8_t { kIdle, kProbe, kTrial };
    using Metric = double Figures::*;

    void begin_trial() noexcept;
    void begin_visit(std::size_t arm) noexcept;
    void end_visit() noexcept;
    void end_probe() noexcept;
    void next_visit() noexcept;
    void next_wide_visit() noexcept;
    void drop_pointless() noexcept;
    [[nodiscard]] bool pointless(const Choice& arm) const noexcept;
    void drop_hopeless() noexcept;
    [[nodiscard]] bool hopeless(std::size_t arm) const noexcept;
    void decide() noexcept;
    void plan_next(bool changed) noexcept;
    [[nodiscard]] bool better(std::size_t a, std::size_t b) const noexcept;
    [[nodiscard]] bool clearly(Metric metric, std::size_t a, std::size_t b) const noexcept;
    [[nodiscard]] double mean_of(Metric metric, std::size_t arm) const noexcept;

    std::array<Choice, kMaxArms> arms_{};
    std::size_t n_arms_;
    bool can_stream_ = false;    // an arm does
    bool can_store_ = false;     // an arm copies by memcpy
    std::size_t arm_ = 0;        // in force
    std::size_t incumbent_ = 0;  // in force before the trial
    State state_ = State::kIdle;
    ArmVisit visit_;

    // Between trials, in mappings.
    std::uint64_t pause_ = kFirstTrial;
    std::uint64_t until_trial_ = kFirstTrial;
    std::uint64_t since_trial_ = 0;
    std::uint64_t part_ = kLeastPart;      // the pause, in trials
    std::uint64_t soon_part_ = kSoonPart;  // the least pause when probes ask for a trial
    Figures expected_{};                   // of the arm in force
    unsigned surprises_ = 0;               // probes in a row

    // The trial.
    bool asked_for_ = false;  // by probes
    bool fresh_ = false;      // no visit has ended
    unsigned round_ = 0;
    std::size_t turn_ = 0;  // in this round
    std::uint64_t trial_mappings_ = 0;
    bool copied_in_ = false;  // some of them
    bool copied_back_ = false;
    std::array<bool, kMaxArms> dropped_{};
    std::array<unsigned, kMaxArms> rounds_{};  // that an arm took part in: from the first, without a gap
    std::array<std::array<Figures, kRounds>, kMaxArms> figures_{};
};

}  // namespace bounce
