// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The streaming API. No check for a forked child here: the pool makes it in every operation on a slot.
#include <span>

#include "api/abi/directions.hpp"
#include "api/abi/handles.hpp"
#include "api/dma/call_site.hpp"
#include "api/dma/device_fast.hpp"

using namespace bounce;
using namespace bounce::abi;

namespace {

[[gnu::cold, gnu::noinline]] int map_long(bounce_device& device, void* buf, size_t bytes, int direction, uint32_t flags,
                                          bounce_mapping& mapping, const void* caller) noexcept {
    const auto known = read_direction(direction);
    if (!known) return negative(known.error());
    const CallSiteScope site(caller, "bounce_device_map");
    return status(device.device->map_watching(buf, bytes, *known, flags, mapping));
}

[[gnu::cold, gnu::noinline]] int unmap_long(bounce::Device& device, bounce_mapping& mapping, size_t written,
                                            const void* caller) noexcept {
    const CallSiteScope site(caller, "bounce_device_unmap");
    return status(device.unmap(device.context(), mapping, written));
}

[[gnu::cold, gnu::noinline]] int sync_long(bounce_device& device, const bounce_mapping& mapping, size_t offset,
                                           size_t bytes, int direction, bool for_cpu, const void* caller) noexcept {
    const auto known = read_direction(direction);
    if (!known) return negative(known.error());
    bounce::Device& dma = *device.device;
    const CallSiteScope site(caller, for_cpu ? "bounce_device_sync_for_cpu" : "bounce_device_sync_for_device");
    return status(for_cpu ? dma.sync_for_cpu(mapping, offset, bytes, *known)
                          : dma.sync_for_device(mapping, offset, bytes, *known));
}

[[gnu::cold, gnu::noinline]] int map_list_long(bounce_device& device, std::span<const bounce_sg> sg, int direction,
                                               uint32_t flags, bounce_mapping* mappings, const void* caller) noexcept {
    const auto known = read_direction(direction);
    if (!known) return negative(known.error());
    const CallSiteScope site(caller, "bounce_device_map_sg");
    return status(device.device->map_sg(sg, *known, flags, mappings));
}

[[gnu::cold, gnu::noinline]] int unmap_list_long(bounce_device& device, std::span<bounce_mapping> mappings,
                                                 size_t written, const void* caller) noexcept {
    const CallSiteScope site(caller, "bounce_device_unmap_sg");
    return status(device.device->unmap_sg(mappings, written));
}

}  // namespace

int bounce_device_map(bounce_device* device, void* buf, size_t bytes, int direction, uint32_t flags,
                      bounce_mapping* mapping) {
    if (mapping == nullptr) return negative(null_argument("mapping"));
    if (device == nullptr) return negative(null_argument("device"));
    // One comparison for directions that there are not, and for a device that is watched.
    if (static_cast<unsigned>(direction) >= device->directions) [[unlikely]]
        return map_long(*device, buf, bytes, direction, flags, *mapping, __builtin_return_address(0));
    bounce::Device& dma = *device->device;
    return status(dma.map(dma.context_here(), buf, bytes, static_cast<Direction>(direction), flags, *mapping));
}

int bounce_device_unmap(bounce_device* device, bounce_mapping* mapping, size_t written) {
    if (device == nullptr) return negative(null_argument("device"));
    if (mapping == nullptr) return negative(null_argument("mapping"));
    bounce::Device& dma = *device->device;
    if (!dma.good_token(*mapping)) [[unlikely]]
        return unmap_long(dma, *mapping, written, __builtin_return_address(0));
    return status(dma.end_good(dma.context_here(), *mapping, written));
}

int bounce_device_sync_for_cpu(bounce_device* device, const bounce_mapping* mapping, size_t offset, size_t bytes,
                               int direction) {
    if (device == nullptr) return negative(null_argument("device"));
    if (mapping == nullptr) return negative(null_argument("mapping"));
    if (static_cast<unsigned>(direction) >= device->directions) [[unlikely]]
        return sync_long(*device, *mapping, offset, bytes, direction, true, __builtin_return_address(0));
    return status(device->device->sync_for_cpu(*mapping, offset, bytes, static_cast<Direction>(direction)));
}

int bounce_device_sync_for_device(bounce_device* device, const bounce_mapping* mapping, size_t offset, size_t bytes,
                                  int direction) {
    if (device == nullptr) return negative(null_argument("device"));
    if (mapping == nullptr) return negative(null_argument("mapping"));
    if (static_cast<unsigned>(direction) >= device->directions) [[unlikely]]
        return sync_long(*device, *mapping, offset, bytes, direction, false, __builtin_return_address(0));
    return status(device->device->sync_for_device(*mapping, offset, bytes, static_cast<Direction>(direction)));
}

int bounce_device_map_sg(bounce_device* device, const bounce_sg* sg, size_t n, int direction, uint32_t flags,
                         bounce_mapping* mappings) {
    if (device == nullptr) return negative(null_argument("device"));
    if (sg == nullptr) return negative(null_argument("sg"));
    if (mappings == nullptr) return negative(null_argument("mappings"));
    if (static_cast<unsigned>(direction) >= device->directions) [[unlikely]]
        return map_list_long(*device, std::span(sg, n), direction, flags, mappings, __builtin_return_address(0));
    return status(device->device->map_sg(std::span(sg, n), static_cast<Direction>(direction), flags, mappings));
}

int bounce_device_unmap_sg(bounce_device* device, bounce_mapping* mappings, size_t n, size_t written) {
    if (device == nullptr) return negative(null_argument("device"));
    if (mappings == nullptr) return negative(null_argument("mappings"));
    // One comparison a list, which nothing else here has to make.
    if (device->directions == 0) [[unlikely]]
        return unmap_list_long(*device, std::span(mappings, n), written, __builtin_return_address(0));
    return status(device->device->unmap_sg(std::span(mappings, n), written));
}
