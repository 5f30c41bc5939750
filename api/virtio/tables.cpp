// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/virtio/tables.hpp"

#include <algorithm>
#include <cerrno>
#include <new>

namespace bounce {

TablePool::~TablePool() {
    if (area_.ptr != nullptr) (void)device_.free_block(SlotKind::kCoherent, area_);
}

Result<void> TablePool::init(std::uint32_t queue_size) noexcept {
    const std::uint32_t n = std::min(queue_size, kMaxShort);
    std::unique_ptr<std::uint16_t[]> stack(new (std::nothrow) std::uint16_t[n]);
    std::unique_ptr<bounce_block[]> blocks(new (std::nothrow) bounce_block[queue_size]());
    if (stack == nullptr || blocks == nullptr) return fail(ENOMEM, "no memory for the indirect tables of a ring");
    bounce_block area{};
    const std::size_t bytes = std::size_t{n} * kShort * kDescBytes;
    if (auto taken = device_.alloc_block(SlotKind::kCoherent, bytes, kRingAlign, area); !taken) return taken;
    for (std::uint32_t i = 0; i < n; ++i) stack[i] = static_cast<std::uint16_t>(n - 1 - i);
    area_ = area;
    area_memory_ = static_cast<std::byte*>(area.ptr);
    free_ = std::move(stack);
    long_ = std::move(blocks);
    n_free_ = n;
    return {};
}

Result<TablePool::Table> TablePool::take_slot(std::uint32_t n, std::uint32_t head) noexcept {
    bounce_block& block = long_[head];
    if (auto taken = device_.alloc_block(SlotKind::kCoherent, n * kDescBytes, 64, block); !taken) {
        return taken.error();
    }
    return Table{static_cast<std::byte*>(block.ptr), block.addr, kOwnSlot};
}

void TablePool::give_slot(std::uint32_t head) noexcept {
    (void)device_.free_block(SlotKind::kCoherent, long_[head]);
}

}  // namespace bounce
