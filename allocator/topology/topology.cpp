// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/topology/topology.hpp"

#include <cerrno>
#include <cstring>

#if BOUNCE_HWLOC
#include <hwloc.h>
#endif

namespace bounce {

#if BOUNCE_HWLOC

Result<std::unique_ptr<Topology>> Topology::create(const char* synthetic) noexcept {
    hwloc_topology_t handle = nullptr;
    if (hwloc_topology_init(&handle) != 0) return fail(ENOMEM, "no memory to describe the machine");
    std::unique_ptr<Topology> topology(new (std::nothrow) Topology(handle));
    if (topology == nullptr) {
        hwloc_topology_destroy(handle);
        return fail(ENOMEM, "no memory to describe the machine");
    }
    if (synthetic != nullptr && hwloc_topology_set_synthetic(handle, synthetic) != 0) {
        return fail_text(EINVAL, "'%s' is no synthetic topology, expected e.g. 'node:2 core:4 pu:1'", synthetic);
    }
    // Only nodes matter here; leaving out I/O devices and caches makes loading several times faster.
    hwloc_topology_set_all_types_filter(handle, HWLOC_TYPE_FILTER_KEEP_NONE);
    if (hwloc_topology_load(handle) != 0) {
        return fail_text(ENOMEM, "the topology of the machine cannot be read: %s", std::strerror(errno));
    }
    return topology;
}

Topology::~Topology() {
    hwloc_topology_destroy(static_cast<hwloc_topology_t>(handle_));
}

std::uint32_t Topology::nodes() const noexcept {
    const int nodes = hwloc_get_nbobjs_by_type(static_cast<hwloc_topology_t>(handle_), HWLOC_OBJ_NUMANODE);
    return nodes > 0 ? static_cast<std::uint32_t>(nodes) : 1;
}

bool Topology::has(NodeId node) const noexcept {
    return node.value >= 0 && hwloc_get_numanode_obj_by_os_index(static_cast<hwloc_topology_t>(handle_),
                                                                 static_cast<unsigned>(node.value)) != nullptr;
}

Result<void> Topology::bind(void* address, std::size_t bytes, NodeId node) const noexcept {
    auto* const handle = static_cast<hwloc_topology_t>(handle_);
    hwloc_obj_t object =
        node.value < 0 ? nullptr : hwloc_get_numanode_obj_by_os_index(handle, static_cast<unsigned>(node.value));
    if (object == nullptr) {
        return fail_text(EINVAL, "there is no NUMA node %d, the machine has %u", node.value, nodes());
    }
    if (hwloc_set_area_membind(handle, address, bytes, object->nodeset, HWLOC_MEMBIND_BIND, HWLOC_MEMBIND_BYNODESET) !=
            0 &&
        nodes() > 1) {
        return fail_text(ENOTSUP, "memory cannot be bound to NUMA node %d: %s", node.value, std::strerror(errno));
    }
    return {};
}

#else

Result<std::unique_ptr<Topology>> Topology::create(const char* synthetic) noexcept {
    if (synthetic != nullptr) return fail_text(ENOTSUP, "this build has one node, and no synthetic topologies");
    std::unique_ptr<Topology> topology(new (std::nothrow) Topology(nullptr));
    if (topology == nullptr) return fail(ENOMEM, "no memory to describe the machine");
    return topology;
}

Topology::~Topology() = default;

std::uint32_t Topology::nodes() const noexcept {
    return 1;
}

bool Topology::has(NodeId node) const noexcept {
    return node.value == 0;
}

Result<void> Topology::bind(void* address, std::size_t bytes, NodeId node) const noexcept {
    (void)address;
    (void)bytes;
    if (!has(node)) return fail_text(EINVAL, "there is no NUMA node %d, this build knows node 0 only", node.value);
    return {};
}

#endif

}  // namespace bounce
