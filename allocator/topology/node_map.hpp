// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What of a machine decides where memory is taken from: its NUMA nodes, how far they are from each other, and which CPU
// is at which node. Plain data that is filled once, by Topology or by hand, and then only read: no system calls.
#pragma once

#include <array>
#include <cstdint>

#include "allocator/base/types.hpp"

namespace bounce {

class NodeMap {
public:
    static constexpr std::uint32_t kMaxNodes = 64;       // nodes beyond it are as if the machine did not have them
    static constexpr std::uint32_t kMaxCpus = 8192;      // as Linux has at most; the node of others is not known
    static constexpr std::uint32_t kLocalDistance = 10;  // as in ACPI's SLIT: ten times the relative latency
    static constexpr std::uint32_t kRemoteDistance = 20;

    NodeMap() noexcept;

    /// A node that the map does not have yet, at kLocalDistance from itself and at kRemoteDistance from others. False
    /// when there is no room, or when `node` is kAnyNode or known already. has_memory: regions can be made on it.
    bool add(NodeId node, bool has_memory = true) noexcept;
    /// Both must be nodes of the map. Need not be the same in both directions.
    void set_distance(NodeId from, NodeId to, std::uint32_t distance) noexcept;
    /// The CPU is at `node`, a node of the map.
    void set_cpu(std::uint32_t cpu, NodeId node) noexcept;

    [[nodiscard]] std::uint32_t nodes() const noexcept { return count_; }
    /// The node with this index, below nodes(), in the order of their numbers: nodes may have gaps between them.
    [[nodiscard]] NodeId node(std::uint32_t index) const noexcept { return nodes_[index]; }
    [[nodiscard]] bool has_memory(std::uint32_t index) const noexcept { return has_memory_[index]; }
    [[nodiscard]] bool has(NodeId node) const noexcept { return index_of(node) < count_; }
    /// The node with the highest number; kAnyNode when there is none.
    [[nodiscard]] NodeId highest() const noexcept { return count_ != 0 ? nodes_[count_ - 1] : kAnyNode; }
    /// kLocalDistance between a node and itself or kAnyNode, kRemoteDistance from or to a node that is not there.
    [[nodiscard]] std::uint32_t distance(NodeId from, NodeId to) const noexcept;
    /// kAnyNode when the CPU is not known.
    [[nodiscard]] NodeId node_of_cpu(std::uint32_t cpu) const noexcept {
        return cpu < kMaxCpus && at_cpu_[cpu] < count_ ? nodes_[at_cpu_[cpu]] : kAnyNode;
    }

private:
    [[nodiscard]] std::uint32_t index_of(NodeId node) const noexcept;

    std::uint32_t count_ = 0;
    std::array<NodeId, kMaxNodes> nodes_{};  // ascending
    std::array<bool, kMaxNodes> has_memory_{};
    std::array<std::array<std::uint32_t, kMaxNodes>, kMaxNodes> distances_{};
    std::array<std::uint8_t, kMaxCpus> at_cpu_;  // index of the node; kMaxNodes and above: not known
};

}  // namespace bounce
