// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The NUMA nodes of the machine. The only place that knows hwloc; without it there is one node.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "allocator/base/error.hpp"
#include "allocator/base/types.hpp"
#include "allocator/topology/node_map.hpp"

namespace bounce {

class Topology {
public:
    /// Reads the machine (slow: up to tens of milliseconds), or a synthetic description in hwloc's syntax ("node:2
    /// core:4 pu:1"), on which binding changes nothing. As with every user of hwloc, the environment can put a
    /// synthetic one in the place of the machine (HWLOC_SYNTHETIC, HWLOC_XMLFILE). EINVAL for a description that cannot
    /// be read; ENOMEM.
    static Result<std::unique_ptr<Topology>> create(const char* synthetic = nullptr) noexcept;
    ~Topology();
    Topology(const Topology&) = delete;
    Topology& operator=(const Topology&) = delete;

    [[nodiscard]] std::uint32_t nodes() const noexcept;
    [[nodiscard]] bool has(NodeId node) const noexcept;

    /// The nodes, their distances (kLocalDistance and kRemoteDistance where the machine does not say) and their CPUs,
    /// in private memory of its own: the topology is not needed for it any more. ENOMEM.
    [[nodiscard]] Result<std::unique_ptr<NodeMap>> map() const noexcept;

    /// New pages of [address, address + bytes) shall come from `node` and no other. EINVAL: no such node; ENOTSUP:
    /// there are several nodes, but the kernel does not let us choose.
    Result<void> bind(void* address, std::size_t bytes, NodeId node) const noexcept;

private:
    explicit Topology(void* handle) noexcept : handle_(handle) {}

    void* handle_;  // hwloc_topology_t; unused without hwloc
};

}  // namespace bounce
