// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/components/jemalloc/heap.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <new>

namespace bounce::jemalloc_component {
namespace {

constexpr std::size_t kGuardBytes = 4096;

}  // namespace

bool Heap::make_guard() noexcept {
    void* const page = ::mmap(nullptr, kGuardBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return false;
    guard_ = static_cast<volatile std::uint32_t*>(page);
    if (::madvise(page, kGuardBytes, MADV_WIPEONFORK) != 0) return false;
    *guard_ = 1;
    return true;
}

std::unique_ptr<Heap> Heap::create(const Config& config, int& code) noexcept {
    code = ENOMEM;
    std::unique_ptr<Heap> heap(new (std::nothrow) Heap(config));
    if (heap == nullptr || !heap->make_guard()) return nullptr;
    ArenaConfig of_arena{heap->extents_.hooks(), false};
    std::size_t bytes = sizeof heap->arena_;
    const int made =
        bounce_je_mallctl("experimental.arenas_create_ext", &heap->arena_, &bytes, &of_arena, sizeof of_arena);
    if (made != 0) {
        code = made == EAGAIN ? ENOMEM : made;
        return nullptr;
    }
    heap->lanes_.reset(new (std::nothrow) Lanes(heap->arena_));
    if (heap->lanes_ == nullptr) {
        char name[40];
        std::snprintf(name, sizeof name, "arena.%u.destroy", heap->arena_);
        bounce_je_mallctl(name, nullptr, nullptr, nullptr, 0);
        return nullptr;
    }
    return heap;
}

Heap::~Heap() {
    if (lanes_ != nullptr) {
        lanes_->destroy();
        char name[40];
        std::snprintf(name, sizeof name, "arena.%u.destroy", arena_);
        bounce_je_mallctl(name, nullptr, nullptr, nullptr, 0);
    }
    if (guard_ != nullptr) ::munmap(const_cast<std::uint32_t*>(guard_), kGuardBytes);
}

void Heap::purge() noexcept {
    char name[40];
    std::snprintf(name, sizeof name, "arena.%u.purge", arena_);
    bounce_je_mallctl(name, nullptr, nullptr, nullptr, 0);
}

void Heap::trim() noexcept {
    lanes_->flush();
    purge();
}

/// `ptr` is nullptr: a fresh one; else one that moves. When there is no memory, once more after the caches gave theirs.
void* Heap::retried(void* ptr, std::size_t bytes, int flags) noexcept {
    for (int tries = 0;; ++tries) {
        Extents::forget_error();
        void* got = nullptr;
        {
            Lanes::Use use(*lanes_);
            got = ptr == nullptr ? bounce_je_mallocx(bytes, flags | use.flags())
                                 : bounce_je_rallocx(ptr, bytes, flags | use.flags());
            if (got != nullptr && ptr == nullptr) use.count_alloc();
        }
        if (got != nullptr || tries == 1 || Extents::error() != ENOSPC) return got;
        trim();
    }
}

void* Heap::alloc(std::size_t bytes, std::size_t align, bool zeroed) noexcept {
    // Whole grains: each begins at one, and no two in one.
    bytes = std::max(bytes, Extents::kGrain);
    align = std::max(align, Extents::kGrain);
    void* const ptr = retried(nullptr, bytes, MALLOCX_ALIGN(align) | (zeroed ? MALLOCX_ZERO : 0));
    if (ptr == nullptr) return nullptr;
    extents_.note_out(ptr);
    return ptr;
}

void* Heap::realloc(void* ptr, std::size_t bytes, int& code) noexcept {
    code = extents_.note_back(ptr);
    if (code != 0) return nullptr;
    void* const moved = retried(ptr, std::max(bytes, Extents::kGrain), MALLOCX_ALIGN(Extents::kGrain));
    extents_.note_out(moved != nullptr ? moved : ptr);
    if (moved == nullptr) code = Extents::error();
    return moved;
}

int Heap::free(void* ptr) noexcept {
    if (const int code = extents_.note_back(ptr); code != 0) return code;
    Lanes::Use use(*lanes_);
    use.count_free();
    bounce_je_dallocx(ptr, use.flags());
    return 0;
}

std::size_t Heap::usable_size(const void* ptr) const noexcept {
    return bounce_je_sallocx(ptr, 0);
}

}  // namespace bounce::jemalloc_component
