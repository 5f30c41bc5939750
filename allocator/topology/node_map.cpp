// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/topology/node_map.hpp"

#include <algorithm>

namespace bounce {

NodeMap::NodeMap() noexcept {
    at_cpu_.fill(kMaxNodes);
}

std::uint32_t NodeMap::index_of(NodeId node) const noexcept {
    const auto* const end = nodes_.begin() + count_;
    const auto* const found = std::lower_bound(nodes_.begin(), end, node);
    return found != end && *found == node ? static_cast<std::uint32_t>(found - nodes_.begin()) : kMaxNodes;
}

bool NodeMap::add(NodeId node, bool has_memory) noexcept {
    if (count_ == kMaxNodes || node.value < 0 || has(node)) return false;
    std::uint32_t at = count_;
    for (; at > 0 && node < nodes_[at - 1]; --at) {
        nodes_[at] = nodes_[at - 1];
        has_memory_[at] = has_memory_[at - 1];
    }
    // What is known of the nodes behind moves with them.
    for (std::uint32_t i = 0; i < count_; ++i) {
        std::copy_backward(distances_[i].begin() + at, distances_[i].begin() + count_,
                           distances_[i].begin() + count_ + 1);
    }
    std::copy_backward(distances_.begin() + at, distances_.begin() + count_, distances_.begin() + count_ + 1);
    for (std::uint8_t& index : at_cpu_) {
        if (index >= at && index < count_) ++index;
    }
    nodes_[at] = node;
    has_memory_[at] = has_memory;
    ++count_;
    for (std::uint32_t i = 0; i < count_; ++i) distances_[i][at] = distances_[at][i] = kRemoteDistance;
    distances_[at][at] = kLocalDistance;
    return true;
}

void NodeMap::set_distance(NodeId from, NodeId to, std::uint32_t distance) noexcept {
    distances_[index_of(from)][index_of(to)] = distance;
}

void NodeMap::set_cpu(std::uint32_t cpu, NodeId node) noexcept {
    if (cpu < kMaxCpus) at_cpu_[cpu] = static_cast<std::uint8_t>(index_of(node));
}

std::uint32_t NodeMap::distance(NodeId from, NodeId to) const noexcept {
    if (from == to || from == kAnyNode || to == kAnyNode) return kLocalDistance;
    const std::uint32_t a = index_of(from);
    const std::uint32_t b = index_of(to);
    return a < count_ && b < count_ ? distances_[a][b] : kRemoteDistance;
}

}  // namespace bounce
