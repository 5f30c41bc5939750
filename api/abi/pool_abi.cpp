// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/topology/topology.hpp"
#include "api/abi/growth_options.hpp"
#include "api/abi/handles.hpp"
#include "api/abi/options.hpp"
#include "api/abi/platform_options.hpp"
#include "api/abi/region_options.hpp"
#include "api/abi/watch.hpp"

using namespace bounce;
using namespace bounce::abi;

namespace {

constexpr std::size_t kFirstPoolOptions = offsetof(bounce_pool_options, violation_user) + sizeof(void*);

struct Given {
    bounce_pool_options options{};
    const char* name = nullptr;
    RegionConfig region;
    GrowthConfig growth;
    NumaPolicy policy = NumaPolicy::kLocal;
};

Result<Given> read_pool_options(const bounce_pool_options* given) noexcept {
    Given config;
    bounce_pool_options& options = config.options;
    if (const auto read = read_options(given, kFirstPoolOptions, "options", options); !read) return read.error();
    const auto growth = read_growth_options(options);
    if (!growth) return growth.error();
    config.growth = *growth;
    if (const auto good = must_be_zero(options.reserved, "options.reserved"); !good) return good.error();
    if (const auto good = must_be_zero(options.reserved2, "options.reserved2"); !good) return good.error();
    const auto policy = read_numa_policy(options.numa_policy, "options.numa_policy");
    if (!policy) return policy.error();
    config.policy = *policy;
    const auto name = read_name(options.name, "bounce", "options.name");
    if (!name) return name.error();
    config.name = *name;
    // What follows the region inside of the pool's options belongs to those: the region cannot be longer than its
    // place.
    if (options.region.size > sizeof options.region)
        return fail(EINVAL, "options.region.size is %llu, expected %llu", options.region.size, sizeof options.region);
    const auto region = read_region_options(&options.region, "options.region");
    if (!region) return region.error();
    config.region = *region;
    config.region.name = config.name;
    if ((options.flags & BOUNCE_POOL_EACH_NODE) == 0) return config;
    if (options.limit_bytes != 0)
        return fail(
            EINVAL,
            "options.flags has BOUNCE_POOL_EACH_NODE, but options.limit_bytes is %llu: a pool grows at the node "
            "of its first region only",
            options.limit_bytes);
    if (config.region.imported_hva != nullptr)
        return fail(EINVAL, "options.flags has BOUNCE_POOL_EACH_NODE, but options.region.hva is one mapping");
    if (config.region.node != kAnyNode)
        return fail(EINVAL, "options.flags has BOUNCE_POOL_EACH_NODE, but options.region names node %llu",
                    static_cast<std::uint64_t>(config.region.node.value));
    return config;
}

// BOUNCE_POOL_EACH_NODE.
Result<std::unique_ptr<Pool>> create_on_each_node(RegionConfig region, const PoolConfig& config) noexcept {
    const auto topology = Topology::create();
    if (!topology) return topology.error();
    const auto map = (*topology)->map();
    if (!map) return map.error();
    std::unique_ptr<Pool> pool;
    for (std::uint32_t i = 0; i < (*map)->nodes(); ++i) {
        if (!(*map)->has_memory(i)) continue;
        if (pool != nullptr) {
            if (region.base_gpa.value + region.bytes < region.base_gpa.value)
                return fail(EINVAL, "a region of %llu bytes for each NUMA node reaches beyond the last address",
                            region.bytes);
            region.base_gpa = region.base_gpa + region.bytes;
        }
        region.node = (*map)->node(i);
        if (pool == nullptr) {
            auto made = Pool::create(region, {}, config);
            if (!made) return made;
            pool = std::move(*made);
        } else if (const auto added = pool->add_region(region); !added) {
            return added.error();
        }
    }
    if (pool == nullptr) return fail(ENOTSUP, "no NUMA node of this machine is known to have memory");
    return pool;
}

void log_page_size(bounce_pool& pool, RegionId id) noexcept {
    const Region& region = pool.pool->region(id);
    if (region.page_bytes() < kChunkBytes)
        pool.callbacks.log(BOUNCE_LOG_WARNING,
                           "region %u of %llu bytes has pages of %u bytes: no 2 MiB hugepages were to be had", id.value,
                           static_cast<unsigned long long>(region.bytes()), region.page_bytes());
}

// Hooks come with the platform or with the options.
Result<void> check_platform(const bounce_platform& platform, const bounce_pool_options& options) noexcept {
    if (options.share != nullptr) return fail(EINVAL, "options.share is set, but the hooks are those of the platform");
    if (platform.encoding == BOUNCE_ENCODING_REGION_OFFSET && options.limit_bytes != 0)
        return fail(EINVAL,
                    "options.limit_bytes is %llu, must be 0: addresses are offsets in the region, so there is only one",
                    options.limit_bytes);
    return {};
}

int create(const bounce_platform* given, const bounce_pool_options* options, bounce_pool** pool) noexcept {
    if (pool == nullptr) return negative(null_argument("pool"));
    *pool = nullptr;
    const auto config = read_pool_options(options);
    if (!config) return negative(config.error());
    std::unique_ptr<bounce_pool> made(new (std::nothrow) bounce_pool(config->name, config->options));
    if (made == nullptr) return negative(fail(ENOMEM, "no memory for a pool's handle"));
    RegionConfig first = config->region;
    if (given == nullptr) {
        first.hooks = share_hooks(*made, config->options);
        made->platform.size = sizeof made->platform;
        made->platform.granule = static_cast<std::uint32_t>(first.hooks.granule);
    } else {
        const auto platform = read_platform(given);
        if (!platform) return negative(platform.error());
        if (const auto good = check_platform(*platform, config->options); !good) return status(good);
        made->platform = *platform;
        first.hooks = platform_hooks(*made);
        first.form = address_form(*platform);
    }
    const PoolConfig of_pool{.checked = (config->options.flags & BOUNCE_POOL_UNCHECKED) == 0,
                             .numa_policy = config->policy};
    auto inner = (config->options.flags & BOUNCE_POOL_EACH_NODE) != 0 ? create_on_each_node(first, of_pool)
                                                                      : Pool::create(first, config->growth, of_pool);
    if (!inner) return negative(inner.error());
    made->pool = std::move(*inner);
    for (std::uint32_t i = 0; config->region.hugepages && i < made->pool->regions(); ++i)
        log_page_size(*made, RegionId{i});
    *pool = made.release();
    return 0;
}

}  // namespace

