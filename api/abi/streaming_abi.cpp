// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bounce/streaming.h. No check for a forked child here: the pool makes it in every operation on a slot.
#include "bounce/streaming.h"

#include <algorithm>
#include <climits>
#include <optional>
#include <span>

#include "api/abi/directions.hpp"
#include "api/abi/handles.hpp"
#include "api/abi/options.hpp"
#include "api/dma/call_site.hpp"

using namespace bounce;
using namespace bounce::abi;

namespace {

constexpr std::size_t kFirstOptions = offsetof(bounce_map_options, reserved) + sizeof(std::uint32_t);

Result<bounce_map_options> read_map_options(const bounce_map_options* given) noexcept {
    bounce_map_options options{};
    if (given == nullptr) return options;
    if (const auto read = read_options(given, kFirstOptions, "options", options); !read) return read.error();
    if (const auto good = must_be_zero(options.reserved, "options.reserved"); !good) return good.error();
    return options;
}

/// It is written to, so it has to be of this version.
Result<void> check_list(const bounce_list* list) noexcept {
    if (list == nullptr) return null_argument("list");
    if (list->size == sizeof *list) return {};
    return fail(EINVAL, "list.size is %llu, expected %llu: set it to sizeof the struct", list->size, sizeof *list);
}

/// Who calls, for the reports of a device that is watched.
class Caller {
public:
    Caller(const bounce_device& device, const void* at, const char* function) noexcept {
        if (device.device->watched()) [[unlikely]]
            site_.emplace(at, function);
    }

private:
    std::optional<CallSiteScope> site_;
};

int sync_list(bounce_device* device, const bounce_list* list, size_t offset, size_t bytes, int direction,
              bool for_cpu) noexcept {
    if (device == nullptr) return negative(null_argument("device"));
    if (const auto good = check_list(list); !good) return status(good);
    const auto known = read_direction(direction);
    if (!known) return negative(known.error());
    return status(device->device->sync_list(*list, offset, bytes, *known, for_cpu));
}

}  // namespace

int bounce_device_map_with(bounce_device* device, void* buf, size_t bytes, int direction,
                           const bounce_map_options* options, bounce_mapping* mapping) {
    if (mapping == nullptr) return negative(null_argument("mapping"));
    *mapping = bounce_mapping{};
    if (device == nullptr) return negative(null_argument("device"));
    const auto known = read_direction(direction);
    if (!known) return negative(known.error());
    const auto wanted = read_map_options(options);
    if (!wanted) return negative(wanted.error());
    const Caller caller(*device, __builtin_return_address(0), "bounce_device_map_with");
    return status(device->device->map_aligned(buf, bytes, *known, wanted->flags, wanted->align, *mapping));
}

uint64_t bounce_device_max_mapping(bounce_device* device) {
    return device != nullptr ? device->device->max_mapping() : 0;
}

int bounce_device_unmap_bulk(bounce_device* device, bounce_mapping* mappings, const size_t* written, size_t n) {
    if (device == nullptr) return negative(null_argument("device"));
    if (mappings == nullptr) return negative(null_argument("mappings"));
    if (written == nullptr) return negative(null_argument("written"));
    const Caller caller(*device, __builtin_return_address(0), "bounce_device_unmap_bulk");
    return status(device->device->unmap_bulk(std::span(mappings, n), written));
}

int bounce_device_map_list(bounce_device* device, const bounce_sg* sg, size_t n, int direction,
                           const bounce_map_options* options, bounce_list* list) {
    if (const auto good = check_list(list); !good) return status(good);
    list->n_mappings = list->n_segments = 0;
    list->bytes = 0;
    if (device == nullptr) return negative(null_argument("device"));
    if (sg == nullptr) return negative(null_argument("sg"));
    const auto known = read_direction(direction);
    if (!known) return negative(known.error());
    const auto wanted = read_map_options(options);
    if (!wanted) return negative(wanted.error());
    const auto mapped = device->device->map_list(std::span(sg, n), *known, wanted->flags, wanted->align, *list);
    if (!mapped) return status(mapped);
    return static_cast<int>(std::min<std::size_t>(list->n_segments, INT_MAX));
}

int bounce_device_unmap_list(bounce_device* device, bounce_list* list, size_t written) {
    if (device == nullptr) return negative(null_argument("device"));
    if (const auto good = check_list(list); !good) return status(good);
    return status(device->device->unmap_list(*list, written));
}

int bounce_device_sync_list_for_cpu(bounce_device* device, const bounce_list* list, size_t offset, size_t bytes,
                                    int direction) {
    return sync_list(device, list, offset, bytes, direction, true);
}

int bounce_device_sync_list_for_device(bounce_device* device, const bounce_list* list, size_t offset, size_t bytes,
                                       int direction) {
    return sync_list(device, list, offset, bytes, direction, false);
}
