// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/pool/placement.hpp"

#include <algorithm>

namespace bounce {
namespace {

constexpr std::uint64_t bit(std::size_t region) noexcept {
    return std::uint64_t{1} << region;
}

// Two classes go before every distance. A distance is no proof of being at home: firmware that says less than 10 of
// another node has been seen.
constexpr std::uint64_t kAtHome = 0;
constexpr std::uint64_t kPlacedByKernel = 1;
constexpr std::uint64_t kElsewhere = 2;
constexpr std::uint64_t kUnreachable = ~std::uint32_t{0};

std::uint64_t closeness(const NodeMap& map, NodeId home, NodeId region) noexcept {
    if (region == kAnyNode) return kPlacedByKernel;
    if (region == home) return kAtHome;
    return std::min<std::uint64_t>(kElsewhere + map.distance(home, region), kUnreachable);
}

}  // namespace

RegionOrder::RegionOrder(const NodeMap& map, std::span<const NodeId> regions, const NumaRule& rule, NodeId thread,
                         std::uint64_t among) noexcept {
    regions = regions.first(std::min(regions.size(), kMaxRegions));
    if (rule.policy == NumaPolicy::kInterleave) {
        take_in_turn(regions, among);
    } else {
        take_by_distance(map, regions, rule, thread, among);
    }
}

// Insertion: few, often nearly in order, and the order of those of equal rank stays.
void RegionOrder::sort(Candidates& candidates) noexcept {
    for (std::size_t i = 1; i < count_; ++i) {
        const Candidate moved = candidates[i];
        std::size_t to = i;
        for (; to > 0 && moved.rank < candidates[to - 1].rank; --to) candidates[to] = candidates[to - 1];
        candidates[to] = moved;
    }
    for (std::size_t i = 0; i < count_; ++i) {
        order_[i] = candidates[i].region;
        order_[i + count_] = candidates[i].region;
    }
}

void RegionOrder::take_in_turn(std::span<const NodeId> regions, std::uint64_t among) noexcept {
    Candidates candidates;
    for (std::size_t i = 0; i < regions.size(); ++i) {
        if ((among & bit(i)) == 0) continue;
        // Unsigned: kAnyNode, which is -1, comes last.
        candidates[count_++] = {static_cast<std::uint32_t>(regions[i].value), static_cast<std::uint8_t>(i)};
        allowed_ |= bit(i);
    }
    local_ = allowed_;
    sort(candidates);
    for (std::uint8_t i = 0; i < count_; ++i) {
        if (i == 0 || candidates[i].rank != candidates[i - 1U].rank) starts_[groups_++] = i;
    }
}

void RegionOrder::take_by_distance(const NodeMap& map, std::span<const NodeId> regions, const NumaRule& rule,
                                   NodeId thread, std::uint64_t among) noexcept {
    const NodeId home = home_node(rule, thread);
    const NodeId second = rule.policy == NumaPolicy::kLocal ? rule.node : thread;
    Candidates candidates;
    std::uint64_t nearest = ~std::uint64_t{0};
    for (std::size_t i = 0; i < regions.size(); ++i) {
        if ((among & bit(i)) == 0) continue;
        std::uint64_t close = closeness(map, home, regions[i]);
        if (rule.policy == NumaPolicy::kStrict && close >= kElsewhere) continue;
        // A thread that could be anywhere is at no node for certain, nor far from any.
        if (home == kAnyNode) close = kPlacedByKernel;
        // What is at home and what may be are one class where slots are kept.
        const std::uint64_t group = std::max(close, kPlacedByKernel);
        if (group < nearest) {
            nearest = group;
            local_ = 0;
        }
        if (group == nearest) local_ |= bit(i);
        allowed_ |= bit(i);
        const std::uint64_t tie = close >= kElsewhere ? map.distance(second, regions[i]) : 0;
        candidates[count_++] = {close << 32 | tie, static_cast<std::uint8_t>(i)};
    }
    sort(candidates);
}

}  // namespace bounce
