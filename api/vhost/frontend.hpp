// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The front-end: lends the regions of a pool, and nothing else, to one back-end after the other, and drives its queues.
//
//   connected --(check, wait or a control call notices)--> gone --disconnect()--> disconnected --reconnect()-->
//   connected connected --disconnect()--> disconnected
//
// Memory that a back-end was shown is tainted: the process may keep its mapping and write for ever. disconnect() and
// close() therefore renew the pool; where that cannot be (memory of the caller's), close() retires the regions and no
// successor gets them.
//
// Threads: one control thread; submit() and wait() by the thread of each queue; check() by any.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include "api/dma/device.hpp"
#include "api/vhost/queue.hpp"
#include "api/vhost/session.hpp"
#include "bounce/bounce.h"
#include "bounce/iotlb.h"

namespace bounce::vhost {

struct FrontendConfig {
    const char* socket_path = nullptr;  // copied
    const char* name = "vhost-user";    // copied
    FeaturePolicy features;
    std::uint32_t queues = 1;
    std::uint32_t queue_size = 128;
    std::uint32_t max_chain = 0;
    std::uint32_t timeout_ms = 5000;
    bool calls = false;
    bool trusted = false;
    DeviceConfig device;            // but for its name; what it refers to is looked at once
    std::uint32_t device_type = 0;  // virtio device ID, 0: does not matter

    static constexpr std::uint32_t kNetwork = 1;
    /// What the back-end counts as one queue. Source: DPDK and QEMU; the specification does not say it.
    [[nodiscard]] std::uint32_t queue_unit() const noexcept { return device_type == kNetwork ? 2 : 1; }
};

class Frontend {
public:
    /// pool and callbacks must outlive the front-end.
    static Result<std::unique_ptr<Frontend>> connect(Pool& pool, Callbacks& callbacks,
                                                     const FrontendConfig& config) noexcept;
    ~Frontend();
    Frontend(const Frontend&) = delete;
    Frontend& operator=(const Frontend&) = delete;

    /// EBUSY: the caller still has mappings or blocks of the device; the front-end is disconnected, and close() may be
    /// called again. Any other result: closed; an error says that the memory could not be renewed, and that regions are
    /// retired.
    Result<void> close() noexcept;
    Result<void> disconnect() noexcept;
    Result<void> reconnect() noexcept;
    Result<void> sync_regions() noexcept;
    Result<void> read_config(std::uint32_t offset, void* out, std::size_t bytes) noexcept;
    Result<void> write_config(std::uint32_t offset, const void* in, std::size_t bytes) noexcept;

    /// Of a front-end whose addresses are translated; ENOTSUP of any other. As in bounce/iotlb.h.
    Result<std::uint32_t> process() noexcept;
    Result<int> requests_fd() const noexcept;
    Result<void> map_iova(std::uint64_t address, std::uint64_t bytes, IotlbAccess access) noexcept;
    Result<void> unmap_iova(std::uint64_t address, std::uint64_t bytes) noexcept;
    Result<bounce_iotlb_info> iotlb_info() const noexcept;

    /// One queue, while the others run.
    Result<void> stop_queue(std::uint32_t queue) noexcept;
    Result<void> start_queue(std::uint32_t queue) noexcept;
    Result<void> submit(std::uint32_t queue) noexcept;
    Result<void> kick(std::uint32_t queue) noexcept;
    Result<void> wait(std::uint32_t queue, std::uint32_t timeout_ms) noexcept;
    Result<void> check() noexcept;

    [[nodiscard]] bounce_frontend_info info() const noexcept;
    /// No back-end, present or former, has the memory that the rings are in.
    [[nodiscard]] bool alone() const noexcept { return state() == State::kDisconnected && !tainted_; }
    /// The back-end can do nothing to the requests of this ring, or it is trusted and says that it has stopped.
    [[nodiscard]] bool out_of_reach(const Virtqueue& ring) const noexcept;
    [[nodiscard]] Pool& pool() const noexcept { return pool_; }
    [[nodiscard]] Device& device() const noexcept { return *device_; }
    [[nodiscard]] std::uint32_t queues() const noexcept { return queue_count_; }
    /// queue must be below queues().
    [[nodiscard]] Virtqueue& ring(std::uint32_t queue) const noexcept { return queues_[queue].ring(); }

private:
    enum class State : std::uint32_t { kDisconnected, kConnected, kGone };

    Frontend(Pool& pool, Callbacks& callbacks, const FrontendConfig& config) noexcept;
    Result<void> start() noexcept;
    Result<void> restart() noexcept;
    Result<void> negotiate(std::uint64_t previous) noexcept;
    Result<void> create_queues() noexcept;
    Result<void> run_queues() noexcept;
    Result<void> set_up_queue(std::uint32_t queue) noexcept;
    Result<void> enable_queue(std::uint32_t queue) noexcept;
    Result<void> check_regions(RegionMask regions) const noexcept;
    Result<void> show_regions(RegionMask regions) noexcept;
    Result<void> hide_regions(RegionMask regions) noexcept;
    Result<void> renew_tainted() noexcept;
    bool stop_queues(Deadline deadline) noexcept;
    void hang_up() noexcept;
    void abort_all() noexcept;
    Error abandon(Error error) noexcept;
    Result<void> need_translation() const noexcept;
    Result<void> translate_regions(RegionMask regions) noexcept;
    Result<void> stop_translating(RegionMask regions) noexcept;
    Result<std::uint32_t> serve_requests() noexcept;
    Result<void> serve_misses() noexcept;
    Result<bool> answer(const BackendMessage& message) noexcept;
    Result<void> check_config_range(std::uint32_t offset, const void* data, std::size_t bytes) const noexcept;

    [[nodiscard]] State state() const noexcept;
    Result<void> need_connection() const noexcept;
    Result<void> need_queue(std::uint32_t queue) const noexcept;
    Result<void> noted(Result<void> result) noexcept;

    Pool& pool_;
    Callbacks& callbacks_;
    char path_[108];
    char name_[64];
    FrontendConfig config_;  // its strings are the copies
    Session session_;
    Terms terms_;  // of the last connection that came to be
    std::unique_ptr<Device> device_;
    std::unique_ptr<FrontendQueue[]> queues_;  // after the device, before it in destruction
    std::uint32_t queue_count_ = 0;
    std::uint64_t own_blocks_ = 0;  // of the device, held by the rings
    RegionMask shown_regions_ = 0;
    std::uint32_t reconnects_ = 0;
    Iotlb iotlb_;  // what the back-end may be told
    bounce_iotlb_info iotlb_counts_{};
    bool lent_ = false;
    bool tainted_ = false;
    bool misbehaved_ = false;  // a queue was broken that was started anew
    bool retired_ = false;     // what is tainted was given up
    // Relaxed: a hint for other threads. What it stands for is asked of the kernel, and who changes the connection has
    // no other thread in submit() or wait().
    std::atomic<State> state_{State::kDisconnected};
};

}  // namespace bounce::vhost
