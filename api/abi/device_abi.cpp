// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include <climits>

#include "allocator/base/bits.hpp"
#include "api/abi/handles.hpp"
#include "api/abi/options.hpp"
#include "api/abi/policy_options.hpp"
#include "api/abi/watch.hpp"
#include "api/dma/call_site.hpp"

using namespace bounce;
using namespace bounce::abi;

namespace {

constexpr std::size_t kFirstDeviceOptions = offsetof(bounce_device_options, reserved) + sizeof(std::uint32_t);

constexpr std::uint32_t kDeviceFlags =
    BOUNCE_DEVICE_NODE | BOUNCE_DEVICE_NUMA_POLICY | BOUNCE_DEVICE_RECORDS | BOUNCE_DEVICE_DEBUG;
constexpr std::uint64_t kLeastWindow = 4096;
constexpr std::uint64_t kWindowPart = 8;

constexpr std::uint64_t limit_or_none(std::uint64_t value) noexcept {
    return value != 0 ? value : ~std::uint64_t{0};
}

Result<void> read_numa_options(const bounce_device_options& options, DeviceConfig& config) noexcept {
    if ((options.flags & BOUNCE_DEVICE_NODE) != 0) {
        if (options.node > INT_MAX) return fail(EINVAL, "options.node is %llu, expected a NUMA node", options.node);
        config.node = NodeId{static_cast<std::int32_t>(options.node)};
    } else if (options.node != 0) {
        return fail(EINVAL, "options.node is %llu without BOUNCE_DEVICE_NODE, must be 0", options.node);
    }
    if ((options.flags & BOUNCE_DEVICE_NUMA_POLICY) != 0) {
        const auto policy = read_numa_policy(options.numa_policy, "options.numa_policy");
        if (!policy) return policy.error();
        config.numa_policy = *policy;
    } else if (options.numa_policy != 0) {
        return fail(EINVAL, "options.numa_policy is %llu without BOUNCE_DEVICE_NUMA_POLICY, must be 0",
                    options.numa_policy);
    }
    return {};
}

Result<void> check_policies(const bounce_device_options& options, std::uint64_t pool_bytes) noexcept {
    if (options.copy_policy > BOUNCE_COPY_NONTEMPORAL)
        return fail(EINVAL, "options.copy_policy is %llu, expected 0 (auto), 1 (memcpy) or 2 (nontemporal)",
                    options.copy_policy);
    if (options.reuse_policy > BOUNCE_REUSE_FIFO)
        return fail(EINVAL, "options.reuse_policy is %llu, expected 0 (auto), 1 (lifo), 2 (window) or 3 (fifo)",
                    options.reuse_policy);
    const std::uint64_t window = options.reuse_window_bytes;
    if (window == 0) return {};
    if (options.reuse_policy == BOUNCE_REUSE_LIFO || options.reuse_policy == BOUNCE_REUSE_FIFO)
        return fail(EINVAL, "options.reuse_window_bytes is %llu, but reuse_policy %llu has no window, expected 0",
                    window, options.reuse_policy);
    if (window < kLeastWindow || window > pool_bytes / kWindowPart)
        return fail(EINVAL, "options.reuse_window_bytes is %llu, expected %llu to %llu (1/8 of the pool's %llu bytes)",
                    window, kLeastWindow, pool_bytes / kWindowPart, pool_bytes);
    return {};
}

Result<DeviceLimits> read_limits(const bounce_device_options& options) noexcept {
    const std::uint64_t mask = options.min_align_mask;
    if ((mask & (mask + 1)) != 0 || mask >= kChunkBytes)
        return fail(EINVAL, "options.min_align_mask is 0x%llx, expected a power of two less 1, below 2 MiB", mask);
    const std::uint64_t boundary = options.segment_boundary;
    if (boundary != 0 && (!is_power_of_two(boundary) || boundary < DeviceLimits::kLeastBoundary))
        return fail(EINVAL, "options.segment_boundary is 0x%llx, expected 0 or a power of two from %llu on", boundary,
                    DeviceLimits::kLeastBoundary);
    if (options.scrub_at_map > BOUNCE_SCRUB_ALL || options.scrub_at_unmap > BOUNCE_SCRUB_ALL)
        return fail(EINVAL,
                    "options.scrub_at_map is %llu and scrub_at_unmap %llu, expected 0 (none), 1 (tail) or 2 (all)",
                    options.scrub_at_map, options.scrub_at_unmap);
    if (const auto good = must_be_zero(options.reserved2, "options.reserved2"); !good) return good.error();
    return DeviceLimits{.min_align_mask = mask,
                        .segment_boundary = boundary,
                        .max_segments = options.max_segments,
                        .scrub_at_map = Scrub{options.scrub_at_map},
                        .scrub_at_unmap = Scrub{options.scrub_at_unmap}};
}

}  // namespace

