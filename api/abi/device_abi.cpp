// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include <climits>

#include "api/abi/handles.hpp"
#include "api/abi/options.hpp"
#include "api/abi/policy_options.hpp"

using namespace bounce;
using namespace bounce::abi;

namespace {

constexpr std::size_t kFirstVersion = offsetof(bounce_device_options, reserved) + sizeof(std::uint32_t);

constexpr std::uint32_t kFlags = BOUNCE_DEVICE_NODE | BOUNCE_DEVICE_NUMA_POLICY;
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

Result<DeviceConfig> read_device_options(const bounce_device_options* given, std::uint64_t pool_bytes,
                                         std::uint32_t encoding) noexcept {
    bounce_device_options options{};
    if (const auto read = read_options(given, kFirstVersion, "options", options); !read) return read.error();
    if (const auto good = known_flags(options.flags, kFlags, "options.flags"); !good) return good.error();
    if (const auto good = must_be_zero(options.reserved, "options.reserved"); !good) return good.error();
    if (const auto good = check_policies(options, pool_bytes); !good) return good.error();
    const auto name = read_name(options.name, "device", "options.name");
    if (!name) return name.error();
    DeviceConfig config{.name = *name,
                        .dma_mask = limit_or_none(options.dma_mask),
                        .coherent_dma_mask = limit_or_none(options.coherent_dma_mask),
                        .max_segment_bytes = limit_or_none(options.max_segment_bytes),
                        .copy = static_cast<CopyPolicy>(options.copy_policy),
                        .reuse = static_cast<ReusePolicy>(options.reuse_policy),
                        .reuse_window_bytes = options.reuse_window_bytes};
    if (const auto good = read_numa_options(options, config); !good) return good.error();
    if (const auto good = read_policy(options, encoding, config); !good) return good.error();
    return config;
}

}  // namespace

int bounce_device_create(bounce_pool* pool, const bounce_device_options* options, bounce_device** device) {
    if (device == nullptr) return negative(null_argument("device"));
    *device = nullptr;
    if (pool == nullptr) return negative(null_argument("pool"));
    if (const auto owner = in_owner(*pool->pool); !owner) return status(owner);
    const auto config = read_device_options(options, shared_bytes(*pool->pool), pool->platform.encoding);
    if (!config) return negative(config.error());
    auto inner = Device::create(*pool->pool, pool->callbacks, *config);
    if (!inner) return negative(inner.error());
    *device = new (std::nothrow) bounce_device(std::move(*inner));
    return *device != nullptr ? 0 : negative(fail(ENOMEM, "no memory for a device's handle"));
}

int bounce_device_destroy(bounce_device* device) {
    if (device == nullptr) return 0;
    if (const auto owner = in_owner(device->device->pool()); !owner) return status(owner);
    if (device->owned == nullptr)
        return negative(fail(EBUSY, "the device belongs to a front-end; bounce_frontend_close() ends it"));
    const std::uint64_t mappings = device->device->outstanding_mappings();
    const std::uint64_t blocks = device->device->outstanding_blocks();
    if (mappings != 0 || blocks != 0)
        return negative(fail(EBUSY,
                             "%llu mappings and %llu blocks (coherent memory, buffers, rings) of the device exist, "
                             "expected none",
                             mappings, blocks));
    delete device;
    return 0;
}
