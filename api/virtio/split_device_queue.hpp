// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Split virtqueue, device side (virtio 1.2, section 2.7). Descriptors and the avail ring are read, each field once; the
// used ring is written and never read back.
//
// Partners. V is this side's order, P what the driver does (its own code, any implementation; ours is split_ring.hpp):
//   V1 avail idx, acquire load       - P1 store of avail idx with release: the descriptors are visible with the index
//   V2 used idx, release store       - P2 acquire load of used idx: elements and data are visible with the index
//   V3 used idx, seq_cst store, then V4 seq_cst load of used_event or of the avail flags - P4 (seq_cst or fenced store
//   of
//      these), then P5 load of used idx: of the two stores at least one is seen by the other side, so no call is lost
//   V5 avail_event or the used flags, seq_cst store, then V6 seq_cst load of avail idx - P1, then P3 load of these: no
//      kick is lost
#pragma once

#include <span>

#include "api/virtio/device_calls.hpp"
#include "api/virtio/split_layout.hpp"

namespace bounce {

class DeviceChain;

class SplitDeviceQueue final : public DeviceCalls<SplitDeviceQueue> {
public:
    static Result<std::unique_ptr<SplitDeviceQueue>> create(GuestMemory& memory,
                                                            const DeviceQueueConfig& config) noexcept;

    Result<bool> needs_call() noexcept;
    Result<bool> enable_kicks() noexcept;
    Result<void> disable_kicks() noexcept;
    /// How many elements are available when the driver is at `offset`; EINVAL when it cannot be there.
    Result<std::uint32_t> notified(std::uint32_t offset) const noexcept;

private:
    friend class DeviceCalls<SplitDeviceQueue>;
    using DeviceCalls::DeviceCalls;
    [[nodiscard]] std::uint64_t desc_bytes() const noexcept override { return std::uint64_t{16} * config_.queue_size; }
    [[nodiscard]] std::uint64_t driver_bytes() const noexcept override {
        return 4 + std::uint64_t{2} * config_.queue_size + (config_.event_idx ? 2 : 0);
    }
    [[nodiscard]] std::uint64_t device_bytes() const noexcept override {
        return 4 + std::uint64_t{8} * config_.queue_size + (config_.event_idx ? 2 : 0);
    }
    void restart() noexcept override;
    [[nodiscard]] std::uint16_t saved_avail() const noexcept override { return next_avail_; }
    [[nodiscard]] std::uint16_t saved_used() const noexcept override { return flushed_; }

    Result<bool> pop_one(bounce_element& element) noexcept;
    Result<bool> look() noexcept;
    Result<std::uint32_t> walk(std::uint32_t head, bounce_element& element) noexcept;
    Result<void> walk_table(DeviceChain& chain, std::uint64_t addr, std::uint32_t len) noexcept;
    void use(std::uint32_t id, std::uint32_t written) noexcept;
    void use_one(std::uint32_t id, const Held& held) noexcept { use(id, held.written); }
    void use_in_order() noexcept;
    bool show(std::memory_order order) noexcept;

    [[nodiscard]] SplitDesc* desc() const noexcept { return reinterpret_cast<SplitDesc*>(desc_.hva); }
    [[nodiscard]] SplitAvail* avail() const noexcept { return reinterpret_cast<SplitAvail*>(driver_.hva); }
    [[nodiscard]] SplitUsed* used() const noexcept { return reinterpret_cast<SplitUsed*>(device_.hva); }
    [[nodiscard]] le16& avail_ring(std::uint32_t index) const noexcept {
        return reinterpret_cast<le16*>(avail() + 1)[index];
    }
    [[nodiscard]] SplitUsedElem& used_ring(std::uint32_t index) const noexcept {
        return reinterpret_cast<SplitUsedElem*>(used() + 1)[index];
    }
    [[nodiscard]] le16& used_event() const noexcept { return avail_ring(config_.queue_size); }
    [[nodiscard]] le16& avail_event() const noexcept {
        return *reinterpret_cast<le16*>(&used_ring(config_.queue_size));
    }

    std::uint16_t mask_ = 0;
    std::uint16_t next_avail_ = 0;  // popped
    std::uint16_t seen_avail_ = 0;  // avail idx, as it was read last
    std::uint16_t next_used_ = 0;   // written
    std::uint16_t flushed_ = 0;     // of these: shown to the driver
    std::uint16_t asked_ = 0;       // of these: needs_call() said whether
    bool kicks_ = true;             // the driver was asked for kicks
};

}  // namespace bounce