int bounce_pool_create(const bounce_pool_options* options, bounce_pool** pool) {
    return create(nullptr, options, pool);
}

int bounce_pool_create_on(const bounce_platform* platform, const bounce_pool_options* options, bounce_pool** pool) {
    if (platform == nullptr) return negative(null_argument("platform"));
    return create(platform, options, pool);
}

int bounce_pool_destroy(bounce_pool* pool) {
    if (pool == nullptr) return 0;
    if (const auto owner = in_owner(*pool->pool); !owner) return status(owner);
    if (const std::uint32_t users = pool->pool->users(); users != 0)
        return negative(fail(EBUSY, "%llu devices of the pool exist, expected none", users));
    if (pool->controls.load(std::memory_order_relaxed))
        return negative(fail(EBUSY, "the pool has a control; bounce_control_destroy() ends it"));
    delete pool;
    return 0;
}

int bounce_pool_add_region(bounce_pool* pool, const bounce_region_options* options) {
    if (pool == nullptr) return negative(null_argument("pool"));
    if (const auto owner = in_owner(*pool->pool); !owner) return status(owner);
    auto config = read_region_options(options, "options");
    if (!config) return negative(config.error());
    config->name = pool->name;
    const auto id = pool->pool->add_region(*config);
    if (!id) return negative(id.error());
    if (config->hugepages) log_page_size(*pool, *id);
    return 0;
}

