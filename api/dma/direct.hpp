// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Mappings without a slot: the device gets the private buffer where it is, as the policy and the host's translation
// allow. A device without them has no DirectPath, and its mappings never come here.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/base/error.hpp"
#include "bounce/bounce.h"

namespace bounce {

struct DirectConfig {
    bounce_translate_fn translate = nullptr;
    bounce_untranslate_fn untranslate = nullptr;
    void* user = nullptr;
    bool may_bounce = false;    // what cannot go as it is
    std::uint64_t align = 1;    // of the address
    std::uint64_t granule = 1;  // of address and size: a device sees whole granules
    std::uint64_t highest = ~std::uint64_t{0};
};

class DirectPath {
public:
    explicit DirectPath(const DirectConfig& config) noexcept : config_(config) {}

    /// The address of a buffer. ERANGE, EINVAL, or what the host said: the device cannot have it as it is.
    Result<std::uint64_t> take(const void* buf, std::size_t bytes, int direction) noexcept;
    /// take() is undone.
    void give(std::uint64_t address, std::size_t bytes) noexcept;

    [[nodiscard]] bool may_bounce() const noexcept { return config_.may_bounce; }
    /// Taken and not given.
    [[nodiscard]] std::uint64_t live() const noexcept { return live_.load(std::memory_order_relaxed); }

private:
    [[nodiscard]] Result<void> check(std::uint64_t address, std::size_t bytes) const noexcept;

    const DirectConfig config_;
    // Counts only: relaxed everywhere.
    std::atomic<std::uint64_t> live_{0};
};

}  // namespace bounce
