// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/slab/slab_tables.hpp"

#include "allocator/base/bits.hpp"

namespace bounce {
namespace {

// Zeroed memory is used as these as it is: running constructors would touch all of it.
static_assert(std::atomic<std::uint64_t>::is_always_lock_free && sizeof(std::atomic<std::uint64_t>) == 8);
static_assert(std::atomic<std::uint32_t>::is_always_lock_free && sizeof(std::atomic<std::uint32_t>) == 4);
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
    // Whole groups of lines, among which states are mixed.
    const std::size_t slots = round_up(2 * pages * (kPageBytes / kMinSlotBytes), kColours * kCacheLine);
    tables.words = layout.take<SlabTables::Ops::Word>(slots / 64);
    tables.states = layout.take<SlabTables::Ops::State>(slots);
    return layout.bytes();
}

}  // namespace

SlabTables::SlabTables(Gpa base, std::uint64_t bytes, std::byte* memory) noexcept
    : first(static_cast<std::uint32_t>(base.value % kChunkBytes / kPageBytes)),
      end(first + static_cast<std::uint32_t>(bytes / kPageBytes)) {
    lay_out(*this, memory);
    if (alive != nullptr) *alive = std::byte{1};
}

std::size_t SlabTables::bytes_needed(Gpa base, std::uint64_t bytes) noexcept {
    SlabTables none(base, bytes, nullptr);
    return lay_out(none, nullptr);
}

std::uint32_t SlabTables::run_pages(std::uint32_t head) const noexcept {
    std::uint32_t length = entry(head).length;
    if (length != PageEntry::kLongRun) return length;
    length = 0;
    for (std::uint32_t i = PageEntry::kLengthParts; i != 0; --i)
        length = length << PageEntry::kLengthBits | entry(head + i).length;
    return length;
}

}  // namespace bounce
