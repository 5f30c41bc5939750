// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What of a pool's configuration may change while it works.
#pragma once

#include <cstdint>

#include "allocator/pool/pool.hpp"

namespace bounce {

class PoolTuning {
public:
    explicit PoolTuning(Pool& pool) noexcept : pool_(pool) {}

    [[nodiscard]] GrowthConfig growth() const noexcept;
    /// The GPAs that are reserved for grown regions, and the first region: no limit can be above.
    [[nodiscard]] std::uint64_t most_limit() const noexcept;
    /// The limit, both watermarks and the delay of `growth`; the rest stays. A limit below what the pool has takes
    /// nothing away: the pool grows no more, and shrinks when memory is spare, as ever. ENOTSUP: the pool does not
    /// grow. EINVAL: a limit of 0 or above most_limit(), or a high watermark below the low one. May wait for a thread
    /// that grows or shrinks the pool.
    Result<void> set_growth(const GrowthConfig& growth) noexcept;

    /// How much all contexts together may keep: one of so many bytes of the pool; 0: nothing at all. What they have
    /// more than that goes home as they come to ask.
    [[nodiscard]] std::uint32_t context_part() const noexcept;
    void set_context_part(std::uint32_t part) noexcept;
    [[nodiscard]] bool checked() const noexcept { return pool_.checked_; }

private:
    Pool& pool_;
};

}  // namespace bounce
