// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/abi/handles.hpp"
#include "bounce/quota.h"

using namespace bounce;
using namespace bounce::abi;

int bounce_device_set_quota(bounce_device* device, uint64_t floor_bytes, uint64_t ceiling_bytes) {
    if (device == nullptr) return negative(null_argument("device"));
    if (const auto owner = in_owner(device->device->pool()); !owner) return status(owner);
    return status(device->device->set_quota(floor_bytes, ceiling_bytes));
}

int bounce_device_get_quota(bounce_device* device, bounce_quota* quota) {
    if (device == nullptr) return negative(null_argument("device"));
    if (quota == nullptr) return negative(null_argument("quota"));
    if (const auto owner = in_owner(device->device->pool()); !owner) return status(owner);
    const QuotaState state = device->device->quota();
    *quota = bounce_quota{};
    quota->floor_bytes = state.floor;
    quota->ceiling_bytes = state.ceiling;
    quota->used_bytes = state.used;
    quota->priority = state.priority ? 1 : 0;
    return 0;
}

int bounce_device_set_priority(bounce_device* device, int on) {
    if (device == nullptr) return negative(null_argument("device"));
    if (const auto owner = in_owner(device->device->pool()); !owner) return status(owner);
    device->device->set_priority(on != 0);
    return 0;
}

int bounce_pool_set_reserve(bounce_pool* pool, uint64_t bytes) {
    if (pool == nullptr) return negative(null_argument("pool"));
    if (const auto owner = in_owner(*pool->pool); !owner) return status(owner);
    return status(pool->pool->set_reserve(bytes));
}

int bounce_pool_get_reserve(bounce_pool* pool, bounce_reserve* reserve) {
    if (pool == nullptr) return negative(null_argument("pool"));
    if (reserve == nullptr) return negative(null_argument("reserve"));
    if (const auto owner = in_owner(*pool->pool); !owner) return status(owner);
    const ReserveState state = pool->pool->reserve();
    *reserve = bounce_reserve{state.reserve, state.floors, state.promised};
    return 0;
}
