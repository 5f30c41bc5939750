// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/control/tunables.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "api/control/tunable_rows.hpp"
#include "api/dma/debug.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kLeastWindow = 4096;

/// The value of an item, if it is among these; back: the one that was there before.
class Wanted {
public:
    Wanted(std::span<const bounce_control_item> items, bool back) noexcept : items_(items), back_(back) {}

    template <class T>
    bool get(const char* name, T& value) const noexcept {
        bool found = false;
        for (const bounce_control_item& item : items_) {
            if (std::strcmp(item.name, name) != 0) continue;
            value = static_cast<T>(back_ ? item.before : item.value);
            found = true;
            if (back_) break;  // the first of several of one name has what was there
        }
        return found;
    }
    template <class T>
    bool get(std::uint32_t device, const char* name, T& value) const noexcept {
        char whole[sizeof bounce_control_item::name];
        std::snprintf(whole, sizeof whole, "device.%u.%s", device, name);
        return get(whole, value);
    }

private:
    std::span<const bounce_control_item> items_;
    bool back_;
};

/// The number in device.N.something; false when it is no such name.
bool device_of(const char* name, std::uint64_t& id, const char*& rest) noexcept {
    constexpr char kPrefix[] = "device.";
    constexpr std::size_t kLength = sizeof kPrefix - 1;
    if (std::strncmp(name, kPrefix, kLength) != 0 || name[kLength] < '0' || name[kLength] > '9') return false;
    char* end = nullptr;
    id = std::strtoull(name + kLength, &end, 10);
    if (*end != '.') return false;
    rest = end + 1;
    return true;
}

Error not_in_range(const bounce_control_tunable& row, std::uint64_t value) noexcept {
    if (row.choices[0] != '\0')
        return fail_text(ERANGE, "%s: %llu, expected %llu to %llu (%s)", row.name,
                         static_cast<unsigned long long>(value), static_cast<unsigned long long>(row.least),
                         static_cast<unsigned long long>(row.most), row.choices);
    return fail_text(ERANGE, "%s: %llu, expected %llu to %llu", row.name, static_cast<unsigned long long>(value),
                     static_cast<unsigned long long>(row.least), static_cast<unsigned long long>(row.most));
}

}  // namespace

std::size_t Tunables::list(std::uint64_t from, std::span<bounce_control_tunable> room, std::uint64_t& total) noexcept {
    std::size_t n = 0;
    total = 0;
    const auto next = [&](auto&& make) {
        if (total++ >= from && n < room.size()) room[n++] = make();
    };
    for (const PoolRow& row : pool_rows()) next([&] { return describe(row, PoolView{pool_, settings_}); });
    telemetry_.visit([&](Device& device) {
        for (const DeviceRow& row : device_rows()) next([&] { return describe(row, device); });
    });
    return n;
}

Result<void> Tunables::check(const bounce_control_item& item, bounce_control_tunable& found) noexcept {
    bool known = false;
    std::uint64_t id = 0;
    const char* rest = nullptr;
    if (device_of(item.name, id, rest)) {
        telemetry_.visit([&](Device& device) {
            for (const DeviceRow& row : device_rows()) {
                if (device.id() != id || std::strcmp(row.name, rest) != 0) continue;
                found = describe(row, device);
                known = true;
            }
        });
    } else {
        for (const PoolRow& row : pool_rows()) {
            if (std::strcmp(row.name, item.name) != 0) continue;
            found = describe(row, PoolView{pool_, settings_});
            known = true;
        }
    }
    if (!known) return fail_text(ENOENT, "%s: there is no such tunable", item.name);
    if (found.live == 0) return fail_text(EPERM, "%s is fixed at creation", item.name);
    if (item.value < found.least || item.value > found.most) return not_in_range(found, item.value);
    return {};
}

Result<void> Tunables::set(std::span<bounce_control_item> items, bool dry_run) noexcept {
    if (items.empty()) return fail(EINVAL, "nothing to set, expected at least one tunable");
    if (settings_.read_only && !dry_run) return fail(EPERM, "this control is read-only");
    for (bounce_control_item& item : items) {
        item.name[sizeof item.name - 1] = '\0';
        bounce_control_tunable row{};
        if (auto good = check(item, row); !good) return good;
        item.before = row.value;
    }
    // Against each other.
    const Wanted wanted(items, false);
    GrowthConfig growth = PoolTuning(pool_).growth();
    wanted.get("pool.low_watermark", growth.low_watermark);
    wanted.get("pool.high_watermark", growth.high_watermark);
    if (growth.high_watermark != 0 && growth.high_watermark < growth.low_watermark)
        return fail(EINVAL, "pool.high_watermark would be %llu, expected 0 or at least the low one, %llu",
                    growth.high_watermark, growth.low_watermark);
    Result<void> quotas;
    telemetry_.visit([&](Device& device) {
        QuotaState quota = device.quota();
        const bool floor = wanted.get(device.id(), "floor_bytes", quota.floor);
        const bool ceiling = wanted.get(device.id(), "ceiling_bytes", quota.ceiling);
        if ((floor || ceiling) && quotas && quota.ceiling != 0 && quota.floor > quota.ceiling)
            quotas = fail(EINVAL, "device.%llu.floor_bytes would be %llu, above the ceiling of %llu", device.id(),
                          quota.floor, quota.ceiling);
    });
    if (!quotas || dry_run) return quotas;
    auto applied = apply(items, false);
    if (!applied) {
        // What fitted a moment ago fits again; the first error stays the last one of this thread in the caller's eyes.
        char why[256];
        std::snprintf(why, sizeof why, "%s", last_error());
        static_cast<void>(apply(items, true));
        return fail_text(applied.code(), "%s", why);
    }
    return {};
}

