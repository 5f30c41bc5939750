// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The streaming API. No check for a forked child here: the pool makes it in every operation on a slot.
#include <span>

#include "api/abi/directions.hpp"
#include "api/abi/handles.hpp"
#include "api/dma/device_fast.hpp"

using namespace bounce;
using namespace bounce::abi;

int bounce_device_map(bounce_device* device, void* buf, size_t bytes, int direction, uint32_t flags,
                      bounce_mapping* mapping) {
    if (mapping == nullptr) return negative(null_argument("mapping"));
    if (device == nullptr) return negative(null_argument("device"));
    const auto known = read_direction(direction);
    if (!known) return negative(known.error());
    return status(device->device->map(buf, bytes, *known, flags, *mapping));
}

int bounce_device_unmap(bounce_device* device, bounce_mapping* mapping, size_t written) {
    if (device == nullptr) return negative(null_argument("device"));
    if (mapping == nullptr) return negative(null_argument("mapping"));
    bounce::Device& dma = *device->device;
    return status(dma.end(dma.context(), *mapping, written));
}

int bounce_device_sync_for_cpu(bounce_device* device, const bounce_mapping* mapping, size_t offset, size_t bytes,
                               int direction) {
    if (device == nullptr) return negative(null_argument("device"));
    if (mapping == nullptr) return negative(null_argument("mapping"));
    const auto known = read_direction(direction);
    if (!known) return negative(known.error());
    return status(device->device->sync_for_cpu(*mapping, offset, bytes, *known));
}

int bounce_device_sync_for_device(bounce_device* device, const bounce_mapping* mapping, size_t offset, size_t bytes,
                                  int direction) {
    if (device == nullptr) return negative(null_argument("device"));
    if (mapping == nullptr) return negative(null_argument("mapping"));
    const auto known = read_direction(direction);
    if (!known) return negative(known.error());
    return status(device->device->sync_for_device(*mapping, offset, bytes, *known));
}

int bounce_device_map_sg(bounce_device* device, const bounce_sg* sg, size_t n, int direction, uint32_t flags,
                         bounce_mapping* mappings) {
    if (device == nullptr) return negative(null_argument("device"));
    if (sg == nullptr) return negative(null_argument("sg"));
    if (mappings == nullptr) return negative(null_argument("mappings"));
    const auto known = read_direction(direction);
    if (!known) return negative(known.error());
    return status(device->device->map_sg(std::span(sg, n), *known, flags, mappings));
}

int bounce_device_unmap_sg(bounce_device* device, bounce_mapping* mappings, size_t n, size_t written) {
    if (device == nullptr) return negative(null_argument("device"));
    if (mappings == nullptr) return negative(null_argument("mappings"));
    return status(device->device->unmap_sg(std::span(mappings, n), written));
}
