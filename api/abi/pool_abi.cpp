// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/abi/growth_options.hpp"
#include "api/abi/handles.hpp"
#include "api/abi/options.hpp"
#include "api/abi/region_options.hpp"

using namespace bounce;
using namespace bounce::abi;

namespace {

constexpr std::size_t kFirstVersion = offsetof(bounce_pool_options, violation_user) + sizeof(void*);

struct PoolConfig {
    bounce_pool_options options{};
    const char* name = nullptr;
    RegionConfig region;
    GrowthConfig growth;
};

Result<PoolConfig> read_pool_options(const bounce_pool_options* given) noexcept {
    PoolConfig config;
    bounce_pool_options& options = config.options;
    if (const auto read = read_options(given, kFirstVersion, "options", options); !read) return read.error();
    const auto growth = read_growth_options(options);
    if (!growth) return growth.error();
    config.growth = *growth;
    if (const auto good = must_be_zero(options.reserved, "options.reserved"); !good) return good.error();
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
    return config;
}

void log_page_size(bounce_pool& pool, RegionId id) noexcept {
    const Region& region = pool.pool->region(id);
    if (region.page_bytes() < kChunkBytes)
        pool.callbacks.log(BOUNCE_LOG_WARNING,
                           "region %u of %llu bytes has pages of %u bytes: no 2 MiB hugepages were to be had", id.value,
                           static_cast<unsigned long long>(region.bytes()), region.page_bytes());
}

}  // namespace

int bounce_pool_create(const bounce_pool_options* options, bounce_pool** pool) {
    if (pool == nullptr) return negative(null_argument("pool"));
    *pool = nullptr;
    const auto config = read_pool_options(options);
    if (!config) return negative(config.error());
    std::unique_ptr<bounce_pool> made(new (std::nothrow) bounce_pool(config->name, config->options));
    if (made == nullptr) return negative(fail(ENOMEM, "no memory for a pool's handle"));
    RegionConfig first = config->region;
    first.hooks = share_hooks(*made, config->options);
    auto inner = Pool::create(first, config->growth);
    if (!inner) return negative(inner.error());
    made->pool = std::move(*inner);
    if (config->region.hugepages) log_page_size(*made, RegionId{0});
    *pool = made.release();
    return 0;
}

int bounce_pool_destroy(bounce_pool* pool) {
    if (pool == nullptr) return 0;
    if (const auto owner = in_owner(*pool->pool); !owner) return status(owner);
    if (const std::uint32_t users = pool->pool->users(); users != 0)
        return negative(fail(EBUSY, "%llu devices of the pool exist, expected none", users));
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
    return 0;
}

int bounce_pool_gpa_to_hva(bounce_pool* pool, uint64_t gpa, size_t bytes, void** hva) {
    if (pool == nullptr) return negative(null_argument("pool"));
    if (hva == nullptr) return negative(null_argument("hva"));
    *hva = nullptr;
    if (const auto owner = in_owner(*pool->pool); !owner) return status(owner);
    const auto found = pool->pool->to_hva(Gpa{gpa}, bytes);
    if (!found) return negative(found.error());
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
