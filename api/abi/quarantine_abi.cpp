// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "bounce/quarantine.h"

#include <cstring>

#include "api/abi/handles.hpp"

using namespace bounce;
using namespace bounce::abi;

int bounce_device_quarantine(bounce_device* device) {
    if (device == nullptr) return negative(null_argument("device"));
    if (const auto owner = in_owner(device->device->pool()); !owner) return status(owner);
    return status(device->device->quarantine());
}

int bounce_device_release(bounce_device* device) {
    if (device == nullptr) return negative(null_argument("device"));
    if (const auto owner = in_owner(device->device->pool()); !owner) return status(owner);
    return at_most_int(device->device->release());
}

int bounce_pool_quarantine(bounce_pool* pool, uint32_t index, bounce_quarantine_info* info) {
    if (pool == nullptr) return negative(null_argument("pool"));
    if (info == nullptr) return negative(null_argument("info"));
    *info = bounce_quarantine_info{};
    const auto found = pool->pool->quarantine_info(index);
    if (!found) return negative(found.error());
    static_assert(sizeof info->device == sizeof found->name);
    std::memcpy(info->device, found->name, sizeof info->device);
    info->slots = found->slots;
    info->bytes = found->bytes;
    info->device_lives = found->device_lives ? 1 : 0;
    return 0;
}

int bounce_pool_release_quarantine(bounce_pool* pool, uint32_t index) {
    if (pool == nullptr) return negative(null_argument("pool"));
    const auto released = pool->pool->release_quarantine(index);
    return released ? at_most_int(*released) : negative(released.error());
}

int bounce_pool_retire_region(bounce_pool* pool, uint32_t index) {
    if (pool == nullptr) return negative(null_argument("pool"));
    return status(pool->pool->retire_region(RegionId{index}));
}
