// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "bounce/dma_pool.h"

#include "api/abi/handles.hpp"
#include "api/abi/options.hpp"
#include "api/dma/dma_pool.hpp"

using namespace bounce;
using namespace bounce::abi;

struct bounce_dma_pool {
    std::unique_ptr<DmaPool> pool;
};

namespace {

constexpr std::size_t kFirstDmaPoolOptions = offsetof(bounce_dma_pool_options, boundary) + sizeof(std::uint64_t);
constexpr std::uint32_t kDmaPoolFlags = BOUNCE_DMA_POOL_ZERO;

Result<DmaPoolConfig> read_pool_options(const bounce_dma_pool_options* given) noexcept {
    bounce_dma_pool_options options{};
    if (const auto read = read_options(given, kFirstDmaPoolOptions, "options", options); !read) return read.error();
    const auto name = read_name(options.name, "dma_pool", "options.name");
    if (!name) return name.error();
    return DmaPoolConfig{*name, options.block_bytes, options.align, options.boundary};
}

Result<void> check(const bounce_dma_pool* pool, const void* ptrs, const void* addrs, std::size_t n) noexcept {
    if (pool == nullptr) return null_argument("pool");
    if (ptrs == nullptr) return null_argument("ptr");
    if (addrs == nullptr) return null_argument("addr");
    return n != 0 ? Result<void>() : Result<void>(fail(EINVAL, "0 blocks, expected at least 1"));
}

}  // namespace

int bounce_dma_pool_create(bounce_device* device, const bounce_dma_pool_options* options, bounce_dma_pool** pool) {
    if (pool == nullptr) return negative(null_argument("pool"));
    *pool = nullptr;
    if (device == nullptr) return negative(null_argument("device"));
    if (const auto owner = in_owner(device->device->pool()); !owner) return status(owner);
    const auto config = read_pool_options(options);
    if (!config) return negative(config.error());
    auto inner = DmaPool::create(*device->device, *config);
    if (!inner) return negative(inner.error());
    *pool = new (std::nothrow) bounce_dma_pool{std::move(*inner)};
    return *pool != nullptr ? 0 : negative(fail(ENOMEM, "no memory for a pool's handle"));
}

int bounce_dma_pool_destroy(bounce_dma_pool* pool) {
    if (pool == nullptr) return 0;
    if (const auto owner = in_owner(pool->pool->device().pool()); !owner) return status(owner);
    if (const std::uint64_t out = pool->pool->blocks_out(); out != 0)
        return negative(fail_text(EBUSY, "%llu blocks of the pool \"%s\" are out, expected none",
                                  static_cast<unsigned long long>(out), pool->pool->name()));
    delete pool;
    return 0;
}

int bounce_dma_pool_alloc_bulk(bounce_dma_pool* pool, uint32_t flags, void** ptrs, uint64_t* addrs, size_t n) {
    if (const auto good = check(pool, ptrs, addrs, n); !good) return status(good);
    if (const auto good = known_flags(flags, kDmaPoolFlags, "flags"); !good) return status(good);
    for (size_t i = 0; i < n; ++i) {
        const auto block = pool->pool->alloc((flags & BOUNCE_DMA_POOL_ZERO) != 0);
        if (block) {
            ptrs[i] = block->ptr;
            addrs[i] = block->addr;
            continue;
        }
        // Each was handed out just above, so this cannot fail. The error stays this thread's last one.
        while (i-- > 0) static_cast<void>(pool->pool->free({static_cast<std::byte*>(ptrs[i]), addrs[i]}));
        return negative(block.error());
    }
    return 0;
}

int bounce_dma_pool_free_bulk(bounce_dma_pool* pool, void* const* ptrs, const uint64_t* addrs, size_t n) {
    if (const auto good = check(pool, ptrs, addrs, n); !good) return status(good);
    Result<void> first;
    for (size_t i = 0; i < n; ++i) {
        const auto freed = pool->pool->free({static_cast<std::byte*>(ptrs[i]), addrs[i]});
        if (first && !freed) first = freed;
    }
    return status(first);
}

int bounce_dma_pool_alloc(bounce_dma_pool* pool, uint32_t flags, void** ptr, uint64_t* addr) {
    return bounce_dma_pool_alloc_bulk(pool, flags, ptr, addr, 1);
}

int bounce_dma_pool_free(bounce_dma_pool* pool, void* ptr, uint64_t addr) {
    return bounce_dma_pool_free_bulk(pool, &ptr, &addr, 1);
}

int bounce_dma_pool_get_info(bounce_dma_pool* pool, bounce_dma_pool_info* info) {
    if (pool == nullptr) return negative(null_argument("pool"));
    if (info == nullptr) return negative(null_argument("info"));
    const DmaPool& it = *pool->pool;
    *info = {it.block_bytes(), it.stride(), it.blocks_out(), it.pieces(), it.piece_bytes()};
    return 0;
}
