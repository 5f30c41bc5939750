// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/slab/slab_tables.hpp"

#include "allocator/base/bits.hpp"

namespace bounce {
namespace {

// Zeroed memory is used as these as it is: running constructors would touch all of it.
static_assert(std::atomic<std::uint64_t>::is_always_lock_free && sizeof(std::atomic<std::uint64_t>) == 8);
static_assert(std::atomic<std::uint32_t>::is_always_lock_free && sizeof(std::atomic<std::uint32_t>) == 4);
static_assert(std::atomic<std::uint16_t>::is_always_lock_free && sizeof(std::atomic<std::uint16_t>) == 2);
static_assert(std::atomic<std::uint8_t>::is_always_lock_free && sizeof(std::atomic<std::uint8_t>) == 1);
static_assert(sizeof(ClassInfo) == kCacheLine);

class Layout {
public:
    explicit Layout(std::byte* memory) noexcept : memory_(memory) {}

    template <class T>
    T* take(std::size_t count) noexcept {
        T* const taken = memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + offset_);
        offset_ = round_up(offset_ + count * sizeof(T), kCacheLine);
        return taken;
    }
    [[nodiscard]] std::size_t bytes() const noexcept { return offset_; }

private:
    std::byte* memory_;
    std::size_t offset_ = 0;
};

std::size_t lay_out(SlabTables& tables, std::byte* memory) noexcept {
    Layout layout(memory);
    const std::size_t pages = tables.end;
    tables.alive = layout.take<std::byte>(1);
    tables.classes = layout.take<ClassInfo>(kClasses);
    tables.pages = layout.take<SlabTables::Pages::Word>(SlabTables::Pages::words_needed(tables.end));
    tables.home = layout.take<SlabTables::Home::Word>(SlabTables::Home::words_needed(tables.chunks(), kClasses));
    tables.entries = layout.take<std::atomic<std::uint32_t>>(pages);
    tables.shapes = layout.take<std::atomic<std::uint16_t>>(pages);
    tables.words = layout.take<SlabTables::Ops::Word>(std::size_t{tables.word_base} * 2);
    tables.states = layout.take<SlabTables::Ops::State>(pages * 2 * kPageBytes / kMinSlotBytes);
    return layout.bytes();
}

}  // namespace

SlabTables::SlabTables(Gpa base, std::uint64_t bytes, std::byte* memory) noexcept
    : first(static_cast<std::uint32_t>(base.value % kChunkBytes / kPageBytes)),
      end(first + static_cast<std::uint32_t>(bytes / kPageBytes)),
      word_base(static_cast<std::uint32_t>(round_up(end, kPagesPerChunk))) {
    lay_out(*this, memory);
    if (alive != nullptr) *alive = std::byte{1};
}

std::size_t SlabTables::bytes_needed(Gpa base, std::uint64_t bytes) noexcept {
    SlabTables none(base, bytes, nullptr);
    return lay_out(none, nullptr);
}

namespace {

// Of a run that long, the length is in the shapes of the next pages, in parts.
constexpr std::uint32_t kLongRun = (1U << Shape::kPartBits) - 1;
constexpr std::uint32_t kRunParts = (32 + Shape::kPartBits - 1) / Shape::kPartBits;
static_assert(kRunParts < kLongRun);

}  // namespace

std::uint32_t SlabTables::run_pages(std::uint32_t head) const noexcept {
    const std::uint32_t length = shape(head).run_part();
    if (length != kLongRun) return length;
    std::uint64_t parts = 0;
    for (std::uint32_t i = kRunParts; i != 0; --i) parts = parts << Shape::kPartBits | shape(head + i).run_part();
    return static_cast<std::uint32_t>(parts);
}

void SlabTables::set_run(std::uint32_t head, std::uint32_t length) noexcept {
    const auto set = [this](std::uint32_t page, std::uint32_t part) {
        shapes[page].store(Shape::of_run(part).pack(), std::memory_order_relaxed);
    };
    set(head, length < kLongRun ? length : kLongRun);
    if (length < kLongRun) return;
    for (std::uint32_t i = 0; i < kRunParts; ++i) set(head + 1 + i, length >> i * Shape::kPartBits);
}

void SlabTables::forget_run(std::uint32_t head) noexcept {
    const std::uint32_t parts = shape(head).run_part() == kLongRun ? kRunParts + 1 : 1;
    for (std::uint32_t i = 0; i < parts; ++i) shapes[head + i].store(0, std::memory_order_relaxed);
}

}  // namespace bounce
