// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A general heap over memory of a device: an arena of jemalloc whose extents are blocks of the device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "allocator/components/jemalloc/extents.hpp"
#include "allocator/components/jemalloc/lanes.hpp"

namespace bounce::jemalloc_component {

class Heap {
public:
    struct Config {
        bounce_pool* pool = nullptr;
        bounce_device* device = nullptr;
        bool coherent = true;
        std::uint64_t limit_bytes = 0;
    };

    /// nullptr: `code` is a positive errno value.
    static std::unique_ptr<Heap> create(const Config& config, int& code) noexcept;
    ~Heap();
    Heap(const Heap&) = delete;
    Heap& operator=(const Heap&) = delete;

    /// align: a power of two. nullptr: Extents::error() says why.
    void* alloc(std::size_t bytes, std::size_t align, bool zeroed) noexcept;
    /// The same; also EFAULT and EALREADY as free(). On failure what is at ptr stays.
    void* realloc(void* ptr, std::size_t bytes, int& code) noexcept;
    /// 0; EFAULT, EALREADY: nothing has changed.
    int free(void* ptr) noexcept;
    [[nodiscard]] std::size_t usable_size(const void* ptr) const noexcept;
    /// Caches give back what they keep.
    void trim() noexcept;

    [[nodiscard]] const Extents& extents() const noexcept { return extents_; }
    [[nodiscard]] std::uint64_t allocations() const noexcept { return lanes_->out(); }
    /// False in a forked child.
    [[nodiscard]] bool alive() const noexcept { return guard_ != nullptr && *guard_ != 0; }

private:
    explicit Heap(const Config& config) noexcept
        : extents_(config.pool, config.device, config.coherent, config.limit_bytes) {}
    bool make_guard() noexcept;
    void purge() noexcept;
    void* retried(void* ptr, std::size_t bytes, int flags) noexcept;

    Extents extents_;
    std::unique_ptr<Lanes> lanes_;
    unsigned arena_ = 0;
    volatile std::uint32_t* guard_ = nullptr;  // a page that a forked child finds empty
};

}  // namespace bounce::jemalloc_component
