// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/topology/topology.hpp"

#include <cerrno>
#include <cstring>

#if BOUNCE_HWLOC
#include <hwloc.h>
#include <hwloc/distances.h>
#endif

namespace bounce {

#if BOUNCE_HWLOC

namespace {

constexpr NodeId id_of(hwloc_obj_t node) noexcept {
    return NodeId{static_cast<std::int32_t>(node->os_index)};
}

// The distances that Linux has from the firmware (ACPI's SLIT), or that a description has.
void read_distances(hwloc_topology_t handle, NodeMap& map) noexcept {
    hwloc_distances_s* found = nullptr;
    unsigned count = 1;
    if (hwloc_distances_get_by_type(handle, HWLOC_OBJ_NUMANODE, &count, &found, HWLOC_DISTANCES_KIND_MEANS_LATENCY,
                                    0) != 0 ||
        count == 0)
        return;
    for (unsigned i = 0; i < found->nbobjs; ++i) {
        for (unsigned j = 0; j < found->nbobjs; ++j) {
            hwloc_obj_t from = found->objs[i];
            hwloc_obj_t to = found->objs[j];
            if (from == nullptr || to == nullptr || !map.has(id_of(from)) || !map.has(id_of(to))) continue;
            map.set_distance(id_of(from), id_of(to), static_cast<std::uint32_t>(found->values[i * found->nbobjs + j]));
        }
    }
    hwloc_distances_release(handle, found);
}

// A CPU may have several nodes near it (ordinary memory and HBM): its own is the one with the fewest CPUs, and of those
// the one with the lowest number, which is Linux's. The complete sets have what is offline or not allowed now, too.
void read_cpus(hwloc_topology_t handle, NodeMap& map) noexcept {
    const auto cpus_of = [](hwloc_obj_t node) { return hwloc_bitmap_weight(node->complete_cpuset); };
    hwloc_const_cpuset_t all = hwloc_topology_get_complete_cpuset(handle);
    for (int cpu = hwloc_bitmap_first(all); cpu >= 0; cpu = hwloc_bitmap_next(all, cpu)) {
        hwloc_obj_t own = nullptr;
        hwloc_obj_t node = nullptr;
        while ((node = hwloc_get_next_obj_by_type(handle, HWLOC_OBJ_NUMANODE, node)) != nullptr) {
            if (!map.has(id_of(node)) || hwloc_bitmap_isset(node->complete_cpuset, static_cast<unsigned>(cpu)) == 0)
                continue;
            if (own == nullptr || cpus_of(node) < cpus_of(own) ||
                (cpus_of(node) == cpus_of(own) && node->os_index < own->os_index))
                own = node;
        }
        if (own != nullptr) map.set_cpu(static_cast<std::uint32_t>(cpu), id_of(own));
    }
}

}  // namespace

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
    // Only nodes matter here; leaving out I/O devices and caches makes loading several times faster. Groups are what
    // keeps the CPUs of one node apart from those of another.
    hwloc_topology_set_all_types_filter(handle, HWLOC_TYPE_FILTER_KEEP_NONE);
    hwloc_topology_set_type_filter(handle, HWLOC_OBJ_GROUP, HWLOC_TYPE_FILTER_KEEP_STRUCTURE);
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

Result<std::unique_ptr<NodeMap>> Topology::map() const noexcept {
    auto* const handle = static_cast<hwloc_topology_t>(handle_);
    std::unique_ptr<NodeMap> map(new (std::nothrow) NodeMap);
    if (map == nullptr) return fail(ENOMEM, "no private memory for a map of the machine's nodes");
    hwloc_obj_t node = nullptr;
    while ((node = hwloc_get_next_obj_by_type(handle, HWLOC_OBJ_NUMANODE, node)) != nullptr) {
        map->add(id_of(node), node->attr->numanode.local_memory != 0);
    }
    read_distances(handle, *map);
    read_cpus(handle, *map);
    return map;
}

Result<void> Topology::bind(void* address, std::size_t bytes, NodeId node) const noexcept {
    auto* const handle = static_cast<hwloc_topology_t>(handle_);
    hwloc_obj_t object =
        node.value < 0 ? nullptr : hwloc_get_numanode_obj_by_os_index(handle, static_cast<unsigned>(node.value));
    if (object == nullptr) {
        return fail_text(EINVAL, "there is no NUMA node %d, the highest is %d", node.value,
                         hwloc_bitmap_last(hwloc_topology_get_topology_nodeset(handle)));
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

Result<std::unique_ptr<NodeMap>> Topology::map() const noexcept {
    std::unique_ptr<NodeMap> map(new (std::nothrow) NodeMap);
    if (map == nullptr) return fail(ENOMEM, "no private memory for a map of the machine's nodes");
    map->add(NodeId{0});
    for (std::uint32_t cpu = 0; cpu < NodeMap::kMaxCpus; ++cpu) map->set_cpu(cpu, NodeId{0});
    return map;
}

Result<void> Topology::bind(void* address, std::size_t bytes, NodeId node) const noexcept {
    (void)address;
    (void)bytes;
    if (!has(node)) return fail_text(EINVAL, "there is no NUMA node %d, the highest is 0", node.value);
    return {};
}

#endif

}  // namespace bounce
