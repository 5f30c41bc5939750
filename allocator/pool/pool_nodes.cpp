// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/pool/pool_nodes.hpp"

#include <sched.h>

#include <cerrno>

#include "allocator/topology/topology.hpp"

namespace bounce {

Result<void> PoolNodes::check(NodeId node) noexcept {
    if (node == kAnyNode) return {};
    if (map_ == nullptr) {
        auto topology = Topology::create();
        if (!topology) return topology.error();
        auto map = (*topology)->map();
        if (!map) return map.error();
        map_ = std::move(*map);
    }
    if (map_->has(node)) return {};
    return fail(EINVAL, "there is no NUMA node %lld, the highest is %lld", static_cast<std::uint64_t>(node.value),
                static_cast<std::uint64_t>(map_->highest().value));
}

void PoolNodes::add(std::uint32_t index, NodeId node) noexcept {
    nodes_[index] = node;
    if (index > 0 && node != nodes_[index - 1]) several_.store(true, std::memory_order_relaxed);
    // N1: release, pairs with the acquire in matter().
    if (node != kAnyNode) bound_.store(true, std::memory_order_release);
}

NodeId PoolNodes::of_thread() const noexcept {
    // No system call: glibc reads what the kernel keeps for the thread (rseq), or asks the vdso.
    const int cpu = ::sched_getcpu();
    return cpu < 0 ? kAnyNode : map_->node_of_cpu(static_cast<std::uint32_t>(cpu));
}

}  // namespace bounce
