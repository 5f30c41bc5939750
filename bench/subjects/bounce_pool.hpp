// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// `bounce`: the static library, inlined by link-time optimisation; the pool and the DMA API by their C++ classes.
#pragma once

#include <memory>
#include <string>

#include "allocator/pool/pool_fast.hpp"
#include "api/dma/callbacks.hpp"
#include "api/dma/device.hpp"
#include "bench/subjects/dma_subject.hpp"
#include "bench/subjects/subject.hpp"

namespace bench {

inline std::unique_ptr<bounce::Pool> make_pool(const Shape& shape, const bounce::PoolConfig& settings = {}) {
    bounce::RegionConfig config;
    config.name = "bench";
    config.bytes = shape.pool_bytes;
    config.prefault = shape.resident;
    config.base_gpa = bounce::Gpa{4 * kTiB};
    auto pool = bounce::Pool::create(config, {}, settings);
    if (!pool) throw std::runtime_error(std::string("no pool: ") + bounce::last_error());
    return std::move(*pool);
}

class BouncePool {
public:
    static constexpr const char* kName = "bounce";
    static constexpr const char* kNote = "";
    static constexpr bool kAnySize = true;
    static constexpr bool kBulk = true;
    static constexpr std::uint64_t kMaxItem = kTiB;
    static constexpr std::uint64_t kMinPool = 65536;
    static constexpr std::uint64_t kMaxPool = kTiB;
    using Handle = bounce::Slot;
    /// Handed along, as the peers' caches are.
    class Context {
    public:
        explicit Context(BouncePool& pool) : pool_(*pool.pool_), context(pool_.open_context(pool_.direct())) {}
        ~Context() { pool_.close_context(context); }
        Context(const Context&) = delete;
        Context& operator=(const Context&) = delete;

    private:
        bounce::Pool& pool_;

    public:
        bounce::Context* const context;
    };

    explicit BouncePool(const Shape& shape, const bounce::PoolConfig& settings = {})
        : pool_(make_pool(shape, settings)) {}
    // Inlined, as the peers' headers are; the compiler would decide by the size of the benchmark around it.
    [[gnu::always_inline]] bool alloc(Context& context, std::uint64_t bytes, Handle& handle) {
        return static_cast<bool>(pool_->alloc(pool_->direct(), context.context, bytes, handle));
    }
    void free(Context& context, Handle& handle, std::uint64_t) {
        if (!pool_->free(pool_->direct(), context.context, handle)) [[unlikely]]
            throw std::runtime_error("a free failed");
    }
    bool alloc_bulk(Context& context, std::uint64_t bytes, Handle* handles, std::uint32_t n) {
        return static_cast<bool>(pool_->alloc_bulk(pool_->direct(), context.context, bytes, handles, n));
    }
    void free_bulk(Context& context, std::uint64_t, Handle* handles, std::uint32_t n) {
        if (!pool_->free_bulk(pool_->direct(), context.context, handles, n)) [[unlikely]]
            throw std::runtime_error("a bulk free failed");
    }

private:
    std::unique_ptr<bounce::Pool> pool_;
};
static_assert(Subject<BouncePool>);

/// `bounce_unchecked`: the same, created without the checks of who holds a slot.
class BounceUnchecked : public BouncePool {
public:
    static constexpr const char* kName = "bounce_unchecked";
    explicit BounceUnchecked(const Shape& shape) : BouncePool(shape, {.checked = false}) {}
};
static_assert(Subject<BounceUnchecked>);

class BounceDma {
public:
    static constexpr const char* kName = "bounce";
    static constexpr const char* kNote = "";
    static constexpr std::uint64_t kMaxItem = kTiB;
    using Token = bounce_mapping;
    struct Context {
        explicit Context(BounceDma&) {}
    };

    explicit BounceDma(const Shape& shape, const bounce::DeviceConfig& config = {}) : pool_(make_pool(shape)) {
        auto device = bounce::Device::create(*pool_, callbacks_, config);
        if (!device) throw std::runtime_error(std::string("no device: ") + bounce::last_error());
        device_ = std::move(*device);
    }
    bool map(Context&, std::byte* buf, std::uint64_t bytes, Direction direction, Token& token) {
        const auto way =
            direction == Direction::kToDevice ? bounce::Direction::kToDevice : bounce::Direction::kFromDevice;
        return static_cast<bool>(device_->map(buf, bytes, way, 0, token));
    }
    bool unmap(Context&, Token& token) { return static_cast<bool>(device_->unmap(token, token.bytes)); }
    std::byte* slot(const Token& token) { return static_cast<std::byte*>(token.slot); }

private:
    bounce::Callbacks callbacks_;
    std::unique_ptr<bounce::Pool> pool_;
    std::unique_ptr<bounce::Device> device_;
};
static_assert(DmaSubject<BounceDma>);

/// Devices with one policy each, and the automatic one.
template <bounce::ReusePolicy kReuse, bounce::CopyPolicy kCopy>
class BounceWith : public BounceDma {
public:
    explicit BounceWith(const Shape& shape) : BounceDma(shape, {.copy = kCopy, .reuse = kReuse}) {}
};
struct Lifo : BounceWith<bounce::ReusePolicy::kLifo, bounce::CopyPolicy::kMemcpy> {
    static constexpr const char* kName = "lifo";
    using BounceWith::BounceWith;
};
struct Window : BounceWith<bounce::ReusePolicy::kWindow, bounce::CopyPolicy::kMemcpy> {
    static constexpr const char* kName = "window";
    using BounceWith::BounceWith;
};
struct Fifo : BounceWith<bounce::ReusePolicy::kFifo, bounce::CopyPolicy::kMemcpy> {
    static constexpr const char* kName = "fifo";
    using BounceWith::BounceWith;
};
struct NonTemporal : BounceWith<bounce::ReusePolicy::kWindow, bounce::CopyPolicy::kNonTemporal> {
    static constexpr const char* kName = "nontemporal";
    using BounceWith::BounceWith;
};
struct Auto : BounceWith<bounce::ReusePolicy::kAuto, bounce::CopyPolicy::kAuto> {
    static constexpr const char* kName = "auto";
    using BounceWith::BounceWith;
};

}  // namespace bench
