// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/pool/pool_bulk.hpp"

namespace bounce {

Result<void> Pool::alloc_bulk(ContextGroup& group, Context* context, std::uint64_t bytes, Slot* slots,
                              std::uint32_t n) noexcept {
    std::uint32_t done = 0;
    const auto sink = [slots](std::uint32_t i, const KeptSlot& kept, std::uint32_t epoch) {
        slots[i].gpa = kept.gpa;
        slots[i].hva = kept.hva;
        slots[i].epoch = epoch;
        slots[i].handle = kept.handle;
    };
    auto taken = alloc_many(
        group, context, n, [bytes](std::uint32_t) { return bytes; }, sink, done);
    if (!taken) {
        // Each was given out just above, so this cannot fail, and the error stays this thread's last one.
        static_cast<void>(free_bulk(group, context, slots, done));
        std::fill_n(slots, n, Slot{});
    }
    return taken;
}

Result<void> Pool::free_bulk(ContextGroup& group, Context* context, const Slot* slots, std::uint32_t n) noexcept {
    EndedSlots ended;
    Result<void> first;
    for (std::uint32_t i = 0; i < n;) {
        std::uint32_t count = 0;
        for (; i < n && count < kBulk; ++i) {
            const Begun begun = begin(context, slots[i], SlotKind::kStreaming, 0, false, ended.slots[count]);
            if (begun == Begun::kYes) [[likely]] {
                ++count;
                continue;
            }
            const auto slow = free_slow(group, context, slots[i], begun);
            if (first && !slow) first = slow;
        }
        finish_many(group, context, ended.slots, count);
    }
    return first;
}

}  // namespace bounce