namespace bounce::abi {

Result<DeviceConfig> read_device_options(const bounce_device_options* given, std::uint64_t pool_bytes,
                                         std::uint32_t encoding, bounce_device_options& options) noexcept {
    if (const auto read = read_options(given, kFirstDeviceOptions, "options", options); !read) return read.error();
    if (const auto good = known_flags(options.flags, kDeviceFlags, "options.flags"); !good) return good.error();
    if (const auto good = must_be_zero(options.reserved, "options.reserved"); !good) return good.error();
    if (const auto good = check_policies(options, pool_bytes); !good) return good.error();
    const auto limits = read_limits(options);
    if (!limits) return limits.error();
    const auto name = read_name(options.name, "device", "options.name");
    if (!name) return name.error();
    DeviceConfig config{.name = *name,
                        .dma_mask = limit_or_none(options.dma_mask),
                        .coherent_dma_mask = limit_or_none(options.coherent_dma_mask),
                        .max_segment_bytes = limit_or_none(options.max_segment_bytes),
                        .copy = static_cast<CopyPolicy>(options.copy_policy),
                        .reuse = static_cast<ReusePolicy>(options.reuse_policy),
                        .reuse_window_bytes = options.reuse_window_bytes,
                        .limits = *limits,
                        .regions = options.regions};
    if (const auto good = read_numa_options(options, config); !good) return good.error();
    if (const auto good = read_policy(options, encoding, config); !good) return good.error();
    return config;
}

}  // namespace bounce::abi

int bounce_device_create(bounce_pool* pool, const bounce_device_options* options, bounce_device** device) {
    if (device == nullptr) return negative(null_argument("device"));
    *device = nullptr;
    if (pool == nullptr) return negative(null_argument("pool"));
    if (const auto owner = in_owner(*pool->pool); !owner) return status(owner);
    bounce_device_options known{};
    auto config = read_device_options(options, shared_bytes(*pool->pool), pool->platform.encoding, known);
    if (!config) return negative(config.error());
    DebugConfig debug;
    if (auto watch = read_watch_options(*pool, known, *config, debug); !watch) return status(watch);
    auto inner = Device::create(*pool->pool, pool->callbacks, *config);
    if (!inner) return negative(inner.error());
    *device = new (std::nothrow) bounce_device(std::move(*inner));
    if (*device == nullptr) return negative(fail(ENOMEM, "no memory for a device's handle"));
    if ((*device)->device->watched()) begin_watch(*pool, **device);
    return 0;
}

int bounce_device_destroy(bounce_device* device) {
    if (device == nullptr) return 0;
    if (const auto owner = in_owner(device->device->pool()); !owner) return status(owner);
    if (device->owned == nullptr)
        return negative(fail(EBUSY, "the device belongs to a front-end; bounce_frontend_close() ends it"));
    const std::uint64_t mappings = device->device->outstanding_mappings();
    const std::uint64_t blocks = device->device->outstanding_blocks();
    if (const std::uint64_t waits = device->device->outstanding_waits(); waits != 0)
        return negative(
            fail(EBUSY,
                 "%llu waits of the device have not ended, expected none (bounce_device_cancel_waits() ends "
                 "those in line)",
                 waits));
    if (mappings != 0 || blocks != 0) {
        if (Debug* const debug = device->device->debug()) {
            const CallSiteScope site(__builtin_return_address(0), "bounce_device_destroy");
            debug->report_leaks();
        }
        return negative(fail(EBUSY,
                             "%llu mappings and %llu blocks (coherent memory, buffers, rings) of the device exist, "
                             "expected none",
                             mappings, blocks));
    }
    end_watch(*device);
    delete device;
    return 0;
}
