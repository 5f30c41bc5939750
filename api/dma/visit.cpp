// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/visit.hpp"

#include <algorithm>

namespace bounce {
namespace {

// Large mappings are measured sooner.
constexpr std::uint32_t kLeastMappings = 4;
constexpr std::uint64_t kEnoughBytes = 1u << 20;
// What a mapping costs besides its bytes, in bytes.
constexpr std::uint64_t kMappingWeight = 1024;

/// Of the middle half: a counter may step by more than what is measured, so the median alone would step as well.
double middle_mean(float* values, std::size_t n) noexcept {
    std::sort(values, values + n);
    double sum = 0;
    for (std::size_t i = n / 4; i < n - n / 4; ++i) sum += static_cast<double>(values[i]);
    return sum / static_cast<double>(n - n / 4 - n / 4);
}

}  // namespace

void ArmVisit::begin(std::uint64_t warm_bytes) noexcept {
    phase_ = Phase::kTurnover;
    warm_bytes_ = warm_bytes;
    turned_ = false;
    mappings_ = 0;
    bytes_ = 0;
}

void ArmVisit::begin_probe() noexcept {
    begin_span(kProbeMappings);
}

void ArmVisit::begin_span(std::uint32_t least) noexcept {
    phase_ = Phase::kSpan;
    least_ = least;
    marked_ = false;
    mappings_ = 0;
    bytes_ = 0;
    span_ticks_ = span_bytes_ = 0;
    n_costs_ = 0;
}

void ArmVisit::begin_cost() noexcept {
    weight_ = bytes_ != 0 ? 1 + static_cast<double>(mappings_ * kMappingWeight) / static_cast<double>(bytes_) : 1;
    phase_ = Phase::kCost;
    mappings_ = 0;
    bytes_ = 0;
}

void ArmVisit::count(const Event& event) noexcept {
    ++mappings_;
    bytes_ += event.bytes;
}

bool ArmVisit::enough(std::uint32_t least) const noexcept {
    return mappings_ >= least || (mappings_ >= kLeastMappings && bytes_ >= kEnoughBytes);
}

bool ArmVisit::warm() const noexcept {
    if (bytes_ < warm_bytes_ && mappings_ < kMostToWarm) return false;
    return (turned_ && enough(kWarmMappings)) || mappings_ >= kMostMappings;
}

bool ArmVisit::mapped(const Event& event) noexcept {
    if (phase_ == Phase::kTurnover && mappings_ == 0) marker_ = event.id;
    if (phase_ == Phase::kSpan && !marked_ && event.begin != 0) {
        marked_ = true;
        marker_ = event.id;
        marked_at_ = event.begin;
        since_mark_ = 0;
    }
    if (phase_ == Phase::kCost) note_cost(event);
    count(event);
    switch (phase_) {
        case Phase::kTurnover:
            if (warm()) begin_span(kSpanMappings);
            return false;
        case Phase::kSpan:
            if (mappings_ >= kMostMappings) begin_cost();
            return false;
        default: return enough(kCostMappings);
    }
}

bool ArmVisit::unmapped(const Event& event) noexcept {
    if (phase_ == Phase::kTurnover) turned_ = turned_ || (mappings_ != 0 && event.id == marker_);
    if (phase_ == Phase::kCost) note_cost(event);
    if (phase_ == Phase::kSpan && marked_) {
        since_mark_ += event.bytes + kMappingWeight;
        if (event.id == marker_) end_span(event);
    }
    return false;
}

void ArmVisit::end_span(const Event& event) noexcept {
    marked_ = false;
    // The counters of two processors may differ by a little.
    if (event.end > marked_at_) {
        span_ticks_ += static_cast<double>(event.end - marked_at_);
        span_bytes_ += static_cast<double>(since_mark_);
    }
    if (enough(least_)) begin_cost();
}

void ArmVisit::note_cost(const Event& event) noexcept {
    if (!event.copied || event.copy_ticks == 0 || event.bytes < kLeastCopy || event.bytes > kMostCopy ||
        n_costs_ == kCosts)
        return;
    costs_[n_costs_++] = static_cast<float>(event.copy_ticks) / static_cast<float>(event.bytes);
}

Figures ArmVisit::figures() noexcept {
    Figures figures;
    if (span_bytes_ > 0) figures.span = span_ticks_ / span_bytes_;
    if (n_costs_ != 0) figures.cost = middle_mean(costs_.data(), n_costs_);
    return figures;
}

}  // namespace bounce
