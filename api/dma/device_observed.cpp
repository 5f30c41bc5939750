// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A device that is looked at from the side, and tuned. Nothing of this runs for a mapping unless somebody looks: the
// fast path looks at one word of modes, which it does anyway.
#include <sched.h>

#include <cerrno>
#include <new>

#include "api/dma/callbacks.hpp"
#include "api/dma/copy.hpp"
#include "api/dma/device.hpp"
#include "api/dma/device_fast.hpp"
#include "api/dma/sampler.hpp"
#include "api/dma/telemetry.hpp"
#include "api/dma/ticks.hpp"

namespace bounce {

/// The slot of a token whose content goes in now. True: streamed, and not fenced.
bool Device::map_noted(std::uint32_t mode, std::byte* slot, const void* buf, std::size_t bytes, bool copies,
                       const bounce_mapping& mapping, Direction direction) noexcept {
    if ((mode & kTagged) != 0)
        tag_slot(SlotHandle(mapping.handle), Gpa{mapping.addr - limits_.padding(mapping.addr)}, bytes, direction);
    if ((mode & kLong) == 0) [[likely]]
        return copies && copy_in(mode, slot, buf, bytes);
    // Apart, for tags are on by default: what follows would take registers from them.
    const auto longer = [ this, mode, slot, buf, bytes, copies, &mapping ]() __attribute__((noinline)) {
        // O1: acquire, pairs with the release in set_observed().
        Sampler* const sampler = sampler_.load(std::memory_order_acquire);
        const std::uint32_t every = sample_.load(std::memory_order_relaxed);
        const bool sampled = sampler != nullptr && every != 0 && Sampler::chosen(SlotHandle(mapping.handle), every);
        const std::uint64_t begin = sampled ? ticks() : 0;
        const bool streamed = (mode & kTimed) != 0 ? map_timed(mode, slot, buf, bytes, copies, mapping.addr)
                                                   : copies && copy_in(mode, slot, buf, bytes);
        if (sampled) sampler->mapped(mapping.addr, bytes, begin, ticks());
        if (Trace* const trace = trace_.load(std::memory_order_acquire); trace != nullptr)  // O2
            trace_map(*trace, mapping, buf, bytes);
        return streamed;
    };
    return longer();
}

bool Device::copy_back_noted(std::uint32_t mode, const bounce_mapping& mapping, std::size_t written) noexcept {
    // O1: acquire, as above.
    if (Sampler* const sampler = sampler_.load(std::memory_order_acquire); sampler != nullptr)
        sampler->unmapped(mapping.addr);
    if (Trace* const trace = trace_.load(std::memory_order_acquire); trace != nullptr)  // O2
        trace_end(*trace, mapping);
    if ((mode & kTimed) != 0) return copy_back_timed(mode, mapping, written);
    bool copied = false;
    return copy_out(mapping, written, copied);
}

void Device::take_calibration() noexcept {
    while (busy_.exchange(true, std::memory_order_acquire)) sched_yield();  // M3
}

Result<void> Device::set_observed(bool tags, std::uint32_t sample) noexcept {
    if (sample != 0 && sampler_.load(std::memory_order_relaxed) == nullptr) {
        Sampler* const made = new (std::nothrow) Sampler;
        if (made == nullptr) return fail(ENOMEM, "no memory for the histograms of a device");
        Sampler* expected = nullptr;
        // O1: release, pairs with the acquire in map_noted(). Who comes second drops his own.
        if (!sampler_.compare_exchange_strong(expected, made, std::memory_order_release, std::memory_order_relaxed))
            delete made;
    }
    take_calibration();
    tags_.store(tags, std::memory_order_relaxed);
    sample_.store(sample, std::memory_order_relaxed);
    adopt_choice();
    busy_.store(false, std::memory_order_release);  // M4
    return {};
}

bool Device::sampled_or_traced() const noexcept {
    return sample_.load(std::memory_order_relaxed) != 0 || trace_.load(std::memory_order_relaxed) != nullptr;
}

void Device::set_trace(Trace* trace) noexcept {
    take_calibration();
    trace_.store(trace, std::memory_order_release);  // O2
    adopt_choice();
    busy_.store(false, std::memory_order_release);  // M4
}

Result<void> Device::set_policy(const Tuned& tuned) noexcept {
    DeviceConfig config;
    config.copy = tuned.copy;
    config.reuse = tuned.reuse;
    config.reuse_window_bytes = tuned.window_bytes;
    take_calibration();
    tuned_ = tuned;
    restart_calibration(config);
    busy_.store(false, std::memory_order_release);  // M4
    return {};
}

Device::Tuned Device::policy() noexcept {
    take_calibration();
    const Tuned tuned = tuned_;
    busy_.store(false, std::memory_order_release);  // M4
    return tuned;
}

}  // namespace bounce
