// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bounce/dma_pool.h for C++20, in the manner of bounce.hpp.
#ifndef BOUNCE_DMA_POOL_HPP
#define BOUNCE_DMA_POOL_HPP

#include <bounce/dma_pool.h>
#include <bounce/bounce.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace bounce {
inline namespace v0 {

struct DmaPoolOptions {
    const char* name = nullptr;
    std::uint64_t block_bytes = 0;
    std::uint64_t align = 0;
    std::uint64_t boundary = 0;
};

/// A block that is out; it goes back by the destructor. The pool must outlive it.
class DmaBlock {
public:
    DmaBlock() noexcept = default;
    DmaBlock(DmaBlock&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), ptr_(other.ptr_), addr_(other.addr_) {}
    DmaBlock& operator=(DmaBlock&& other) noexcept {
        std::swap(pool_, other.pool_);
        std::swap(ptr_, other.ptr_);
        std::swap(addr_, other.addr_);
        return *this;
    }
    ~DmaBlock() { static_cast<void>(free()); }

    [[nodiscard]] void* data() const noexcept { return ptr_; }
    /// For the device.
    [[nodiscard]] std::uint64_t addr() const noexcept { return addr_; }
    [[nodiscard]] explicit operator bool() const noexcept { return pool_ != nullptr; }

    Result<void> free() noexcept {
        bounce_dma_pool* const pool = std::exchange(pool_, nullptr);
        return pool == nullptr ? Result<void>() : detail::checked(bounce_dma_pool_free(pool, ptr_, addr_));
    }

private:
    friend class DmaPool;
    DmaBlock(bounce_dma_pool* pool, void* ptr, std::uint64_t addr) noexcept : pool_(pool), ptr_(ptr), addr_(addr) {}

    bounce_dma_pool* pool_ = nullptr;
    void* ptr_ = nullptr;
    std::uint64_t addr_ = 0;
};

/// Destroyed by the destructor; with blocks out it refuses, and would be leaked.
class DmaPool {
public:
    [[nodiscard]] static Result<DmaPool> create(DeviceRef& device, const DmaPoolOptions& options) noexcept {
        bounce_dma_pool_options raw{};
        raw.size = sizeof raw;
        raw.name = options.name;
        raw.block_bytes = options.block_bytes;
        raw.align = options.align;
        raw.boundary = options.boundary;
        bounce_dma_pool* pool = nullptr;
        if (const int status = bounce_dma_pool_create(device.handle(), &raw, &pool); status < 0) return Error(-status);
        return DmaPool(pool);
    }
    DmaPool(DmaPool&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    DmaPool& operator=(DmaPool&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~DmaPool() { static_cast<void>(bounce_dma_pool_destroy(handle_)); }

    [[nodiscard]] bounce_dma_pool* handle() const noexcept { return handle_; }
    /// flags: BOUNCE_DMA_POOL_*.
    [[nodiscard]] Result<DmaBlock> alloc(std::uint32_t flags = 0) noexcept {
        void* ptr = nullptr;
        std::uint64_t addr = 0;
        if (const int status = bounce_dma_pool_alloc(handle_, flags, &ptr, &addr); status < 0) return Error(-status);
        return DmaBlock(handle_, ptr, addr);
    }
    [[nodiscard]] Result<bounce_dma_pool_info> info() const noexcept {
        bounce_dma_pool_info info{};
        if (const int status = bounce_dma_pool_get_info(handle_, &info); status < 0) return Error(-status);
        return info;
    }

private:
    explicit DmaPool(bounce_dma_pool* handle) noexcept : handle_(handle) {}
    bounce_dma_pool* handle_ = nullptr;
};

}  // namespace v0
}  // namespace bounce
#endif
