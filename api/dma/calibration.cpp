// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/calibration.hpp"

#include <algorithm>
#include <numeric>

namespace bounce {
namespace {

// Better is better by this much; less is noise, or not worth the change.
constexpr double kClear = 0.92;
// Worse than the best by this much in every round: not visited again.
constexpr double kHopeless = 1.5;
constexpr unsigned kRoundsToDrop = 2;
// A window beyond the caches is tried only when the driver waits more than it copies.
constexpr std::uint64_t kWideWindow = 16u << 20;
constexpr double kDeviceBound = 2;
// The pool goes around whole slabs, of up to a chunk, and contexts hold some more.
constexpr std::uint64_t kWindowExcess = 2u << 20;
// A probe shows something new when it differs by this much; a trial needs so many of them.
constexpr double kSurprise = 1.5;
constexpr unsigned kSurprises = 2;

/// Beyond the caches.
bool wide(const Choice& arm) noexcept {
    return arm.reuse == ReusePolicy::kFifo || (arm.reuse == ReusePolicy::kWindow && arm.window_bytes >= kWideWindow);
}

std::uint64_t bytes_to_warm(const Choice& arm) noexcept {
    return arm.reuse == ReusePolicy::kLifo ? 0 : arm.window_bytes + kWindowExcess;
}

bool surprising(double expected, double seen) noexcept {
    return expected > 0 && seen > 0 && (seen > kSurprise * expected || expected > kSurprise * seen);
}

/// A preempted thread spoils a visit. Not the middle one: where the caches hold a part of a window, some visits meet
/// that part and others do not.
double mean_without_worst(const double* values, std::size_t n) noexcept {
    const double sum = std::accumulate(values, values + n, 0.0);
    return n < 4 ? sum / static_cast<double>(n)
                 : (sum - *std::max_element(values, values + n)) / static_cast<double>(n - 1);
}

}  // namespace

Calibration::Calibration(std::span<const Choice> arms) noexcept : n_arms_(std::min(arms.size(), kMaxArms)) {
    std::copy_n(arms.begin(), n_arms_, arms_.begin());
    for (const Choice& arm : arms) {
        can_stream_ = can_stream_ || arm.copy == CopyPolicy::kNonTemporal;
        can_store_ = can_store_ || arm.copy == CopyPolicy::kMemcpy;
    }
}

void Calibration::begin() noexcept {
    if (timing() || n_arms_ < 2) return;
    until_trial_ -= std::min(until_trial_, pause_);
    since_trial_ += pause_;
    asked_for_ = surprises_ >= kSurprises && since_trial_ >= soon_part_ * trial_mappings_;
    if (until_trial_ == 0 || asked_for_) return begin_trial();
    state_ = State::kProbe;
    visit_.begin_probe();
}

void Calibration::begin_trial() noexcept {
    state_ = State::kTrial;
    incumbent_ = arm_;
    round_ = 0;
    turn_ = 0;
    fresh_ = true;
    trial_mappings_ = 0;
    copied_in_ = copied_back_ = false;
    dropped_ = {};
    rounds_ = {};
    figures_ = {};
    next_visit();
}

void Calibration::begin_visit(std::size_t arm) noexcept {
    arm_ = arm;
    visit_.begin(rounds_[arm] == 0 || !wide(arms_[arm]) ? bytes_to_warm(arms_[arm]) : 0);
}

void Calibration::mapped(const Event& event) noexcept {
    if (!timing()) return;
    if (trying()) ++trial_mappings_;
    copied_in_ = copied_in_ || (event.copied && event.bytes >= ArmVisit::kLeastCopy);
    if (visit_.mapped(event)) end_visit();
}

void Calibration::unmapped(const Event& event) noexcept {
    if (!timing()) return;
    copied_back_ = copied_back_ || (event.copied && event.bytes >= ArmVisit::kLeastCopy);
    if (visit_.unmapped(event)) end_visit();
}

void Calibration::end_visit() noexcept {
    if (state_ == State::kProbe) return end_probe();
    figures_[arm_][rounds_[arm_]++] = visit_.figures();
    if (fresh_) drop_pointless();
    fresh_ = false;
    next_visit();
}

void Calibration::end_probe() noexcept {
    state_ = State::kIdle;
    const Figures seen = visit_.figures();
    const bool surprise = surprising(expected_.span, seen.span) || surprising(expected_.cost, seen.cost);
    surprises_ = surprise ? surprises_ + 1 : 0;
    pause_ = std::min(surprise ? kProbeAgain : kProbePause, until_trial_);
}

/// What the first visit (of the arm in force, when that is not a wide one) shows to be out of the question.
void Calibration::drop_pointless() noexcept {
    for (std::size_t arm = 0; arm < n_arms_; ++arm) dropped_[arm] = arm != incumbent_ && pointless(arms_[arm]);
}

bool Calibration::pointless(const Choice& arm) const noexcept {
    const bool streams = arm.copy == CopyPolicy::kNonTemporal;
    const Choice& in_force = arms_[incumbent_];
    if (streams && can_store_ && !copied_in_) return true;
    if (!wide(arm) || wide(in_force)) return false;
    // Streamed slots have left the caches; only what the device writes has to leave them by itself.
    if (!copied_back_ && (streams || can_stream_)) return true;
    if (streams) return false;
    const Figures& now = figures_[incumbent_][0];
    return now.cost > 0 && now.span > 0 && now.span * visit_.weight() < kDeviceBound * now.cost;
}

void Calibration::next_visit() noexcept {
    for (; round_ < kRounds; ++turn_) {
        if (turn_ == n_arms_) {
            turn_ = 0;
            ++round_;
            drop_hopeless();
            if (std::count(dropped_.begin(), dropped_.end(), true) + 1 == std::ptrdiff_t(n_arms_)) return decide();
            if (round_ == kRounds) break;
        }
        // Each round begins with another arm: whatever grows or fades during a round meets all of them.
        const std::size_t arm = (incumbent_ + turn_ + round_) % n_arms_;
        if (dropped_[arm] || wide(arms_[arm])) continue;
        ++turn_;
        return begin_visit(arm);
    }
    next_wide_visit();
}

/// All visits of one such arm, then those of the next.
void Calibration::next_wide_visit() noexcept {
    drop_hopeless();
    for (std::size_t arm = 0; arm < n_arms_; ++arm) {
        if (wide(arms_[arm]) && !dropped_[arm] && rounds_[arm] < kRounds) return begin_visit(arm);
    }
    decide();
}

void Calibration::drop_hopeless() noexcept {
    for (std::size_t arm = 0; arm < n_arms_; ++arm) {
        if (!dropped_[arm] && hopeless(arm)) dropped_[arm] = true;
    }
}

/// Only against arms that are still there, so that somebody stays.
bool Calibration::hopeless(std::size_t arm) const noexcept {
    for (std::size_t other = 0; other < n_arms_; ++other) {
        const unsigned rounds = std::min(rounds_[arm], rounds_[other]);
        if (other == arm || dropped_[other] || rounds < kCounted + kRoundsToDrop) continue;
        bool behind = true;
        for (unsigned round = kCounted; round < rounds; ++round) {
            const double best = figures_[other][round].span;
            behind = behind && best > 0 && figures_[arm][round].span > kHopeless * best;
        }
        if (behind) return true;
    }
    return false;
}

void Calibration::decide() noexcept {
    std::size_t best = incumbent_;
    if (dropped_[best])
        best = static_cast<std::size_t>(std::find(dropped_.begin(), dropped_.end(), false) - dropped_.begin());
    for (std::size_t arm = 0; arm < n_arms_; ++arm) {
        if (arm != best && !dropped_[arm] && better(arm, best)) best = arm;
    }
    arm_ = best;
    state_ = State::kIdle;
    expected_ = {mean_of(&Figures::span, best), mean_of(&Figures::cost, best)};
    plan_next(best != incumbent_);
}

void Calibration::plan_next(bool changed) noexcept {
    part_ = changed ? kLeastPart : std::min(2 * part_, kMostPart);
    if (changed)
        soon_part_ = kSoonPart;
    else if (asked_for_)
        soon_part_ = std::min(2 * soon_part_, kMostPart);
    until_trial_ = std::max(part_ * trial_mappings_, kLeastPause);
    since_trial_ = 0;
    surprises_ = 0;
    pause_ = kProbePause;
}

bool Calibration::better(std::size_t a, std::size_t b) const noexcept {
    if (clearly(&Figures::span, a, b)) return true;
    return !clearly(&Figures::span, b, a) && clearly(&Figures::cost, a, b);
}

/// a beats b: on the whole, and in most of the rounds.
bool Calibration::clearly(Metric metric, std::size_t a, std::size_t b) const noexcept {
    std::array<double, kRounds> mine{};
    std::array<double, kRounds> theirs{};
    std::size_t known = 0;
    std::size_t won = 0;
    for (unsigned round = kCounted; round < std::min(rounds_[a], rounds_[b]); ++round) {
        mine[known] = figures_[a][round].*metric;
        theirs[known] = figures_[b][round].*metric;
        if (mine[known] <= 0 || theirs[known] <= 0) continue;
        if (mine[known] < theirs[known]) ++won;
        ++known;
    }
    if (known < kRoundsToDrop || 2 * won <= known) return false;
    return mean_without_worst(mine.data(), known) < kClear * mean_without_worst(theirs.data(), known);
}

double Calibration::mean_of(Metric metric, std::size_t arm) const noexcept {
    std::array<double, kRounds> values{};
    std::size_t known = 0;
    for (unsigned round = kCounted; round < rounds_[arm]; ++round) {
        if (figures_[arm][round].*metric > 0) values[known++] = figures_[arm][round].*metric;
    }
    return known == 0 ? 0 : mean_without_worst(values.data(), known);
}

}  // namespace bounce
