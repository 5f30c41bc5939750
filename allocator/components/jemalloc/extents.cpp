// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/components/jemalloc/extents.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <new>

namespace bounce::jemalloc_component {
namespace {

thread_local int t_error = 0;

constexpr std::memory_order kRelaxed = std::memory_order_relaxed;

std::nullptr_t refuse(int code) noexcept {
    t_error = code;
    return nullptr;
}

std::uintptr_t address_of(const void* ptr) noexcept {
    return reinterpret_cast<std::uintptr_t>(ptr);
}

/// Where the bit of an address is, in its page.
struct Bit {
    std::size_t word;
    std::uint64_t mask;
    explicit Bit(const void* ptr) noexcept {
        const std::size_t grain = address_of(ptr) % Extents::kPageBytes / Extents::kGrain;
        word = grain / 64;
        mask = std::uint64_t{1} << grain % 64;
    }
};

}  // namespace

int Extents::error() noexcept {
    return t_error != 0 ? t_error : ENOMEM;
}
void Extents::forget_error() noexcept {
    t_error = 0;
}

Extents::Extents(bounce_pool* pool, bounce_device* device, bool coherent, std::uint64_t limit) noexcept
    : hooks_{{}, this}, pool_(pool), device_(device), coherent_(coherent), limit_(limit != 0 ? limit : UINT64_MAX) {
    // No commit, decommit or purge: all of a block is there as long as it is out.
    hooks_.table.alloc = alloc_hook;
    hooks_.table.dalloc = dalloc_hook;
    hooks_.table.destroy = destroy_hook;
    hooks_.table.split = split_hook;
    hooks_.table.merge = merge_hook;
}

Extents::~Extents() {
    for (std::uint32_t i = 0; i < count_.load(kRelaxed); ++i)
        ::munmap(ranges_[i].pages, ranges_[i].bytes / kPageBytes * sizeof(Page));
}

void* Extents::alloc_hook(extent_hooks_t* hooks, void* wanted, std::size_t bytes, std::size_t align, bool* zeroed,
                          bool* committed, unsigned) {
    if (wanted != nullptr) return nullptr;  // nothing grows in place
    *committed = true;
    return of(hooks).take(bytes, align, zeroed);
}

/// True: it stays jemalloc's.
bool Extents::dalloc_hook(extent_hooks_t* hooks, void* begin, std::size_t bytes, bool, unsigned) {
    return !of(hooks).give(static_cast<std::byte*>(begin), bytes);
}

void Extents::destroy_hook(extent_hooks_t* hooks, void* begin, std::size_t bytes, bool, unsigned) {
    of(hooks).give(static_cast<std::byte*>(begin), bytes);
}

bool Extents::split_hook(extent_hooks_t*, void*, std::size_t, std::size_t, std::size_t, bool, unsigned) {
    return false;  // it is done
}

/// True: not these two.
bool Extents::merge_hook(extent_hooks_t* hooks, void* a, std::size_t, void* b, std::size_t, bool, unsigned) {
    const Page* const first = of(hooks).page_of(a);
    const Page* const second = of(hooks).page_of(b);
    return first == nullptr || second == nullptr || first->block.load(kRelaxed) != second->block.load(kRelaxed);
}

bool Extents::reserve(std::atomic<std::uint64_t>& bytes, std::uint64_t more, std::uint64_t limit) noexcept {
    std::uint64_t now = bytes.load(kRelaxed);
    do {
        if (more > limit || now > limit - more) return false;
    } while (!bytes.compare_exchange_weak(now, now + more, kRelaxed));
    return true;
}

std::byte* Extents::take(std::size_t bytes, std::size_t align, bool* zeroed) noexcept {
    std::unique_ptr<Block> block(new (std::nothrow) Block);
    if (block == nullptr) return refuse(ENOMEM);
    if (!reserve(bytes_, bytes, limit_)) return refuse(ENOSPC);
    const int status = coherent_ ? bounce_coherent_alloc(device_, bytes, align, &block->memory)
                                 : bounce_buffer_alloc(device_, bytes, align, &block->memory);
    const Range* range = nullptr;
    if (status == 0) {
        // By pointer it is aligned as by address, but in a mapping of the caller's that lies otherwise.
        range = address_of(block->memory.ptr) % align == 0 ? learn(block->memory) : nullptr;
        t_error = range == nullptr ? ENOMEM : t_error;
        if (range == nullptr) static_cast<void>(free_block(block->memory));
    } else {
        t_error = -status;
    }
    if (range == nullptr) {
        bytes_.fetch_sub(bytes, kRelaxed);
        return nullptr;
    }
    auto* const begin = static_cast<std::byte*>(block->memory.ptr);
    if (coherent_) {
        *zeroed = true;
    } else if (*zeroed) {
        std::memset(begin, 0, bytes);
    }
    block->present.store(bytes, kRelaxed);
    Page* const first = range->pages + static_cast<std::size_t>(begin - range->hva) / kPageBytes;
    // X1: release, before jemalloc has the pages; pairs with the acquire in check().
    for (std::size_t i = 0; i < bytes / kPageBytes; ++i) first[i].block.store(block.get(), std::memory_order_release);
    blocks_.fetch_add(1, kRelaxed);
    block.release();  // of its pages
    return begin;
}

int Extents::free_block(bounce_block& memory) noexcept {
    return coherent_ ? bounce_coherent_free(device_, &memory) : bounce_buffer_free(device_, &memory);
}

/// False: it cannot be given back now (a mapping of a buffer still exists).
bool Extents::give(std::byte* begin, std::size_t bytes) noexcept {
    Block* const block = page_of(begin)->block.load(kRelaxed);
    // Acquire and release: who gives the last piece back sees what was done with the others.
    if (block->present.fetch_sub(bytes, std::memory_order_acq_rel) != bytes) return true;
    const bounce_block memory = block->memory;
    const Range& range = *range_of(begin);
    Page* const first =
        range.pages + static_cast<std::size_t>(static_cast<std::byte*>(memory.ptr) - range.hva) / kPageBytes;
    // Before it is freed: then it may be another heap's, or ours again.
    for (std::size_t i = 0; i < memory.bytes / kPageBytes; ++i) first[i].block.store(nullptr, kRelaxed);
    if (free_block(block->memory) != 0) {
        for (std::size_t i = 0; i < memory.bytes / kPageBytes; ++i)
            first[i].block.store(block, std::memory_order_release);
        block->present.store(bytes, kRelaxed);
        return false;
    }
    bytes_.fetch_sub(memory.bytes, kRelaxed);
    blocks_.fetch_sub(1, kRelaxed);
    delete block;
    return true;
}

const Extents::Range* Extents::range_of(const void* ptr) const noexcept {
    // X3: acquire, pairs with the release in learn().
    const std::uint32_t count = count_.load(std::memory_order_acquire);
    for (std::uint32_t i = 0; i < count; ++i) {
        if (address_of(ptr) - address_of(ranges_[i].hva) < ranges_[i].bytes) return &ranges_[i];
    }
    return nullptr;
}

/// The region that the block is in: one that was seen before, or one of the pool's.
const Extents::Range* Extents::learn(const bounce_block& memory) noexcept {
    if (const Range* const known = range_of(memory.ptr)) return known;
    const std::lock_guard lock(lock_);
    if (const Range* const known = range_of(memory.ptr)) return known;
    const std::uint32_t count = count_.load(kRelaxed);
    if (count == kMostRanges) return nullptr;
    bounce_region_info info;
    for (std::uint32_t i = 0; bounce_pool_region(pool_, i, &info) == 0; ++i) {
        if (address_of(memory.ptr) - address_of(info.hva) >= info.bytes) continue;
        const std::uint64_t pages = (info.bytes + kPageBytes - 1) / kPageBytes;
        // Sparse: what no block is in costs nothing. Zeroes are empty pages.
        void* const table = ::mmap(nullptr, pages * sizeof(Page), PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (table == MAP_FAILED) return nullptr;
        ranges_[count] = {static_cast<std::byte*>(info.hva), info.bytes, static_cast<Page*>(table)};
        count_.store(count + 1, std::memory_order_release);  // X3
        return &ranges_[count];
    }
    return nullptr;
}

Extents::Page* Extents::page_of(const void* ptr) const noexcept {
    const Range* const range = range_of(ptr);
    return range == nullptr ? nullptr : range->pages + (address_of(ptr) - address_of(range->hva)) / kPageBytes;
}

bool Extents::note_out(const void* ptr) noexcept {
    Page* const page = page_of(ptr);
    if (page == nullptr || address_of(ptr) % kGrain != 0) return false;
    const Bit bit(ptr);
    page->out[bit.word].fetch_or(bit.mask, kRelaxed);  // X2
    return true;
}

int Extents::note_back(const void* ptr) noexcept {
    if (const int code = check(ptr); code != 0) return code;
    const Bit bit(ptr);
    // X2
    return (page_of(ptr)->out[bit.word].fetch_and(~bit.mask, kRelaxed) & bit.mask) != 0 ? 0 : EALREADY;
}

int Extents::check(const void* ptr) const noexcept {
    const Page* const page = page_of(ptr);
    if (page == nullptr || page->block.load(std::memory_order_acquire) == nullptr || address_of(ptr) % kGrain != 0)
        return EFAULT;  // X1
    const Bit bit(ptr);
    return (page->out[bit.word].load(kRelaxed) & bit.mask) != 0 ? 0 : EALREADY;
}

std::uint64_t Extents::address(const void* ptr) const noexcept {
    const bounce_block& around = page_of(ptr)->block.load(std::memory_order_acquire)->memory;  // X1
    return around.addr + (address_of(ptr) - address_of(around.ptr));
}

}  // namespace bounce::jemalloc_component
