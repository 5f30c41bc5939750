// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/calibration.hpp"

#include <algorithm>

namespace bounce {
namespace {

// A visit waits until the queue has turned over, and then measures; large mappings are measured sooner.
constexpr std::uint32_t kWarmMappings = 32;
constexpr std::uint32_t kSampleMappings = 48;
constexpr std::uint32_t kLeastMappings = 4;
constexpr std::uint64_t kEnoughBytes = 1u << 20;
// A mapping that is not ended (a buffer that waits for a packet) does not keep a visit from ending.
constexpr std::uint32_t kMostMappings = 512;
// Small mappings need so many of them for a whole window that it is not worth it.
constexpr std::uint32_t kMostToWarm = 1u << 16;

// What a mapping costs besides its bytes, in bytes.
constexpr std::uint64_t kMappingWeight = 1024;
// Copies whose cost per byte can be compared.
constexpr std::uint64_t kLeastCopy = 1024;
constexpr std::uint64_t kMostCopy = 64 * 1024;

// Better is better by this much; less is noise, or not worth the change.
constexpr double kClear = 0.92;
// Worse than the best by this much in every round: not visited again.
constexpr double kHopeless = 1.5;
constexpr unsigned kRoundsToDrop = 2;
// A window beyond the caches is tried only when the driver waits more than it copies.
constexpr std::uint64_t kWideWindow = 16u << 20;
constexpr double kDeviceBound = 2;

/// Of the middle half: a counter may step by more than what is measured, so the median alone would step as well.
double middle_mean(float* values, std::size_t n) noexcept {
    std::sort(values, values + n);
    double sum = 0;
    for (std::size_t i = n / 4; i < n - n / 4; ++i) sum += static_cast<double>(values[i]);
    return sum / static_cast<double>(n - n / 4 - n / 4);
}

bool wide(const Choice& arm) noexcept {
    return arm.reuse == ReusePolicy::kFifo || (arm.reuse == ReusePolicy::kWindow && arm.window_bytes >= kWideWindow);
}

}  // namespace

Calibration::Calibration(std::span<const Choice> arms) noexcept : n_arms_(std::min(arms.size(), kMaxArms)) {
    std::copy_n(arms.begin(), n_arms_, arms_.begin());
    for (const Choice& arm : arms) can_stream_ = can_stream_ || arm.copy == CopyPolicy::kNonTemporal;
}

void Calibration::begin() noexcept {
    if (trying_ || n_arms_ < 2) return;
    trying_ = true;
    incumbent_ = arm_;
    round_ = 0;
    visited_ = 0;
    trial_mappings_ = 0;
    copied_in_ = copied_back_ = false;
    dropped_ = {};
    rounds_ = {};
    figures_ = {};
    begin_visit();
}

void Calibration::begin_visit() noexcept {
    phase_ = Phase::kTurnover;
    marked_ = turned_ = false;
    mappings_ = 0;
    bytes_ = 0;
}

void Calibration::begin_sample() noexcept {
    phase_ = Phase::kSample;
    marked_ = false;
    mappings_ = 0;
    bytes_ = 0;
    since_mark_ = 0;
    span_ticks_ = span_bytes_ = 0;
    n_costs_ = 0;
}

void Calibration::count(const Event& event) noexcept {
    ++mappings_;
    ++trial_mappings_;
    bytes_ += event.bytes;
}

bool Calibration::enough(std::uint32_t least) const noexcept {
    return mappings_ >= least || (mappings_ >= kLeastMappings && bytes_ >= kEnoughBytes);
}

/// A streamed slot is in no cache, whenever it was used before.
bool Calibration::warm() const noexcept {
    const Choice& arm = arms_[arm_];
    const bool now = round_ == (wide(arm) ? 0 : 1) && arm.copy == CopyPolicy::kMemcpy;
    if (now && arm.reuse != ReusePolicy::kLifo && bytes_ < arm.window_bytes && mappings_ < kMostToWarm) return false;
    return (turned_ && enough(kWarmMappings)) || mappings_ >= kMostMappings;
}

void Calibration::mapped(const Event& event) noexcept {
    if (!trying_) return;
    copied_in_ = copied_in_ || (event.copied && event.bytes >= kLeastCopy);
    if (phase_ == Phase::kTurnover) {
        if (mappings_ == 0) marker_ = event.id;
        count(event);
        if (warm()) begin_sample();
        return;
    }
    note_cost(event);
    if (!marked_) {
        marked_ = true;
        marker_ = event.id;
        marked_at_ = event.begin;
        since_mark_ = 0;
    }
    count(event);
    if (mappings_ >= kMostMappings) end_visit();
}

void Calibration::unmapped(const Event& event) noexcept {
    if (!trying_) return;
    copied_back_ = copied_back_ || (event.copied && event.bytes >= kLeastCopy);
    if (phase_ == Phase::kTurnover) {
        turned_ = turned_ || (mappings_ != 0 && event.id == marker_);
        return;
    }
    note_cost(event);
    since_mark_ += event.bytes + kMappingWeight;
    if (marked_ && event.id == marker_) end_sample_of(event);
}

void Calibration::end_sample_of(const Event& event) noexcept {
    marked_ = false;
    // The counters of two processors may differ by a little.
    if (event.end > marked_at_) {
        span_ticks_ += static_cast<double>(event.end - marked_at_);
        span_bytes_ += static_cast<double>(since_mark_);
    }
    if (enough(kSampleMappings)) end_visit();
}

void Calibration::note_cost(const Event& event) noexcept {
    if (!event.copied || event.bytes < kLeastCopy || event.bytes > kMostCopy || n_costs_ == kCosts) return;
    costs_[n_costs_++] = static_cast<float>(event.copy_ticks) / static_cast<float>(event.bytes);
}

void Calibration::end_visit() noexcept {
    Figures& figures = figures_[arm_][rounds_[arm_]++];
    if (span_bytes_ > 0) figures.span = span_ticks_ / span_bytes_;
    span_weight_ = bytes_ != 0 ? 1 + static_cast<double>(mappings_ * kMappingWeight) / static_cast<double>(bytes_) : 1;
    if (n_costs_ != 0) figures.cost = middle_mean(costs_.data(), n_costs_);
    if (round_ == 0 && visited_ == 0) drop_pointless();
    next_visit();
}

/// What the first visit, that of the arm in force, shows to be out of the question.
void Calibration::drop_pointless() noexcept {
    for (std::size_t arm = 0; arm < n_arms_; ++arm) dropped_[arm] = arm != incumbent_ && pointless(arms_[arm]);
}

bool Calibration::pointless(const Choice& arm) const noexcept {
    const bool streams = arm.copy == CopyPolicy::kNonTemporal;
    const Choice& in_force = arms_[incumbent_];
    if (streams && in_force.copy == CopyPolicy::kMemcpy && !copied_in_) return true;
    if (!wide(arm) || wide(in_force)) return false;
    // Streamed slots have left the caches; only what the device writes has to leave them by itself.
    if (!copied_back_ && (streams || can_stream_)) return true;
    if (streams) return false;
    const Figures& now = figures_[incumbent_][0];
    return now.cost > 0 && now.span > 0 && now.span * span_weight_ < kDeviceBound * now.cost;
}

void Calibration::next_visit() noexcept {
    for (;;) {
        if (++visited_ >= n_arms_) {
            visited_ = 0;
            ++round_;
            drop_hopeless();
            const auto left =
                std::count(dropped_.begin(), dropped_.begin() + static_cast<std::ptrdiff_t>(n_arms_), false);
            if (round_ == kRounds || left < 2) return decide();
        }
        // Each round begins with another arm: whatever grows or fades during a round meets all of them.
        const std::size_t next = (incumbent_ + visited_ + round_) % n_arms_;
        if (dropped_[next]) continue;
        arm_ = next;
        return begin_visit();
    }
}

void Calibration::drop_hopeless() noexcept {
    if (round_ < kCounted + kRoundsToDrop) return;
    for (std::size_t arm = 0; arm < n_arms_; ++arm) {
        if (!dropped_[arm] && hopeless(arm)) dropped_[arm] = true;
    }
}

/// Only against arms that are still there, so that somebody stays.
bool Calibration::hopeless(std::size_t arm) const noexcept {
    for (std::size_t other = 0; other < n_arms_; ++other) {
        if (other == arm || dropped_[other]) continue;
        bool behind = true;
        for (unsigned round = kCounted; round < round_; ++round) {
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
    part_ = best == incumbent_ ? std::min(2 * part_, kMostPart) : kLeastPart;
    pause_ = std::max(part_ * trial_mappings_, kLeastPause);
    arm_ = best;
    trying_ = false;
}

bool Calibration::better(std::size_t a, std::size_t b) const noexcept {
    if (clearly(&Figures::span, a, b)) return true;
    return !clearly(&Figures::span, b, a) && clearly(&Figures::cost, a, b);
}

/// a beats b, on the whole and in every round but one of more than three.
bool Calibration::clearly(Metric metric, std::size_t a, std::size_t b) const noexcept {
    std::array<double, kRounds> ratios{};
    std::size_t known = 0;
    std::size_t won = 0;
    for (unsigned round = kCounted; round < std::min(rounds_[a], rounds_[b]); ++round) {
        const double mine = figures_[a][round].*metric;
        const double theirs = figures_[b][round].*metric;
        if (mine <= 0 || theirs <= 0) continue;
        ratios[known++] = mine / theirs;
        if (mine < theirs) ++won;
    }
    if (known < kRoundsToDrop || won + (known > 3 ? 1 : 0) < known) return false;
    const auto middle = ratios.begin() + static_cast<std::ptrdiff_t>(known / 2);
    std::nth_element(ratios.begin(), middle, ratios.begin() + static_cast<std::ptrdiff_t>(known));
    return *middle < kClear;
}

}  // namespace bounce
