// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// How a device comes to its policy: fixed by its options, or by trials among what they leave open. Nothing of this file
// runs for a mapping but note_maps() now and then, except in a trial or a probe.
#include <algorithm>
#include <array>

#include "api/dma/copy.hpp"
#include "api/dma/device.hpp"
#include "api/dma/device_fast.hpp"
#include "api/dma/ticks.hpp"

namespace bounce {
namespace {

// Twice the L2 caches of today: slots that the device has left in its own are not rewritten, and all are still near.
constexpr std::uint64_t kWindowBytes = 4u << 20;
// More than a processor's share of its last cache: the slots come from memory again, and neither side waits for lines
// in a far cache of the other. Over a small pool that is every slot.
constexpr std::uint64_t kWideBytes = 64u << 20;
constexpr std::uint64_t kSmallPool = 2 * kWideBytes;
constexpr std::uint64_t kLeastWide = 16u << 20;  // below, nothing is driven out of a cache
constexpr std::uint64_t kWindowPart = 8;

/// The choices that the options leave open; the one to begin with comes first.
class Arms {
public:
    Arms(const DeviceConfig& config, std::uint64_t pool_bytes) noexcept : config_(config), pool_bytes_(pool_bytes) {
        if (config.copy == CopyPolicy::kAuto && config.reuse != ReusePolicy::kAuto) {
            add(config.reuse, CopyPolicy::kMemcpy);
            if (can_stream()) add(config.reuse, CopyPolicy::kNonTemporal);
        } else if (config.reuse != ReusePolicy::kAuto) {
            add(config.reuse, config.copy);
        } else if (config.copy == CopyPolicy::kNonTemporal) {
            add(ReusePolicy::kWindow, config.copy);
            add_wide(config.copy);
        } else {
            add(ReusePolicy::kLifo, CopyPolicy::kMemcpy);
            add(ReusePolicy::kWindow, CopyPolicy::kMemcpy);
            add_wide(CopyPolicy::kMemcpy);
            if (config.copy == CopyPolicy::kMemcpy || !can_stream()) return;
            add(ReusePolicy::kWindow, CopyPolicy::kNonTemporal);
            add_wide(CopyPolicy::kNonTemporal);
        }
    }
    [[nodiscard]] std::span<const Choice> all() const noexcept { return {arms_.data(), n_}; }

private:
    void add(ReusePolicy reuse, CopyPolicy copy) noexcept {
        std::uint64_t bytes = 0;
        if (reuse == ReusePolicy::kFifo) bytes = pool_bytes_;
        if (reuse == ReusePolicy::kWindow)
            bytes = config_.reuse_window_bytes != 0 ? config_.reuse_window_bytes
                                                    : std::min(kWindowBytes, pool_bytes_ / kWindowPart);
        arms_[n_++] = {reuse, copy, bytes};
    }
    void add_wide(CopyPolicy copy) noexcept {
        if (pool_bytes_ < kLeastWide) return;
        if (pool_bytes_ <= kSmallPool) return add(ReusePolicy::kFifo, copy);
        arms_[n_++] = {ReusePolicy::kWindow, copy, kWideBytes};
    }

