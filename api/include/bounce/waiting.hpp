// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// libbounce for C++20: maps that wait, over bounce/waiting.h, and quotas, over bounce/quota.h, which say what each call
// means. Header-only; it throws nothing and works with -fno-exceptions.
#ifndef BOUNCE_WAITING_HPP
#define BOUNCE_WAITING_HPP

#include <bounce/quota.h>
#include <bounce/waiting.h>
#include <bounce/bounce.hpp>

#include <chrono>
#include <coroutine>

namespace bounce {
inline namespace v0 {

/// What is to be mapped; flags: BOUNCE_MAP_*, BOUNCE_WAIT_PRIORITY.
struct MapRequest {
    void* buf = nullptr;
    std::size_t bytes = 0;
    Direction direction = Direction::kBidirectional;
    std::uint32_t flags = 0;
};

inline constexpr std::chrono::milliseconds kNoTimeout{UINT32_MAX};

/// Blocks for memory, up to `timeout`.
[[nodiscard]] inline Result<Mapping> map_wait(DeviceRef device, const MapRequest& request,
                                              std::chrono::milliseconds timeout = kNoTimeout) noexcept {
    bounce_mapping token;
    const auto limit = timeout.count() < 0                     ? 0
                       : timeout.count() >= kNoTimeout.count() ? UINT32_MAX
                                                               : static_cast<std::uint32_t>(timeout.count());
    const int status = bounce_device_map_wait(device.handle(), request.buf, request.bytes,
                                              static_cast<int>(request.direction), request.flags, limit, &token);
    if (status < 0) return Error(-status);
    return Mapping(device.handle(), token);
}

/// A map that waits, told of by an eventfd, or asked with finish(). Cancelled by its destructor.
class Wait {
public:
    /// event_fd: -1 for none.
    [[nodiscard]] static Result<Wait> begin(DeviceRef device, const MapRequest& request, int event_fd = -1) noexcept {
        bounce_wait_options options{};
        options.size = sizeof options;
        options.buf = request.buf;
        options.bytes = request.bytes;
        options.direction = static_cast<std::int32_t>(request.direction);
        options.flags = request.flags;
        options.event_fd_plus_one = event_fd + 1;
        bounce_wait* wait = nullptr;
        const int status = bounce_wait_begin(device.handle(), &options, &wait);
        if (status < 0) return Error(-status);
        return Wait(device.handle(), wait, status == 1);
    }
    Wait(Wait&& other) noexcept
        : device_(other.device_), wait_(std::exchange(other.wait_, nullptr)), ready_(other.ready_) {}
    Wait& operator=(Wait&& other) noexcept {
        std::swap(device_, other.device_);
        std::swap(wait_, other.wait_);
        std::swap(ready_, other.ready_);
        return *this;
    }
    ~Wait() { static_cast<void>(bounce_wait_cancel(wait_)); }

    /// There was memory at once, and nobody tells.
    [[nodiscard]] bool ready_at_once() const noexcept { return ready_; }
    /// EAGAIN: not ready. Any other result ends it.
    [[nodiscard]] Result<Mapping> finish() noexcept {
        if (wait_ == nullptr) return Error(EINVAL);
        bounce_mapping token;
        const int status = bounce_wait_finish(wait_, &token);
        if (status == -EAGAIN) return Error(EAGAIN);
        wait_ = nullptr;
        if (status < 0) return Error(-status);
        return Mapping(device_, token);
    }

private:
    Wait(bounce_device* device, bounce_wait* wait, bool ready) noexcept : device_(device), wait_(wait), ready_(ready) {}

    bounce_device* device_;
    bounce_wait* wait_;
    bool ready_;
};

/// Who resumes a coroutine: by default the thread that brought the memory home, in the middle of its unmap. A host that
/// has a loop posts it there instead.
using ResumeFn = void (*)(void* user, std::coroutine_handle<> coroutine);

/// co_await map_async(device, request) gives Result<Mapping>.
class [[nodiscard]] MapAwaiter {
public:
    MapAwaiter(DeviceRef device, const MapRequest& request, ResumeFn resume, void* user) noexcept
        : device_(device.handle()), request_(request), resume_(resume), user_(user) {}
    MapAwaiter(const MapAwaiter&) = delete;
    MapAwaiter& operator=(const MapAwaiter&) = delete;
    /// A coroutine that is destroyed while it waits does so no longer.
    ~MapAwaiter() { static_cast<void>(bounce_wait_cancel(wait_)); }

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    /// When it waits, this may be gone, and the coroutine in another thread, before bounce_wait_begin() returns.
    bool await_suspend(std::coroutine_handle<> coroutine) noexcept {
        coroutine_ = coroutine;
        bounce_wait_options options{};
        options.size = sizeof options;
        options.buf = request_.buf;
        options.bytes = request_.bytes;
        options.direction = static_cast<std::int32_t>(request_.direction);
        options.flags = request_.flags;
        options.ready = &MapAwaiter::on_ready;
        options.user = this;
        const int status = bounce_wait_begin(device_, &options, &wait_);
        if (status == 0) return true;
        status_ = status < 0 ? status : 0;
        return false;
    }
    Result<Mapping> await_resume() noexcept {
        if (status_ < 0) return Error(-status_);
        bounce_mapping token;
        const int status = bounce_wait_finish(std::exchange(wait_, nullptr), &token);
        if (status < 0) return Error(-status);
        return Mapping(device_, token);
    }

private:
    static void on_ready(void* user, bounce_wait*) noexcept {
        auto* const self = static_cast<MapAwaiter*>(user);
        if (self->resume_ != nullptr) {
            self->resume_(self->user_, self->coroutine_);
        } else {
            self->coroutine_.resume();
        }
    }

    bounce_device* device_;
    MapRequest request_;
    ResumeFn resume_;
    void* user_;
    std::coroutine_handle<> coroutine_;
    bounce_wait* wait_ = nullptr;
    int status_ = 0;
};

/// The device and the buffer must outlive the mapping, as ever.
inline MapAwaiter map_async(DeviceRef device, const MapRequest& request, ResumeFn resume = nullptr,
                            void* user = nullptr) noexcept {
    return {device, request, resume, user};
}

inline Result<void> set_quota(DeviceRef device, std::uint64_t floor_bytes, std::uint64_t ceiling_bytes) noexcept {
    return detail::checked(bounce_device_set_quota(device.handle(), floor_bytes, ceiling_bytes));
}
[[nodiscard]] inline Result<bounce_quota> quota(DeviceRef device) noexcept {
    bounce_quota quota;
    if (const int status = bounce_device_get_quota(device.handle(), &quota); status < 0) return Error(-status);
    return quota;
}

}  // namespace v0
}  // namespace bounce
#endif
