// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Where an allocation is taken from when the pool has regions on several NUMA nodes. Pure arithmetic over a map of the
// machine and the nodes of the regions: no allocation, no system call, no state that is shared.
//
// One node is *home*: the thread's, or with kPreferred and kStrict the device's if it has one. A region that is bound
// to no node (kAnyNode) is where the kernel put each of its pages, most often at who touched it first: it counts as
// being at every node, after those that are at the node for certain.
//
//     policy       tried, in this order                                            local
//     kLocal       home, kAnyNode, the others by their distance from home;         at home and kAnyNode; when there are
//                  of equally far ones those nearer to the device's node first     none, the nearest
//     kPreferred   the same, with the device's node as home; of equally far ones   the same
//                  those nearer to the thread first
//     kInterleave  the regions of one node, then those of the next, in a circle    all
//                  that begins one node later each turn; kAnyNode is one of them
//     kStrict      home and kAnyNode, no others                                    the same
//
// When home is not known, kLocal and kPreferred take the regions in the order in which they were added, and
// kStrict those of kAnyNode only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "allocator/base/types.hpp"
#include "allocator/topology/node_map.hpp"

namespace bounce {

/// The values are those of enum bounce_numa_policy.
enum class NumaPolicy : std::uint8_t { kLocal, kPreferred, kInterleave, kStrict };

/// What a device asks for.
struct NumaRule {
    NumaPolicy policy = NumaPolicy::kLocal;
    NodeId node = kAnyNode;  // where the device is; kAnyNode: it does not say

    friend bool operator==(const NumaRule&, const NumaRule&) = default;
};

/// The node whose regions come first for a thread at `thread`. kInterleave has none.
constexpr NodeId home_node(const NumaRule& rule, NodeId thread) noexcept {
    if (rule.policy == NumaPolicy::kInterleave) return kAnyNode;
    const bool of_device = rule.policy != NumaPolicy::kLocal && rule.node != kAnyNode;
    return of_device ? rule.node : thread;
}

/// The order in which the regions of a pool are tried, for threads at one node. Good as long as the pool's regions are
/// those that it was made for: make another when there are more, or when the thread is at another node. Making one for
/// n regions costs some n * n / 2 comparisons.
class RegionOrder {
public:
    static constexpr std::size_t kMaxRegions = 64;

    /// No regions.
    RegionOrder() noexcept = default;
    /// regions: the node of each region of the pool, at most kMaxRegions. thread: where the thread runs; kAnyNode: that
    /// is not known.
    /// among: bit i: region i may be tried.
    RegionOrder(const NodeMap& map, std::span<const NodeId> regions, const NumaRule& rule, NodeId thread,
                std::uint64_t among = ~std::uint64_t{0}) noexcept;

    /// Indices of the regions to try, the first first. turn: for kInterleave, one more than at the time before (it may
    /// wrap around); it does not matter to others.
    [[nodiscard]] std::span<const std::uint8_t> sequence(std::uint32_t turn = 0) const noexcept {
        const std::size_t first = groups_ > 1 ? starts_[turn % groups_] : 0U;
        return {order_.data() + first, count_};
    }
    /// Bit i: slots of region i may be kept for the next allocation, because it would be taken from there anyway.
    [[nodiscard]] std::uint64_t local() const noexcept { return local_; }
    /// Bit i: sequence() has region i. All that may be tried, but with kStrict.
    [[nodiscard]] std::uint64_t allowed() const noexcept { return allowed_; }

private:
    struct Candidate {
        std::uint64_t rank;
        std::uint8_t region;
    };
    using Candidates = std::array<Candidate, kMaxRegions>;

    void take_in_turn(std::span<const NodeId> regions, std::uint64_t among) noexcept;
    void take_by_distance(const NodeMap& map, std::span<const NodeId> regions, const NumaRule& rule, NodeId thread,
                          std::uint64_t among) noexcept;
    void sort(Candidates& candidates) noexcept;

    std::array<std::uint8_t, 2 * kMaxRegions> order_{};  // twice the same: a circle is a span of it
    std::array<std::uint8_t, kMaxRegions> starts_{};     // kInterleave: where each node's regions begin
    std::uint8_t groups_ = 0;                            // how many of them; 0 with another policy
    std::uint8_t count_ = 0;
    std::uint64_t local_ = 0;
    std::uint64_t allowed_ = 0;
};

}  // namespace bounce
