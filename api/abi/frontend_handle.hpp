// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What stands behind the handle of a front-end. A forked child shares the socket with its parent but has no pool: every
// function asks first, and touches nothing there.
#pragma once

#include <memory>
#include <optional>

#include "api/abi/handles.hpp"
#include "api/vhost/frontend.hpp"

struct bounce_frontend {
    std::unique_ptr<bounce::vhost::Frontend> frontend;
    std::optional<bounce_device> device;
    std::unique_ptr<std::optional<bounce_ring>[]> rings;
};

namespace bounce::abi {

inline Result<void> usable(const bounce_frontend* frontend) noexcept {
    if (frontend == nullptr) return null_argument("frontend");
    return in_owner(frontend->frontend->pool());
}

/// Calls `what`, which returns a Result<void>, on the front-end behind a handle.
template <class What>
int on(bounce_frontend* frontend, What what) noexcept {
    if (const auto good = usable(frontend); !good) return status(good);
    return status(what(*frontend->frontend));
}

/// The same for one that returns a number.
template <class What>
int count_on(bounce_frontend* frontend, What what) noexcept {
    if (const auto good = usable(frontend); !good) return status(good);
    const auto result = what(*frontend->frontend);
    return result ? static_cast<int>(*result) : negative(result.error());
}

}  // namespace bounce::abi
