// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What is outstanding in a pool, written down, and taken over by the pool of another process; what bounce/save.h says.
//
// A restore owns what the form spoke of until it is claimed: slots that are handed out, and nobody's. One lock.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

#include "allocator/pool/pool.hpp"
#include "api/dma/callbacks.hpp"
#include "api/dma/device.hpp"
#include "api/dma/records.hpp"
#include "api/dma/save_form.hpp"
#include "bounce/save.h"

namespace bounce {

/// Into `form`, unless that is empty; how many bytes it takes. Errors as bounce_pool_save().
Result<std::size_t> save(const Pool& pool, const Records* records, std::span<std::byte> form) noexcept;

class Restore {
public:
    static Result<std::unique_ptr<Restore>> create(Pool& pool, Callbacks& callbacks,
                                                   std::span<const std::byte> form) noexcept;
    ~Restore();
    Restore(const Restore&) = delete;
    Restore& operator=(const Restore&) = delete;

    Result<void> claim(Device& device, Gpa addr, void* buf, std::size_t bytes, bounce_mapping& mapping) noexcept;
    Result<void> claim(Device& device, Gpa addr, bounce_block& block) noexcept;
    std::uint64_t visit(bounce_saved_fn tell_one, void* user) noexcept;
    /// How many are quarantined.
    std::uint64_t finish() noexcept;
    /// How many are free again. nullptr: of each device. EBUSY before finish().
    Result<std::uint64_t> release(const char* device) noexcept;
    [[nodiscard]] Pool& pool() const noexcept { return pool_; }

private:
    enum class State : std::uint8_t {
        kWaiting = BOUNCE_SAVED_WAITING,
        kClaimed = BOUNCE_SAVED_CLAIMED,
        kQuarantined = BOUNCE_SAVED_QUARANTINED,
        kReleased = BOUNCE_SAVED_RELEASED,
    };
    struct Item {
        SavedRecord record;
        State state;
    };
    struct Name {
        char text[SaveForm::kNameBytes];
        std::uint64_t left = 0;   // what it has not claimed,
        std::uint64_t first = 0;  // and where that begins
    };

    Restore(Pool& pool, Callbacks& callbacks) noexcept;
    Result<void> take(const SaveForm& form) noexcept;
    Result<RegionId> region_of(const SavedRegion& region) const noexcept;
    [[nodiscard]] Slot slot_of(const Item& item) const noexcept;
    /// Under the lock: one that waits for this device.
    Result<Item*> find(const Device& device, Gpa addr, bool mapping) noexcept;

    Pool& pool_;
    Callbacks& callbacks_;
    std::mutex lock_;
    std::unique_ptr<Item[]> items_;
    std::uint64_t n_items_ = 0;
    std::unique_ptr<Name[]> names_;
    std::uint32_t n_names_ = 0;
    bool finished_ = false;
};

}  // namespace bounce