Result<void> Tunables::apply(std::span<const bounce_control_item> items, bool back) noexcept {
    // What can be refused comes first.
    if (auto done = apply_growth(items, back); !done && !back) return done;
    std::uint64_t reserve = 0;
    if (Wanted(items, back).get("pool.reserve_bytes", reserve)) {
        if (auto done = pool_.set_reserve(reserve); !done && !back) return done;
    }
    if (auto done = apply_devices(items, back); !done && !back) return done;
    return apply_settings(items, back);
}

Result<void> Tunables::apply_growth(std::span<const bounce_control_item> items, bool back) noexcept {
    const Wanted wanted(items, back);
    GrowthConfig growth = PoolTuning(pool_).growth();
    bool any = wanted.get("pool.limit_bytes", growth.limit_bytes);
    any = wanted.get("pool.low_watermark", growth.low_watermark) || any;
    any = wanted.get("pool.high_watermark", growth.high_watermark) || any;
    any = wanted.get("pool.shrink_delay_ms", growth.shrink_delay_ms) || any;
    return any ? PoolTuning(pool_).set_growth(growth) : Result<void>();
}

Result<void> Tunables::apply_devices(std::span<const bounce_control_item> items, bool back) noexcept {
    const Wanted wanted(items, back);
    Result<void> first;
    telemetry_.visit([&](Device& device) {
        if (!first && !back) return;
        const std::uint32_t id = device.id();
        QuotaState quota = device.quota();
        bool any = wanted.get(id, "floor_bytes", quota.floor);
        any = wanted.get(id, "ceiling_bytes", quota.ceiling) || any;
        if (any) {
            if (auto done = device.set_quota(quota.floor, quota.ceiling); !done) first = done;
        }
        if (wanted.get(id, "priority", quota.priority)) device.set_priority(quota.priority);
        Scrub at_map = device.scrub_at_map();
        Scrub at_unmap = device.scrub_at_unmap();
        any = wanted.get(id, "scrub_at_map", at_map);
        any = wanted.get(id, "scrub_at_unmap", at_unmap) || any;
        if (any) device.set_scrub(at_map, at_unmap);
        NumaPolicy numa{};
        if (wanted.get(id, "numa_policy", numa)) device.set_numa_policy(numa);
        std::uint32_t every = 0;
        if (wanted.get(id, "debug_sample", every) && device.debug() != nullptr) device.debug()->set_sample(every);
        Device::Tuned tuned = device.policy();
        any = wanted.get(id, "copy_policy", tuned.copy);
        any = wanted.get(id, "reuse_policy", tuned.reuse) || any;
        any = wanted.get(id, "reuse_window_bytes", tuned.window_bytes) || any;
        if (tuned.window_bytes != 0 && tuned.window_bytes < kLeastWindow) tuned.window_bytes = kLeastWindow;
        if (any) {
            if (auto done = device.set_policy(tuned); !done) first = done;
        }
    });
    return first;
}

Result<void> Tunables::apply_settings(std::span<const bounce_control_item> items, bool back) noexcept {
    const Wanted wanted(items, back);
    std::uint32_t part = 0;
    if (wanted.get("pool.context_part", part)) PoolTuning(pool_).set_context_part(part);
    wanted.get("stats.publish_ms", settings_.publish_ms);
    bool any = wanted.get("who.tags", settings_.tags);
    any = wanted.get("stats.sample", settings_.sample) || any;
    if (!any) return {};
    if (settings_.tags) {
        if (auto room = telemetry_.prepare_tags(pool_); !room) return room;
    }
    telemetry_.want(settings_.tags, settings_.sample_every());
    Result<void> first;
    telemetry_.visit([&](Device& device) {
        if (auto done = device.set_observed(settings_.tags, settings_.sample_every()); !done) first = done;
    });
    return first;
}

}  // namespace bounce
