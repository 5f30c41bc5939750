// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include <fcntl.h>

#include <climits>

#include "api/abi/directions.hpp"
#include "api/abi/handles.hpp"
#include "api/abi/options.hpp"
#include "bounce/waiting.h"

using namespace bounce;
using namespace bounce::abi;

struct bounce_wait {
    bounce::Wait inner;
    bounce::Device* device = nullptr;
};

namespace {

constexpr std::size_t kFirstWaitingOptions = offsetof(bounce_wait_options, reserved) + sizeof(std::uint32_t);

Result<void> read_wait_options(const bounce_wait_options* given, Wait& wait) noexcept {
    bounce_wait_options options{};
    if (const auto read = read_options(given, kFirstWaitingOptions, "options", options); !read) return read;
    if (const auto good = must_be_zero(options.reserved, "options.reserved"); !good) return good;
    const auto direction = read_direction(options.direction);
    if (!direction) return direction.error();
    const int fd = options.event_fd_plus_one - 1;
    if (options.event_fd_plus_one < 0 || (fd >= 0 && ::fcntl(fd, F_GETFD) < 0))
        return fail(EINVAL, "options.event_fd_plus_one is %lld, expected an open descriptor + 1, or 0",
                    static_cast<std::uint64_t>(std::int64_t{options.event_fd_plus_one}));
    wait.request = {options.buf, options.bytes, *direction, options.flags};
    wait.waiter.ready = options.ready;
    wait.waiter.user = options.user;
    wait.waiter.fd = fd;
    return {};
}

}  // namespace

int bounce_device_map_wait(bounce_device* device, void* buf, size_t bytes, int direction, uint32_t flags,
                           uint32_t timeout_ms, bounce_mapping* mapping) {
    if (mapping == nullptr) return negative(null_argument("mapping"));
    if (device == nullptr) return negative(null_argument("device"));
    const auto known = read_direction(direction);
    if (!known) return negative(known.error());
    if (const auto owner = in_owner(device->device->pool()); !owner) return status(owner);
    return status(device->device->map_wait({buf, bytes, *known, flags}, timeout_ms, *mapping));
}

int bounce_wait_begin(bounce_device* device, const bounce_wait_options* options, bounce_wait** wait) {
    if (wait == nullptr) return negative(null_argument("wait"));
    *wait = nullptr;
    if (device == nullptr) return negative(null_argument("device"));
    if (const auto owner = in_owner(device->device->pool()); !owner) return status(owner);
    std::unique_ptr<bounce_wait> made(new (std::nothrow) bounce_wait);
    if (made == nullptr) return negative(fail(ENOMEM, "no memory for a wait's handle"));
    if (const auto read = read_wait_options(options, made->inner); !read) return status(read);
    made->device = device->device;
    made->inner.waiter.handle = made.get();
    // Before it is in line: the callback may come, and end it, before begin_wait() returns.
    bounce_wait* const handle = made.release();
    *wait = handle;
    const auto begun = device->device->begin_wait(handle->inner);
    if (begun) return *begun ? 1 : 0;
    *wait = nullptr;
    delete handle;
    return negative(begun.error());
}

int bounce_wait_finish(bounce_wait* wait, bounce_mapping* mapping) {
    if (wait == nullptr) return negative(null_argument("wait"));
    if (mapping == nullptr) return negative(null_argument("mapping"));
    if (const auto owner = in_owner(wait->device->pool()); !owner) return status(owner);
    const auto finished = wait->device->finish_wait(wait->inner, *mapping);
    if (finished.code() != EAGAIN) delete wait;
    return status(finished);
}

int bounce_wait_cancel(bounce_wait* wait) {
    if (wait == nullptr) return 0;
    if (const auto owner = in_owner(wait->device->pool()); !owner) return status(owner);
    wait->device->cancel_wait(wait->inner);
    delete wait;
    return 0;
}

int bounce_device_cancel_waits(bounce_device* device) {
    if (device == nullptr) return negative(null_argument("device"));
    if (const auto owner = in_owner(device->device->pool()); !owner) return status(owner);
    const std::uint64_t count = device->device->cancel_waits();
    return static_cast<int>(count < INT_MAX ? count : INT_MAX);
}

int bounce_device_get_waits(bounce_device* device, bounce_wait_stats* stats) {
    if (device == nullptr) return negative(null_argument("device"));
    if (stats == nullptr) return negative(null_argument("stats"));
    if (const auto owner = in_owner(device->device->pool()); !owner) return status(owner);
    *stats = device->device->waits();
    return 0;
}
