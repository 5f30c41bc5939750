// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// One connection to a back-end after the other, in the words of vhost-user: negotiate, show memory, start and stop
// queues, configuration space. It knows the order of messages and checks every answer; it decides nothing about memory
// or lifetime.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "allocator/base/error.hpp"
#include "allocator/region/region.hpp"
#include "api/dma/callbacks.hpp"
#include "api/vhost/backend_channel.hpp"
#include "api/vhost/channel.hpp"
#include "api/vhost/features.hpp"
#include "api/vhost/iotlb.hpp"
#include "bounce/bounce.h"

namespace bounce::vhost {

/// As the queue of a violation that is none's.
inline constexpr std::uint32_t kNoRing = ~std::uint32_t{0};

/// What was agreed on with a back-end.
struct Terms {
    std::uint64_t offered = 0;
    std::uint64_t accepted = 0;  // without PROTOCOL_FEATURES, which is not a feature of the device
    std::uint64_t protocol = 0;
    std::uint32_t max_queues = 1;
    std::uint32_t max_memory_slots = kMaxTableRegions;
    bool rings_start_disabled = false;
    [[nodiscard]] bool translated() const noexcept { return (accepted & kAccessPlatform) != 0; }
};

class Session {
public:
    /// callbacks and name must outlive the session. queue_unit: what the back-end counts as one queue has so many.
    Session(Callbacks& callbacks, const char* name, std::uint32_t timeout_ms, std::uint32_t queue_unit) noexcept
        : callbacks_(callbacks), name_(name), timeout_ms_(timeout_ms), queue_unit_(queue_unit) {}

    Result<void> open(const char* path) noexcept;
    void hang_up() noexcept {
        channel_.hang_up();
        requests_.close();
    }
    [[nodiscard]] const Channel& channel() const noexcept { return channel_; }
    [[nodiscard]] const Terms& terms() const noexcept { return terms_; }
    [[nodiscard]] Deadline deadline() const noexcept { return Deadline(timeout_ms_); }

    /// Owner, features and protocol features. `previous`: features that a predecessor had and this one must have too.
    Result<void> negotiate(const FeaturePolicy& policy, std::uint64_t previous) noexcept;

    /// The whole memory table at once; for a back-end without memory slots.
    Result<void> set_memory(std::span<const Region* const> regions) noexcept;
    Result<void> add_memory(const Region& region) noexcept;
    Result<void> remove_memory(const Region& region) noexcept;

    /// Sizes, addresses and eventfds; the queue runs once it is enabled.
    Result<void> start_queue(std::uint32_t index, const bounce_ring_layout& layout, int call, int kick) noexcept;
    Result<void> enable_queue(std::uint32_t index) noexcept;
    /// The back-end says that it has stopped.
    Result<void> stop_queue(std::uint32_t index, Deadline deadline) noexcept;

    /// Of a connection with translated addresses: tells it one, takes one away (and waits until it is gone).
    Result<void> update_iotlb(const Translation& range) noexcept;
    Result<void> invalidate_iotlb(std::uint64_t iova, std::uint64_t bytes) noexcept;
    /// The next request of the back-end. False: there is none.
    Result<bool> receive_request(BackendMessage& message) noexcept;
    Result<void> answer_request(const BackendMessage& message, bool done) noexcept;
    [[nodiscard]] int requests_fd() const noexcept { return requests_.fd(); }

    Result<void> read_config(std::uint32_t offset, std::span<std::byte> out) noexcept;
    Result<void> write_config(std::uint32_t offset, std::span<const std::byte> in) noexcept;

private:
    template <class Payload>
    Result<void> set(Request request, const Payload& payload, std::span<const int> fds = {}) noexcept {
        return set_bytes(request, std::as_bytes(std::span(&payload, 1)), fds);
    }
    Result<void> set_bytes(Request request, std::span<const std::byte> payload, std::span<const int> fds) noexcept;
    Result<std::uint64_t> get(Request request) noexcept;
    Result<void> agree_on_protocol() noexcept;
    Result<void> ask_limits() noexcept;
    Result<void> give_backend_channel() noexcept;
    Error request_failed(Error error) noexcept;
    /// Reports a violation and ends the connection when the failure leaves no way on.
    Error failed(Error error) noexcept;
    Error violated(std::uint32_t ring, std::uint64_t got, std::uint64_t expected) noexcept;

    Callbacks& callbacks_;
    const char* name_;
    std::uint32_t timeout_ms_;
    std::uint32_t queue_unit_;
    Channel channel_;
    BackendChannel requests_;
    Terms terms_;
};

}  // namespace bounce::vhost
