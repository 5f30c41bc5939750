// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Regions that come and go while a pool is in use.
#include "api/abi/handles.hpp"

using namespace bounce;
using namespace bounce::abi;

int bounce_pool_drain_region(bounce_pool* pool, uint32_t index) {
    if (pool == nullptr) return negative(null_argument("pool"));
    return status(pool->pool->drain_region(RegionId{index}));
}

int bounce_pool_remove_region(bounce_pool* pool, uint32_t index) {
    if (pool == nullptr) return negative(null_argument("pool"));
    return status(pool->pool->remove_region(RegionId{index}));
}

int bounce_pool_service(bounce_pool* pool) {
    if (pool == nullptr) return negative(null_argument("pool"));
    const auto more = pool->pool->service();
    if (!more) return negative(more.error());
    return *more ? 1 : 0;
}

int bounce_pool_event_fd(bounce_pool* pool) {
    if (pool == nullptr) return negative(null_argument("pool"));
    if (const auto owner = in_owner(*pool->pool); !owner) return status(owner);
    const int fd = pool->pool->event_fd();
    if (fd < 0) return negative(fail(ENOTSUP, "the pool does not grow: options.limit_bytes is 0"));
    return fd;
}
