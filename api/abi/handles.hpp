// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What stands behind the opaque handles. A handle either owns its object or (devices and rings of a front-end) refers
// to one that something else owns and that cannot be destroyed through the handle.
#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include "allocator/base/error.hpp"
#include "allocator/pool/pool.hpp"
#include "api/dma/callbacks.hpp"
#include "api/dma/debug.hpp"
#include "api/dma/device.hpp"
#include "api/dma/records.hpp"
#include "api/virtio/virtqueue.hpp"
#include "bounce/bounce.h"
#include "bounce/platform.h"

namespace bounce::vhost {
class Frontend;
}

struct bounce_pool {
    bounce_pool(const char* label, const bounce_pool_options& options) noexcept
        : callbacks(options.log, options.log_user, options.violation, options.violation_user) {
        std::snprintf(name, sizeof name, "%s", label);
    }

    bounce::Callbacks callbacks;
    bounce_share_fn share = nullptr;  // the host's; called through share_hooks()
    bounce_share_fn unshare = nullptr;
    void* share_user = nullptr;
    bounce_platform platform{};          // the host's, in place of the above
    std::unique_ptr<bounce::Pool> pool;  // after what it calls
    char name[64];                       // for the regions that are added later

    // watch_abi.cpp; of devices that are watched.
    std::mutex watch_lock;
    std::unique_ptr<bounce::Records> records;  // made for the first device that has them
    bounce::Debug* debugged = nullptr;         // a list
    std::atomic<std::uint32_t> n_debugged{0};

    std::atomic<bool> controls{false};  // control_abi.cpp: it has a control
};

struct bounce_device {
    explicit bounce_device(bounce::Device& borrowed) noexcept : device(&borrowed) {}
    explicit bounce_device(std::unique_ptr<bounce::Device> mine) noexcept
        : device(mine.get()), owned(std::move(mine)) {}

    bounce::Device* device;
    std::unique_ptr<bounce::Device> owned;  // empty: borrowed
    unsigned directions = 3;                // how many there are for the short way; a device that is watched has none
    bounce_pool* pool = nullptr;            // of a device that is watched
};

struct bounce_ring {
    bounce_ring(bounce::Virtqueue& borrowed, const bounce::vhost::Frontend& owner) noexcept
        : queue(&borrowed), frontend(&owner) {}
    explicit bounce_ring(std::unique_ptr<bounce::Virtqueue> mine) noexcept
        : queue(mine.get()), owned(std::move(mine)) {}

    bounce::Virtqueue* queue;
    std::unique_ptr<bounce::Virtqueue> owned;           // empty: borrowed,
    const bounce::vhost::Frontend* frontend = nullptr;  // of this one
};

namespace bounce::abi {

/// The C return value of a failure.
inline int negative(Error error) noexcept {
    return -error.code();
}

/// 0 or -errno.
inline int status(const Result<void>& result) noexcept {
    return -result.code();
}

/// A count as a C return value, which is INT_MAX when there are more.
inline int at_most_int(std::uint64_t n) noexcept {
    return static_cast<int>(std::min<std::uint64_t>(n, INT_MAX));
}

inline Error null_argument(const char* name) noexcept {
    return fail_text(EINVAL, "%s is NULL", name);
}

/// EOWNERDEAD in a forked child, where the memory behind a pool is gone.
inline Result<void> in_owner(const Pool& pool) noexcept {
    if (pool.alive()) [[likely]]
        return {};
    return fail(EOWNERDEAD,
                "this process is a forked child of the one that created the pool; create a pool of its own");
}

}  // namespace bounce::abi
