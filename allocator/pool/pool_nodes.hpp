// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The NUMA side of a pool: the nodes of its regions, and the machine's map once a region or a device names a node. A
// pool none of whose regions is bound to a node never reads the machine.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "allocator/base/error.hpp"
#include "allocator/base/types.hpp"
#include "allocator/pool/placement.hpp"
#include "allocator/topology/node_map.hpp"

namespace bounce {

class PoolNodes {
public:
    /// EINVAL when the machine has no such node, which it has if it is kAnyNode. Reads the machine the first time. One
    /// caller at a time.
    Result<void> check(NodeId node) noexcept;
    /// Region `index` is at `node`, which check() found good. Before anybody is shown the region; one caller at a time.
    void add(std::uint32_t index, NodeId node) noexcept;

    /// Does it matter which region is tried first, or at all? No: the order in which they were added is as good as any.
    [[nodiscard, gnu::always_inline]] bool matter(const NumaRule& rule) const noexcept {
        // N1: acquire, pairs with the release in add(): who sees that it matters sees the map.
        return bound_.load(std::memory_order_acquire) &&
               (several_.load(std::memory_order_relaxed) || rule.policy == NumaPolicy::kStrict);
    }
    /// Of region `index`, as add() was told.
    [[nodiscard]] NodeId node(std::uint32_t index) const noexcept { return nodes_[index]; }
    /// Where the thread runs now; it may run elsewhere at once. Only if matter().
    [[nodiscard]] NodeId of_thread() const noexcept;
    /// The order of the first `regions` regions for a thread at `thread`. Only if matter().
    [[nodiscard]] RegionOrder order(std::uint32_t regions, const NumaRule& rule, NodeId thread) const noexcept {
        return {*map_, {nodes_.data(), regions}, rule, thread};
    }

private:
    std::unique_ptr<const NodeMap> map_;                    // N1: written before bound_, and never changes afterwards
    std::array<NodeId, RegionOrder::kMaxRegions> nodes_{};  // [i] is written before region i is shown to anybody
    std::atomic<bool> bound_{false};                        // some region is bound to a node
    std::atomic<bool> several_{false};                      // not all regions are at one node
};

}  // namespace bounce
