// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bounce/jemalloc.h for C++20, in the manner of bounce.hpp.
#ifndef BOUNCE_JEMALLOC_HPP
#define BOUNCE_JEMALLOC_HPP

#include <bounce/jemalloc.h>
#include <bounce/bounce.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace bounce {
inline namespace v0 {

/// A heap; with allocations out it refuses to be destroyed, and would be leaked. The pool and the device must outlive
/// it.
class Heap {
public:
    struct Free {
        bounce_jemalloc_heap* heap = nullptr;
        void operator()(void* ptr) const noexcept { static_cast<void>(bounce_jemalloc_free(heap, ptr)); }
    };
    /// Freed by the destructor. The heap must outlive it.
    using Memory = std::unique_ptr<void, Free>;

    struct Options {
        std::uint32_t flags = 0;  // BOUNCE_JEMALLOC_*
        std::uint64_t limit_bytes = 0;
    };

    [[nodiscard]] static Result<Heap> create(Pool& pool, DeviceRef& device, const Options& options) noexcept {
        bounce_jemalloc_options raw{};
        raw.size = sizeof raw;
        raw.flags = options.flags;
        raw.limit_bytes = options.limit_bytes;
        bounce_jemalloc_heap* heap = nullptr;
        if (const int status = bounce_jemalloc_create(pool.handle(), device.handle(), &raw, &heap); status < 0)
            return Error(-status);
        return Heap(heap);
    }
    Heap(Heap&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Heap& operator=(Heap&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~Heap() { static_cast<void>(bounce_jemalloc_destroy(handle_)); }

    [[nodiscard]] bounce_jemalloc_heap* handle() const noexcept { return handle_; }
    [[nodiscard]] Result<Memory> alloc(std::size_t bytes, std::size_t align = 16) noexcept {
        void* const ptr = bounce_jemalloc_aligned_alloc(handle_, align, bytes, nullptr);
        if (ptr == nullptr) return Error(errno);
        return Memory(ptr, Free{handle_});
    }
    /// For the device, of the beginning of an allocation.
    [[nodiscard]] Result<std::uint64_t> addr(const void* ptr) const noexcept {
        std::uint64_t addr = 0;
        if (const int status = bounce_jemalloc_address(handle_, ptr, &addr); status < 0) return Error(-status);
        return addr;
    }
    [[nodiscard]] Result<bounce_jemalloc_info> info() const noexcept {
        bounce_jemalloc_info info{};
        if (const int status = bounce_jemalloc_get_info(handle_, &info); status < 0) return Error(-status);
        return info;
    }
    void trim() noexcept { static_cast<void>(bounce_jemalloc_trim(handle_)); }

private:
    explicit Heap(bounce_jemalloc_heap* handle) noexcept : handle_(handle) {}
    bounce_jemalloc_heap* handle_ = nullptr;
};

}  // namespace v0
}  // namespace bounce
#endif
