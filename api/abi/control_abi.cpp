// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "bounce/control.h"

#include <unistd.h>
#include <cstdio>

#include "api/abi/handles.hpp"
#include "api/abi/options.hpp"
#include "api/control/control_server.hpp"

using namespace bounce;
using namespace bounce::abi;

struct bounce_control {
    bounce_pool& pool;
    std::unique_ptr<ControlServer> server;
};

namespace {

constexpr std::size_t kFirstControlOptions = sizeof(bounce_control_options);
constexpr std::uint32_t kControlFlags = BOUNCE_CONTROL_READ_ONLY | BOUNCE_CONTROL_NO_TAGS;
constexpr std::uint32_t kLeastMs = 10;
constexpr std::uint32_t kMostMs = 60000;
constexpr std::uint32_t kDefaultMs = 250;

Result<void> read_text(const char* given, std::span<char> room, const char* what) noexcept {
    if (given == nullptr) return {};
    if (strnlen(given, room.size()) == room.size())
        return fail_text(EINVAL, "%s is longer than %zu bytes", what, room.size() - 1);
    std::snprintf(room.data(), room.size(), "%s", given);
    return {};
}

Result<ControlConfig> read_control_options(const bounce_pool& pool, const bounce_control_options* given,
                                           bounce_control_options& options) noexcept {
    if (const auto read = read_options(given, kFirstControlOptions, "options", options); !read) return read.error();
    if (const auto good = known_flags(options.flags, kControlFlags, "options.flags"); !good) return good.error();
    if (const auto good = must_be_zero(options.reserved, "options.reserved"); !good) return good.error();
    if (options.listen_fd_plus_one < 0)
        return fail_text(EINVAL, "options.listen_fd_plus_one is %d, expected 0 or a descriptor + 1",
                         options.listen_fd_plus_one);
    if (options.path != nullptr && options.listen_fd_plus_one != 0)
        return fail(EINVAL, "options.path and options.listen_fd_plus_one are both set, expected one of them");
    if (options.path != nullptr && strnlen(options.path, kMostSocketPath + 1) > kMostSocketPath)
        return fail(EINVAL, "options.path is longer than %llu bytes", kMostSocketPath);
    if (options.publish_ms != 0 && (options.publish_ms < kLeastMs || options.publish_ms > kMostMs))
        return fail(EINVAL, "options.publish_ms is %llu, expected 0 or %llu to %llu", options.publish_ms, kLeastMs,
                    kMostMs);
    ControlConfig config;
    config.path = options.path;
    config.listen_fd = options.listen_fd_plus_one - 1;
    config.read_only = (options.flags & BOUNCE_CONTROL_READ_ONLY) != 0;
    config.tags = (options.flags & BOUNCE_CONTROL_NO_TAGS) == 0;
    config.publish_ms = options.publish_ms != 0 ? options.publish_ms : kDefaultMs;
    std::snprintf(config.names.pool, sizeof config.names.pool, "%s", pool.name);
    if (auto good = read_text(options.vm_name, config.names.vm_name, "options.vm_name"); !good) return good.error();
    if (auto good = read_text(options.vm_uuid, config.names.vm_uuid, "options.vm_uuid"); !good) return good.error();
    return config;
}

}  // namespace

int bounce_control_create(bounce_pool* pool, const bounce_control_options* given, bounce_control** control) {
    if (control == nullptr) return negative(null_argument("control"));
    *control = nullptr;
    if (pool == nullptr) return negative(null_argument("pool"));
    if (const auto owner = in_owner(*pool->pool); !owner) return status(owner);
    bounce_control_options options{};
    const auto config = read_control_options(*pool, given, options);
    if (!config) {
        if (options.listen_fd_plus_one > 0) ::close(options.listen_fd_plus_one - 1);
        return negative(config.error());
    }
    if (pool->controls.exchange(true, std::memory_order_relaxed)) {
        if (config->listen_fd >= 0) ::close(config->listen_fd);
        return negative(fail(EBUSY, "the pool has a control, expected none"));
    }
    auto server = ControlServer::create(*pool->pool, pool->callbacks, *config);
    std::unique_ptr<bounce_control> made;
    if (server) made.reset(new (std::nothrow) bounce_control{*pool, std::move(*server)});
    if (made == nullptr) {
        pool->controls.store(false, std::memory_order_relaxed);
        return negative(server ? fail(ENOMEM, "no memory for a control's handle") : server.error());
    }
    *control = made.release();
    return 0;
}

int bounce_control_destroy(bounce_control* control) {
    if (control == nullptr) return 0;
    bounce_pool& pool = control->pool;
    delete control;
    pool.controls.store(false, std::memory_order_relaxed);
    return 0;
}

int bounce_control_fd(const bounce_control* control) {
    return control != nullptr ? control->server->fd() : negative(null_argument("control"));
}

int bounce_control_process(bounce_control* control) {
    if (control == nullptr) return negative(null_argument("control"));
    const auto more = control->server->process();
    return more ? (*more ? 1 : 0) : negative(more.error());
}

int bounce_control_publish(bounce_control* control) {
    if (control == nullptr) return negative(null_argument("control"));
    if (const auto owner = in_owner(*control->pool.pool); !owner) return status(owner);
    control->server->publish();
    return 0;
}

int bounce_control_stats_fd(const bounce_control* control) {
    return control != nullptr ? control->server->stats_fd() : negative(null_argument("control"));
}

const char* bounce_control_path(const bounce_control* control) {
    return control != nullptr ? control->server->path() : "";
}