int bounce_pool_region(bounce_pool* pool, uint32_t index, bounce_region_info* info) {
    if (pool == nullptr) return negative(null_argument("pool"));
    if (info == nullptr) return negative(null_argument("info"));
    if (const auto owner = in_owner(*pool->pool); !owner) return status(owner);
    if (const std::uint32_t regions = pool->pool->regions(); index >= regions)
        return negative(fail(EINVAL, "region %llu, but the pool has %llu", index, regions));
    const Region& region = pool->pool->region(RegionId{index});
    *info = bounce_region_info{};
    info->base_gpa = region.base().value;
    info->bytes = region.bytes();
    info->hva = region.hva();
    info->fd = region.fd();
    info->page_bytes = region.page_bytes();
    info->fd_offset = region.fd_offset();
    info->generation = region.epoch();
    info->imported = region.imported() ? 1 : 0;
    info->node = region.node().value;
    const RegionStatus now = pool->pool->status(RegionId{index});
    info->used_bytes = now.bytes_in_use;
    info->refused_bytes = now.refused_bytes;
    info->state = static_cast<std::uint32_t>(now.stage);
    info->usable = now.usable ? 1 : 0;
    info->restricted = now.restricted ? 1 : 0;
    return 0;
}

int bounce_pool_renew(bounce_pool* pool) {
    if (pool == nullptr) return negative(null_argument("pool"));
    if (const auto owner = in_owner(*pool->pool); !owner) return status(owner);
    if (pool->pool->lent())
        return negative(
            fail(EBUSY, "the pool is lent to a back-end, which bounce_frontend_disconnect() takes it from"));
    return status(pool->pool->renew());
}

int bounce_pool_get_stats(bounce_pool* pool, bounce_pool_stats* stats) {
    if (pool == nullptr) return negative(null_argument("pool"));
    if (stats == nullptr) return negative(null_argument("stats"));
    if (const auto owner = in_owner(*pool->pool); !owner) return status(owner);
    const PoolStats inner = pool->pool->stats();
    const auto of_kind = [&inner](SlotKind kind) { return inner.slots_of_kind[static_cast<std::size_t>(kind)]; };
    *stats = bounce_pool_stats{};
    stats->bytes = inner.bytes;
    stats->used_bytes = inner.used_bytes;
    stats->used_bytes_hiwater = inner.used_bytes_hiwater;
    stats->slots = inner.slots;
    stats->mappings = of_kind(SlotKind::kStreaming);
    stats->coherent = of_kind(SlotKind::kCoherent);
    stats->buffers = of_kind(SlotKind::kBuffer);
    stats->maps = inner.allocs_of_kind[static_cast<std::size_t>(SlotKind::kStreaming)];
    stats->full = inner.full;
    stats->violations = pool->callbacks.violations();
    stats->regions = inner.regions;
    stats->grows = inner.grows;
    stats->shrinks = inner.shrinks;
    stats->quarantined = inner.quarantined;
    stats->quarantined_bytes = inner.quarantined_bytes;
    return 0;
}

int bounce_pool_gpa_to_hva(bounce_pool* pool, uint64_t gpa, size_t bytes, void** hva) {
    if (pool == nullptr) return negative(null_argument("pool"));
    if (hva == nullptr) return negative(null_argument("hva"));
    *hva = nullptr;
    if (const auto owner = in_owner(*pool->pool); !owner) return status(owner);
    const auto found = pool->pool->to_hva(Gpa{gpa}, bytes);
    if (!found) return negative(found.error());
    if (mapped_by_debugged(*pool, Gpa{gpa}, bytes, __builtin_return_address(0)))
        return negative(
            fail(EPERM, "GPA 0x%llx is mapped by a device that is debugged: the CPU does not look at it", gpa));
    *hva = *found;
    return 0;
}

int bounce_pool_hva_to_gpa(bounce_pool* pool, const void* hva, size_t bytes, uint64_t* gpa) {
    if (pool == nullptr) return negative(null_argument("pool"));
    if (gpa == nullptr) return negative(null_argument("gpa"));
    *gpa = 0;
    if (const auto owner = in_owner(*pool->pool); !owner) return status(owner);
    const auto found = pool->pool->to_gpa(hva, bytes);
    if (!found) return negative(found.error());
    *gpa = found->value;
    return 0;
}