    const DeviceConfig& config_;
    std::uint64_t pool_bytes_;
    std::array<Choice, Calibration::kMaxArms> arms_;
    std::size_t n_ = 0;
};

}  // namespace

std::uint64_t shared_bytes(const Pool& pool) noexcept {
    std::uint64_t bytes = 0;
    for (std::uint32_t i = 0; i < pool.regions(); ++i) bytes += pool.region(RegionId{i}).bytes();
    return bytes;
}

void Device::init_policy(const DeviceConfig& config) noexcept {
    tuned_ = {config.copy, config.reuse, config.reuse_window_bytes};
    restart_calibration(config);
}

void Device::restart_calibration(const DeviceConfig& config) noexcept {
    const Arms arms(config, shared_bytes(pool_));
    calibration_ = Calibration(arms.all());
    adopt_choice();
    until_timing_.store(arms.all().size() > 1 ? calibration_.pause() : kNever, std::memory_order_relaxed);  // M2
}

void Device::note_maps(std::uint64_t mappings) noexcept {
    const std::uint64_t left = until_timing_.load(std::memory_order_relaxed);  // M2
    if (left == kNever) return;
    if (left > mappings) return until_timing_.store(left - mappings, std::memory_order_relaxed);
    if (!calibrating()) begin_timing();
}

void Device::begin_timing() noexcept {
    if (busy_.exchange(true, std::memory_order_acquire)) return;  // M3
    if (!calibration_.timing()) {
        calibration_.begin();
        adopt_choice();
    }
    busy_.store(false, std::memory_order_release);  // M4
}

/// True: streamed, and not fenced.
bool Device::map_timed(std::uint32_t mode, std::byte* slot, const void* buf, std::size_t bytes, bool copies,
                       std::uint64_t id) noexcept {
    Calibration::Event event{.id = id, .bytes = bytes, .copied = copies};
    if ((mode & kClock) != 0) event.begin = ticks();
    if (copies && (mode & kStreams) != 0 && bytes >= kStreamFrom) {
        stream_to_slot(slot, buf, bytes);
        fence_streams();  // its time counts
    } else if (copies) {
        copy_to_slot(slot, buf, bytes);
    }
    if (event.begin != 0) event.copy_ticks = ticks() - event.begin;
    if (busy_.exchange(true, std::memory_order_acquire)) return false;  // M3
    calibration_.mapped(event);
    adopt_choice();
    busy_.store(false, std::memory_order_release);  // M4
    return false;
}

bool Device::copy_back_timed(std::uint32_t mode, const bounce_mapping& mapping, std::size_t written) noexcept {
    Calibration::Event event{.id = mapping.addr, .bytes = mapping.bytes};
    if ((mode & kClock) != 0) event.begin = ticks();
    const bool renewed = copy_out(mapping, written, event.copied);
    // Before the slot goes home: then another mapping may have its address.
    if (event.begin != 0) event.copy_ticks = ticks() - event.begin;
    if (busy_.exchange(true, std::memory_order_acquire)) return renewed;  // M3
    if (calibration_.wants_end(event.id)) event.end = ticks();
    calibration_.unmapped(event);
    adopt_choice();
    busy_.store(false, std::memory_order_release);  // M4
    return renewed;
}

void Device::adopt_choice() noexcept {
    const Choice& choice = calibration_.choice();
    const bool timing = calibration_.timing();
    const std::uint32_t before = mode_.load(std::memory_order_relaxed);  // M1
    const std::uint32_t mode = (choice.copy == CopyPolicy::kNonTemporal ? kStreams : 0) | (timing ? kTimed : 0) |
                               (calibration_.wants_clock() ? kClock : 0) |
                               (tags_.load(std::memory_order_relaxed) && number_ != 0 ? kTagged : 0) |
                               (sampled_or_traced() ? kSampled : 0) |
                               static_cast<std::uint32_t>(choice.reuse) << kReuseShift;
    if (before == mode && applied_ == choice) return;
    if ((before & kTimed) != 0 && !timing) until_timing_.store(calibration_.pause(), std::memory_order_relaxed);  // M2
    if (applied_ != choice || before == 0) apply_reuse(choice);
    applied_ = choice;
    mode_.store(mode, std::memory_order_relaxed);  // M1
}

void Device::apply_reuse(const Choice& choice) noexcept {
    pool_.set_reuse(group_, choice.reuse == ReusePolicy::kLifo ? 0 : choice.window_bytes);
}

CopyPolicy Device::copy_policy() const noexcept {
    const bool streams = (mode_.load(std::memory_order_relaxed) & kStreams) != 0;  // M1
    return streams ? CopyPolicy::kNonTemporal : CopyPolicy::kMemcpy;
}

ReusePolicy Device::reuse_policy() const noexcept {
    return static_cast<ReusePolicy>(mode_.load(std::memory_order_relaxed) >> kReuseShift & kReuseMask);  // M1
}

bool Device::calibrating() const noexcept {
    return (mode_.load(std::memory_order_relaxed) & kTimed) != 0;  // M1
}

}  // namespace bounce
