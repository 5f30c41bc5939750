// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include <algorithm>

#include "api/abi/frontend_handle.hpp"
#include "api/abi/options.hpp"
#include "api/abi/policy_options.hpp"
#include "api/abi/watch.hpp"
#include "api/dma/call_site.hpp"
#include "bounce/policy.h"

using namespace bounce;
using namespace bounce::abi;
using bounce::vhost::Frontend;
using bounce::vhost::FrontendConfig;

namespace {

constexpr std::size_t kFirstFrontendOptions =
    offsetof(bounce_frontend_options, max_segment_bytes) + sizeof(std::uint64_t);
constexpr std::uint32_t kFrontendFlags = BOUNCE_FRONTEND_CALLS | BOUNCE_FRONTEND_TRUSTED;

/// Fail closed: such a platform needs what is negotiated only where addresses are translated.
Result<void> check_platform(const bounce_platform& platform, bool translated) noexcept {
    if (!translated && (platform.flags & BOUNCE_PLATFORM_NEEDS_ACCESS_PLATFORM) != 0)
        return fail(
            ENOTSUP,
            "the pool's platform needs VIRTIO_F_ACCESS_PLATFORM, which the front-end negotiates only with a policy "
            "of IOVAs");
    if ((platform.flags & BOUNCE_PLATFORM_OWN_MEMORY) != 0)
        return fail(ENOTSUP, "the pool's platform shares other memory than that of the pool's descriptors");
    return {};
}

/// What the options say of the device; the front-end has its name, policy and regions itself.
Result<void> read_own_device(bounce_pool& pool, const bounce_device_options* given, FrontendConfig& config,
                             DebugConfig& debug) noexcept {
    if (given == nullptr) return {};
    bounce_device_options known{};
    auto device = read_device_options(given, shared_bytes(*pool.pool), pool.platform.encoding, known);
    if (!device) return device.error();
    if (known.name != nullptr || known.regions != 0 || known.policy != nullptr || known.translate != nullptr)
        return fail(EINVAL,
                    "options.device has a name, regions, a policy or a translation, expected none: a front-end has "
                    "its own name and policy, and its device all regions that the back-end is shown");
    if (auto watch = read_watch_options(pool, known, *device, debug); !watch) return watch;
    config.device = *device;
    return {};
}

Result<FrontendConfig> read_frontend_options(bounce_pool& pool, const bounce_frontend_options* given,
                                             DebugConfig& debug) noexcept {
    const bounce_platform& platform = pool.platform;
    bounce_frontend_options options{};
    if (const auto read = read_options(given, kFirstFrontendOptions, "options", options); !read) return read.error();
    if (const auto good = known_flags(options.flags, kFrontendFlags, "options.flags"); !good) return good.error();
    if (options.socket_path == nullptr) return null_argument("options.socket_path");
    FrontendConfig config;
    const auto name = read_name(options.name, config.name, "options.name");
    if (!name) return name.error();
    config.name = *name;
    config.socket_path = options.socket_path;
    config.features = {options.required_features, options.wanted_features, options.refused_features};
    if (options.queues > vhost::kMaxQueues)
        return fail(EINVAL, "options.queues is %llu, expected at most %llu", options.queues, vhost::kMaxQueues);
    if (options.queues != 0) config.queues = options.queues;
    if (options.queue_size != 0) config.queue_size = options.queue_size;
    if (options.timeout_ms != 0) config.timeout_ms = options.timeout_ms;
    if (const auto own = read_own_device(pool, options.device, config, debug); !own) return own.error();
    const auto narrow = [](std::uint64_t& limit, std::uint64_t other) { limit = std::min(limit, other); };
    if (options.max_segment_bytes != 0) narrow(config.device.max_segment_bytes, options.max_segment_bytes);
    const auto translated = read_frontend_policy(options.policy, platform.encoding);
    if (!translated) return translated.error();
    config.features.translated = *translated;
    if (options.policy != nullptr) {
        narrow(config.device.dma_mask, options.policy->dma_mask);
        narrow(config.device.coherent_dma_mask, options.policy->coherent_dma_mask);
    }
    if (const auto good = check_platform(platform, *translated); !good) return good.error();
    config.device_type = options.device_type;
    config.max_chain = options.max_chain;
    config.calls = (options.flags & BOUNCE_FRONTEND_CALLS) != 0;
    config.trusted = (options.flags & BOUNCE_FRONTEND_TRUSTED) != 0;
    return config;
}

}  // namespace

