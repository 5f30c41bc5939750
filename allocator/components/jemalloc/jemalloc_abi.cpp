// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include <bit>
#include <cerrno>
#include <cstring>

#include "allocator/components/jemalloc/failure.hpp"
#include "allocator/components/jemalloc/heap.hpp"
#include "bounce/jemalloc.h"

using namespace bounce::jemalloc_component;

struct bounce_jemalloc_heap {
    std::unique_ptr<Heap> heap;
};

namespace {

constexpr std::size_t kMaxOptionBytes = 4096;
constexpr std::size_t kMaxAlign = std::size_t{2} << 20;
constexpr std::uint32_t kFlags = BOUNCE_JEMALLOC_BUFFERS;

using Number = unsigned long long;

int read_options(const bounce_jemalloc_options* given, bounce_jemalloc_options& ours) noexcept {
    ours = {};
    if (given == nullptr) return 0;
    std::size_t size = 0;
    std::memcpy(&size, given, sizeof size);  // the struct may be shorter than ours
    if (size < sizeof ours || size > kMaxOptionBytes)
        return fail(EINVAL, "options.size is %zu, expected %zu: set it to sizeof the struct", size, sizeof ours);
    const auto* const bytes = reinterpret_cast<const unsigned char*>(given);
    for (std::size_t at = sizeof ours; at < size; ++at) {
        if (bytes[at] != 0)
            return fail(EINVAL, "options has a nonzero byte at offset %zu, but this library knows only %zu bytes of it",
                        at, sizeof ours);
    }
    ours = *given;
    if ((ours.flags & ~kFlags) != 0)
        return fail(EINVAL, "options.flags has unknown bits 0x%x, known are 0x%x", ours.flags & ~kFlags, kFlags);
    if (ours.reserved != 0) return fail(EINVAL, "options.reserved is %u, must be 0", ours.reserved);
    return 0;
}

/// Is the device one of the pool? Asked by a buffer of it, which nobody touches and which goes back at once.
int check_device(bounce_pool* pool, bounce_device* device) noexcept {
    bounce_block block;
    const int taken = bounce_buffer_alloc(device, 1, 0, &block);
    if (taken == -EOWNERDEAD) return hand_on(taken);
    // That there is no room, or none below the mask, is said when the heap is used.
    if (taken != 0) return 0;
    std::uint64_t gpa = 0;
    const bool inside = bounce_pool_hva_to_gpa(pool, block.ptr, 1, &gpa) == 0;
    static_cast<void>(bounce_buffer_free(device, &block));
    return inside ? 0 : fail(EXDEV, "the device is not one of the pool");
}

int check_heap(const bounce_jemalloc_heap* heap) noexcept {
    if (heap == nullptr) return fail(EINVAL, "heap is NULL");
    if (!heap->heap->alive())
        return fail(EOWNERDEAD, "this process is a forked child of the one that created the heap: it has none");
    return 0;
}

int not_out(int code, const void* ptr) noexcept {
    if (code == EFAULT) return fail(code, "no allocation of the heap can be at %p", ptr);
    return fail(code, "nothing that is out begins at %p: it was freed before, or lies inside of something", ptr);
}

void* with_errno(int status) noexcept {
    errno = -status;
    return nullptr;
}

void* no_memory(std::size_t bytes) noexcept {
    const int code = Extents::error();
    return with_errno(fail(code, "%zu bytes: %s", bytes, bounce_error_text(-code)));
}

void* alloc(bounce_jemalloc_heap* heap, std::size_t bytes, std::size_t align, bool zeroed,
            std::uint64_t* addr) noexcept {
    if (const int status = check_heap(heap); status != 0) return with_errno(status);
    void* const ptr = heap->heap->alloc(bytes, align, zeroed);
    if (ptr == nullptr) return no_memory(bytes);
    const std::uint64_t address = heap->heap->extents().address(ptr);
    if (address % align != 0) {
        heap->heap->free(ptr);
        return with_errno(
            fail(ENOTSUP, "%zu bytes aligned to %zu: the region's pointer is not as aligned as its GPA", bytes, align));
    }
    if (addr != nullptr) *addr = address;
    return ptr;
}

}  // namespace

const char* bounce_jemalloc_last_error() {
    return last_error();
}

