// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/abi/watch.hpp"

#include "api/abi/options.hpp"
#include "api/dma/call_site.hpp"
#include "bounce/debug.h"
#include "bounce/records.h"

using namespace bounce;
using namespace bounce::abi;

namespace bounce::abi {

Result<Records*> records_of(bounce_pool& pool) noexcept {
    const std::lock_guard lock(pool.watch_lock);
    if (pool.records == nullptr) {
        auto made = Records::create(*pool.pool);
        if (!made) return made.error();
        pool.records = std::move(*made);
    }
    return pool.records.get();
}

Result<void> read_watch_options(bounce_pool& pool, const bounce_device_options& options, DeviceConfig& config,
                                DebugConfig& debug) noexcept {
    if ((options.flags & BOUNCE_DEVICE_DEBUG) != 0) {
        bounce_debug_options given{};
        if (options.debug != nullptr) {
            if (auto read = read_options(options.debug, sizeof given, "options.debug", given); !read) return read;
            if (auto good = must_be_zero(given.reserved, "options.debug.reserved"); !good) return good;
        }
        debug = {.report = given.report, .user = given.user, .sample = given.sample != 0 ? given.sample : 1};
        config.debug = &debug;
    } else if (options.debug != nullptr) {
        return fail(EINVAL, "options.debug is not NULL without BOUNCE_DEVICE_DEBUG");
    }
    if ((options.flags & BOUNCE_DEVICE_RECORDS) == 0) return {};
    const auto records = records_of(pool);
    if (!records) return records.error();
    config.records = *records;
    return {};
}

void begin_watch(bounce_pool& pool, bounce_device& device) noexcept {
    device.directions = 0;
    device.pool = &pool;
    Debug* const debug = device.device->debug();
    if (debug == nullptr) return;
    const std::lock_guard lock(pool.watch_lock);
    debug->next = pool.debugged;
    pool.debugged = debug;
    pool.n_debugged.fetch_add(1, std::memory_order_relaxed);
}

void end_watch(bounce_device& device) noexcept {
    if (device.pool == nullptr || device.device->debug() == nullptr) return;
    const std::lock_guard lock(device.pool->watch_lock);
    Debug** at = &device.pool->debugged;
    while (*at != device.device->debug()) at = &(*at)->next;
    *at = (*at)->next;
    device.pool->n_debugged.fetch_sub(1, std::memory_order_relaxed);
}

bool mapped_by_debugged(bounce_pool& pool, Gpa gpa, std::uint64_t bytes, const void* caller) noexcept {
    // Relaxed: whoever has mapped with such a device in this thread, or told it, sees that there is one.
    if (pool.n_debugged.load(std::memory_order_relaxed) == 0) return false;
    const auto address = pool.pool->to_address(gpa, bytes);
    if (!address) return false;
    const CallSiteScope site(caller, "bounce_pool_gpa_to_hva");
    const std::lock_guard lock(pool.watch_lock);
    for (Debug* debug = pool.debugged; debug != nullptr; debug = debug->next) {
        if (debug->peeked(address->value, bytes)) return true;
    }
    return false;
}

}  // namespace bounce::abi

namespace {

/// Where the device is debugged.
Result<Debug*> debug_of(bounce_device* device) noexcept {
    if (device == nullptr) return null_argument("device");
    if (const auto owner = in_owner(device->device->pool()); !owner) return owner.error();
    if (device->device->debug() == nullptr) return fail(ENOTSUP, "the device was created without BOUNCE_DEVICE_DEBUG");
    return device->device->debug();
}

}  // namespace

int bounce_device_unmap_addr(bounce_device* device, uint64_t addr, size_t bytes, int direction, size_t written) {
    if (device == nullptr) return negative(null_argument("device"));
    if (direction < BOUNCE_ANY_DIRECTION || direction > BOUNCE_FROM_DEVICE)
        return negative(fail(EINVAL, "direction is %lld, expected -1 (any), 0 (bidirectional), 1 (to_device) or 2",
                             static_cast<std::uint64_t>(direction)));
    std::optional<Direction> stated;
    if (direction != BOUNCE_ANY_DIRECTION) stated = static_cast<Direction>(direction);
    const CallSiteScope site(__builtin_return_address(0), "bounce_device_unmap_addr");
    return status(device->device->unmap_addr(Gpa{addr}, bytes, stated, written));
}

int bounce_device_lookup(bounce_device* device, uint64_t addr, bounce_record* record, bounce_mapping* mapping) {
    if (record == nullptr) return negative(null_argument("record"));
    *record = bounce_record{};
    bounce_mapping unused;
    bounce_mapping& token = mapping != nullptr ? *mapping : unused;
    token = bounce_mapping{};
    if (device == nullptr) return negative(null_argument("device"));
    return status(device->device->lookup(Gpa{addr}, *record, token));
}

int bounce_device_peek(bounce_device* device, uint64_t addr, size_t bytes, const void** view) {
    if (view == nullptr) return negative(null_argument("view"));
    *view = nullptr;
    if (device == nullptr) return negative(null_argument("device"));
    const CallSiteScope site(__builtin_return_address(0), "bounce_device_peek");
    const auto seen = device->device->peek(Gpa{addr}, bytes);
    if (!seen) return negative(seen.error());
    *view = *seen;
    return 0;
}

const char* bounce_debug_kind_name(int kind) {
    return debug_kind_name(kind);
}

int bounce_debug_set_tag(const char* tag) {
    set_call_tag(tag);
    return 0;
}

int bounce_debug_get_stats(bounce_device* device, bounce_debug_stats* stats) {
    if (stats == nullptr) return negative(null_argument("stats"));
    *stats = bounce_debug_stats{};
    const auto debug = debug_of(device);
    if (!debug) return negative(debug.error());
    *stats = (*debug)->stats();
    return 0;
}

int bounce_debug_visit(bounce_device* device, bounce_debug_fn visit, void* user) {
    if (visit == nullptr) return negative(null_argument("visit"));
    const auto debug = debug_of(device);
    if (!debug) return negative(debug.error());
    return static_cast<int>((*debug)->visit(visit, user));
}
