// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Those who wait for memory of a pool, as the pool knows them: somebody to tell that something may have come home. What
// they wait for, and in which order, is decided above (api/dma/waiters.hpp).
#pragma once

namespace bounce {

class HomeWatch {
public:
    HomeWatch() noexcept = default;
    HomeWatch(const HomeWatch&) = delete;
    HomeWatch& operator=(const HomeWatch&) = delete;
    virtual ~HomeWatch() = default;

    /// Called at the end of what may have brought something home, while Contexts::waiting(): outside of contexts,
    /// without a lock of the pool.
    virtual void look() noexcept = 0;
};

}  // namespace bounce
