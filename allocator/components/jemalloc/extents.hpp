// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The memory of a heap: blocks of a device, handed to jemalloc as extents, and taken back when jemalloc has given all
// of a block back. And which allocations are out: a bit for each 16 bytes, in private memory, so that an address that
// was not handed out never reaches jemalloc.
//
// jemalloc may cut an extent in two and give the pieces back one by one: a block counts its bytes that are still there.
// It joins pieces of one block only.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "allocator/components/jemalloc/inner.hpp"
#include "bounce/bounce.h"

namespace bounce::jemalloc_component {

class Extents {
public:
    static constexpr std::size_t kPageBytes = 4096;
    static constexpr std::size_t kGrain = 16;  // allocations begin at multiples of it

    /// coherent: else born-shared buffers. limit: most bytes to have of the device; 0: no limit.
    Extents(bounce_pool* pool, bounce_device* device, bool coherent, std::uint64_t limit) noexcept;
    ~Extents();
    Extents(const Extents&) = delete;
    Extents& operator=(const Extents&) = delete;

    [[nodiscard]] extent_hooks_t* hooks() noexcept { return &hooks_.table; }

    /// [ptr, ptr + anything) is out from now on; false when ptr is not of this heap.
    bool note_out(const void* ptr) noexcept;
    /// It comes back: 0, or of several callers that give one back all but one get EALREADY. EFAULT: not of this heap.
    int note_back(const void* ptr) noexcept;
    /// Is it out? 0, EALREADY or EFAULT.
    [[nodiscard]] int check(const void* ptr) const noexcept;
    /// Of a pointer that is out.
    [[nodiscard]] std::uint64_t address(const void* ptr) const noexcept;

    [[nodiscard]] std::uint64_t blocks() const noexcept { return blocks_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }
    /// Why this thread last got no memory: a positive errno value. forget_error() before something is asked for.
    static int error() noexcept;
    static void forget_error() noexcept;

private:
    struct Block {
        bounce_block memory{};
        std::atomic<std::size_t> present{0};  // bytes that jemalloc has
    };
    struct Page {
        // X1: of the block around it; written before jemalloc has the page (release), read with acquire by those who
        // name an address.
        std::atomic<Block*> block{nullptr};
        // X2: relaxed read-modify-writes; what orders the content is jemalloc's.
        std::array<std::atomic<std::uint64_t>, kPageBytes / kGrain / 64> out{};
    };
    struct Range {
        std::byte* hva = nullptr;
        std::uint64_t bytes = 0;
        Page* pages = nullptr;
    };
    /// jemalloc hands the address of its table back.
    struct Hooks {
        extent_hooks_t table;
        Extents* owner;
    };
    static constexpr std::uint32_t kMostRanges = 64;

    static Extents& of(extent_hooks_t* hooks) noexcept { return *reinterpret_cast<Hooks*>(hooks)->owner; }
    static void* alloc_hook(extent_hooks_t*, void*, std::size_t, std::size_t, bool*, bool*, unsigned);
    static bool dalloc_hook(extent_hooks_t*, void*, std::size_t, bool, unsigned);
    static void destroy_hook(extent_hooks_t*, void*, std::size_t, bool, unsigned);
    static bool split_hook(extent_hooks_t*, void*, std::size_t, std::size_t, std::size_t, bool, unsigned);
    static bool merge_hook(extent_hooks_t*, void*, std::size_t, void*, std::size_t, bool, unsigned);

    std::byte* take(std::size_t bytes, std::size_t align, bool* zeroed) noexcept;
    bool give(std::byte* begin, std::size_t bytes) noexcept;
    int free_block(bounce_block& memory) noexcept;
    [[nodiscard]] const Range* range_of(const void* ptr) const noexcept;
    const Range* learn(const bounce_block& memory) noexcept;
    [[nodiscard]] Page* page_of(const void* ptr) const noexcept;
    static bool reserve(std::atomic<std::uint64_t>& bytes, std::uint64_t more, std::uint64_t limit) noexcept;

    Hooks hooks_;
    bounce_pool* pool_;
    bounce_device* device_;
    const bool coherent_;
    const std::uint64_t limit_;
    std::mutex lock_;  // ranges that come
    // X3: ranges_[i] is written before the count passes i (release), and never changes afterwards.
    std::array<Range, kMostRanges> ranges_{};
    std::atomic<std::uint32_t> count_{0};
    std::atomic<std::uint64_t> blocks_{0};
    std::atomic<std::uint64_t> bytes_{0};
};

}  // namespace bounce::jemalloc_component
