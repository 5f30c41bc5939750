// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Packed virtqueue, device side (virtio 1.2, section 2.8). One ring of descriptors that both sides write in turn: a
// descriptor is available when its AVAIL bit is the wrap counter of the round and its USED bit is not; it is used when
// both are the wrap counter.
//
// Partners. V is this side's order, P what the driver does (its own code, any implementation):
//   V1 flags of the first descriptor of a chain, acquire load - P1 store of these flags with release, last of the chain
//   V2 flags of the first used descriptor of a flush, release store - P2 acquire load of these: those behind it, and
//      the data, are visible with it
//   V3 the same as V2 with a seq_cst store, then V4 seq_cst load of the driver's event flags - P4 (seq_cst or fenced
//      store of these), then P5 load of the descriptor's flags: at least one is seen by the other side, so no call is
//      lost
//   V5 the device's event structure, seq_cst store, then V6 seq_cst load of the descriptor's flags - P1, then P3 load
//      of this structure: no kick is lost
#pragma once

#include <atomic>
#include <span>

#include "api/virtio/device_calls.hpp"
#include "api/virtio/packed_layout.hpp"

namespace bounce {

class DeviceChain;

class PackedDeviceQueue final : public DeviceCalls<PackedDeviceQueue> {
public:
    static Result<std::unique_ptr<PackedDeviceQueue>> create(GuestMemory& memory,
                                                             const DeviceQueueConfig& config) noexcept;

    Result<bool> needs_call() noexcept;
    Result<bool> enable_kicks() noexcept;
    Result<void> disable_kicks() noexcept;
    Result<std::uint32_t> notified(std::uint32_t offset) const noexcept;

private:
    friend class DeviceCalls<PackedDeviceQueue>;
    using DeviceCalls::DeviceCalls;
    [[nodiscard]] std::uint64_t desc_bytes() const noexcept override { return std::uint64_t{16} * config_.queue_size; }
    [[nodiscard]] std::uint64_t driver_bytes() const noexcept override { return sizeof(PackedEvent); }
    [[nodiscard]] std::uint64_t device_bytes() const noexcept override { return sizeof(PackedEvent); }
    void restart() noexcept override;
    [[nodiscard]] std::uint16_t saved_avail() const noexcept override { return next_avail_.encoded(); }
    [[nodiscard]] std::uint16_t saved_used() const noexcept override { return flushed_.encoded(); }

    [[nodiscard]] static bool available(std::uint16_t flags, PackedPosition at) noexcept;
    [[nodiscard]] std::uint16_t used_flags(std::uint32_t written) const noexcept;
    Result<bool> pop_one(bounce_element& element) noexcept;
    Result<void> walk_table(DeviceChain& chain, std::uint64_t addr, std::uint32_t len) noexcept;
    void use(std::uint32_t id, std::uint32_t written, std::uint32_t descriptors) noexcept;
    void use_one(std::uint32_t id, const Held& held) noexcept { use(id, held.written, held.descriptors); }
    void use_in_order() noexcept;
    bool show(std::memory_order order) noexcept;
    void ask(std::memory_order order) noexcept;
    bool call_wanted(std::uint32_t since) noexcept;

    [[nodiscard]] PackedDesc* desc() const noexcept { return reinterpret_cast<PackedDesc*>(desc_.hva); }
    [[nodiscard]] le32& driver_event() const noexcept { return *reinterpret_cast<le32*>(driver_.hva); }
    [[nodiscard]] le32& device_event() const noexcept { return *reinterpret_cast<le32*>(device_.hva); }

    PackedPosition next_avail_;
    PackedPosition next_used_;  // written
    PackedPosition flushed_;    // of these: shown to the driver
    bool pending_ = false;      // the descriptor at flushed_ is written but for its flags,
    bool kicks_ = true;
    std::uint16_t pending_flags_ = 0;     // which are these
    std::uint32_t in_flight_ = 0;         // descriptors from flushed_ to next_avail_
    std::uint32_t unflushed_ = 0;         // of these: written
    std::uint32_t since_asked_ = 0;       // descriptors shown since needs_call(); at most 2 * size
    std::atomic<std::uint32_t> turn_{0};  // V3
};

}  // namespace bounce