int bounce_jemalloc_create(bounce_pool* pool, bounce_device* device, const bounce_jemalloc_options* options,
                           bounce_jemalloc_heap** heap) {
    if (heap == nullptr) return fail(EINVAL, "heap is NULL");
    *heap = nullptr;
    if (pool == nullptr) return fail(EINVAL, "pool is NULL");
    if (device == nullptr) return fail(EINVAL, "device is NULL");
    bounce_jemalloc_options ours;
    if (const int status = read_options(options, ours); status != 0) return status;
    const bool buffers = (ours.flags & BOUNCE_JEMALLOC_BUFFERS) != 0;
    if (const int status = check_device(pool, device); status != 0) return status;
    int code = 0;
    auto inner = Heap::create({pool, device, !buffers, ours.limit_bytes}, code);
    if (inner == nullptr) return fail(code, "no arena for a heap: %s", std::strerror(code));
    *heap = new (std::nothrow) bounce_jemalloc_heap{std::move(inner)};
    return *heap != nullptr ? 0 : fail(ENOMEM, "no memory for a heap's handle");
}

int bounce_jemalloc_destroy(bounce_jemalloc_heap* heap) {
    if (heap == nullptr) return 0;
    if (const int status = check_heap(heap); status != 0) return status;
    if (const std::uint64_t out = heap->heap->allocations(); out != 0)
        return fail(EBUSY, "%llu allocations of the heap exist, expected none", Number{out});
    delete heap;
    return 0;
}

void* bounce_jemalloc_malloc(bounce_jemalloc_heap* heap, size_t bytes, uint64_t* addr) {
    return alloc(heap, bytes, 1, false, addr);
}

void* bounce_jemalloc_calloc(bounce_jemalloc_heap* heap, size_t n, size_t bytes, uint64_t* addr) {
    std::size_t total = 0;
    if (__builtin_mul_overflow(n, bytes, &total))
        return with_errno(fail(E2BIG, "%zu times %zu bytes is more than there can be", n, bytes));
    return alloc(heap, total, 1, true, addr);
}

void* bounce_jemalloc_aligned_alloc(bounce_jemalloc_heap* heap, size_t align, size_t bytes, uint64_t* addr) {
    if (!std::has_single_bit(align) || align > kMaxAlign)
        return with_errno(fail(EINVAL, "alignment %zu, expected a power of two up to %zu", align, kMaxAlign));
    return alloc(heap, bytes, align, false, addr);
}

void* bounce_jemalloc_realloc(bounce_jemalloc_heap* heap, void* ptr, size_t bytes, uint64_t* addr) {
    if (ptr == nullptr) return alloc(heap, bytes, 1, false, addr);
    if (const int status = check_heap(heap); status != 0) return with_errno(status);
    int code = 0;
    void* const moved = heap->heap->realloc(ptr, bytes, code);
    if (moved == nullptr) {
        if (code == EFAULT || code == EALREADY) return with_errno(not_out(code, ptr));
        return no_memory(bytes);
    }
    if (addr != nullptr) *addr = heap->heap->extents().address(moved);
    return moved;
}

int bounce_jemalloc_free(bounce_jemalloc_heap* heap, void* ptr) {
    if (const int status = check_heap(heap); status != 0) return status;
    if (ptr == nullptr) return 0;
    const int code = heap->heap->free(ptr);
    return code == 0 ? 0 : not_out(code, ptr);
}

size_t bounce_jemalloc_usable_size(bounce_jemalloc_heap* heap, const void* ptr) {
    int status = check_heap(heap);
    if (const int code = status == 0 ? heap->heap->extents().check(ptr) : 0; code != 0) status = not_out(code, ptr);
    if (status == 0) return heap->heap->usable_size(ptr);
    errno = -status;
    return 0;
}

int bounce_jemalloc_address(bounce_jemalloc_heap* heap, const void* ptr, uint64_t* addr) {
    if (const int status = check_heap(heap); status != 0) return status;
    if (addr == nullptr) return fail(EINVAL, "addr is NULL");
    if (const int code = heap->heap->extents().check(ptr); code != 0) return not_out(code, ptr);
    *addr = heap->heap->extents().address(ptr);
    return 0;
}

int bounce_jemalloc_trim(bounce_jemalloc_heap* heap) {
    if (const int status = check_heap(heap); status != 0) return status;
    heap->heap->trim();
    return 0;
}

int bounce_jemalloc_get_info(bounce_jemalloc_heap* heap, bounce_jemalloc_info* info) {
    if (const int status = check_heap(heap); status != 0) return status;
    if (info == nullptr) return fail(EINVAL, "info is NULL");
    *info = {heap->heap->allocations(), heap->heap->extents().blocks(), heap->heap->extents().bytes()};
    return 0;
}