int bounce_frontend_connect(bounce_pool* pool, const bounce_frontend_options* options, bounce_frontend** frontend) {
    if (frontend == nullptr) return negative(null_argument("frontend"));
    *frontend = nullptr;
    if (pool == nullptr) return negative(null_argument("pool"));
    if (const auto owner = in_owner(*pool->pool); !owner) return status(owner);
    DebugConfig debug;
    const auto config = read_frontend_options(*pool, options, debug);
    if (!config) return negative(config.error());
    // Memory for the handles first: a connection that was made has nothing left to fail.
    std::unique_ptr<bounce_frontend> handle(new (std::nothrow) bounce_frontend);
    if (handle != nullptr) handle->rings.reset(new (std::nothrow) std::optional<bounce_ring>[config->queues]);
    if (handle == nullptr || handle->rings == nullptr)
        return negative(fail(ENOMEM, "no memory for a front-end's handles"));
    auto connected = Frontend::connect(*pool->pool, pool->callbacks, *config);
    if (!connected) return negative(connected.error());
    handle->frontend = std::move(*connected);
    handle->device.emplace(handle->frontend->device());
    for (std::uint32_t i = 0; i < config->queues; ++i) {
        handle->rings[i].emplace(handle->frontend->ring(i), *handle->frontend);
    }
    if (handle->device->device->watched()) begin_watch(*pool, *handle->device);
    *frontend = handle.release();
    return 0;
}

int bounce_frontend_close(bounce_frontend* frontend) {
    if (frontend == nullptr) return 0;
    if (const auto good = usable(frontend); !good) return status(good);
    const auto closed = frontend->frontend->close();
    if (closed.code() == EBUSY) {
        if (Debug* const debug = frontend->device->device->debug()) {
            const CallSiteScope site(__builtin_return_address(0), "bounce_frontend_close");
            debug->report_leaks(true);
        }
        return status(closed);
    }
    end_watch(*frontend->device);
    delete frontend;
    return status(closed);
}

int bounce_frontend_get_info(bounce_frontend* frontend, bounce_frontend_info* info) {
    if (const auto good = usable(frontend); !good) return status(good);
    if (info == nullptr) return negative(null_argument("info"));
    *info = frontend->frontend->info();
    return 0;
}

bounce_device* bounce_frontend_device(bounce_frontend* frontend) {
    return frontend == nullptr ? nullptr : &*frontend->device;
}

bounce_ring* bounce_frontend_ring(bounce_frontend* frontend, uint32_t queue) {
    if (frontend == nullptr || queue >= frontend->frontend->queues()) return nullptr;
    return &*frontend->rings[queue];
}

int bounce_frontend_read_config(bounce_frontend* frontend, uint32_t offset, void* out, size_t bytes) {
    return on(frontend, [=](Frontend& it) { return it.read_config(offset, out, bytes); });
}

int bounce_frontend_write_config(bounce_frontend* frontend, uint32_t offset, const void* in, size_t bytes) {
    return on(frontend, [=](Frontend& it) { return it.write_config(offset, in, bytes); });
}

int bounce_frontend_submit(bounce_frontend* frontend, uint32_t queue) {
    return on(frontend, [=](Frontend& it) { return it.submit(queue); });
}

int bounce_frontend_kick(bounce_frontend* frontend, uint32_t queue) {
    return on(frontend, [=](Frontend& it) { return it.kick(queue); });
}

int bounce_frontend_wait(bounce_frontend* frontend, uint32_t queue, uint32_t timeout_ms) {
    return on(frontend, [=](Frontend& it) { return it.wait(queue, timeout_ms); });
}

int bounce_frontend_check(bounce_frontend* frontend) {
    return on(frontend, [](Frontend& it) { return it.check(); });
}

int bounce_frontend_sync_regions(bounce_frontend* frontend) {
    return on(frontend, [](Frontend& it) { return it.sync_regions(); });
}

int bounce_frontend_stop_queue(bounce_frontend* frontend, uint32_t queue) {
    return on(frontend, [=](Frontend& it) { return it.stop_queue(queue); });
}

int bounce_frontend_start_queue(bounce_frontend* frontend, uint32_t queue) {
    return on(frontend, [=](Frontend& it) { return it.start_queue(queue); });
}

int bounce_frontend_disconnect(bounce_frontend* frontend) {
    return on(frontend, [](Frontend& it) { return it.disconnect(); });
}

int bounce_frontend_reconnect(bounce_frontend* frontend) {
    return on(frontend, [](Frontend& it) { return it.reconnect(); });
}
