// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// `bounce_abi`: the shared library through the C ABI, as most users will have it.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/subjects/dma_subject.hpp"
#include "bench/subjects/subject.hpp"
#include "bounce/bounce.h"

namespace bench {

class BounceAbi {
public:
    static constexpr const char* kName = "bounce_abi";
    static constexpr const char* kNote = "an allocation is a map without its copy (SKIP_SYNC)";
    static constexpr bool kAnySize = true;
    static constexpr bool kBulk = true;
    static constexpr std::uint64_t kMaxItem = kGiB;
    static constexpr std::uint64_t kMinPool = 65536;
    static constexpr std::uint64_t kMaxPool = kTiB;
    static constexpr std::uint32_t kMaxBulk = 64;
    using Handle = bounce_mapping;
    using Token = bounce_mapping;
    struct Context {
        explicit Context(BounceAbi&) {}
        bounce_sg list[kMaxBulk] = {};
    };

    explicit BounceAbi(const Shape& shape) {
        bounce_pool_options pool{};
        pool.size = sizeof pool;
        pool.name = "bench";
        pool.region.size = sizeof pool.region;
        pool.region.bytes = shape.pool_bytes;
        pool.region.flags = shape.resident ? std::uint32_t{BOUNCE_REGION_PREFAULT} : 0;
        pool.region.base_gpa = 4 * kTiB;
        expect(bounce_pool_create(&pool, &pool_) == 0, bounce_last_error());
        bounce_device_options device{};
        device.size = sizeof device;
        if (bounce_device_create(pool_, &device, &device_) != 0) {
            const std::string why = bounce_last_error();
            bounce_pool_destroy(pool_);
            throw std::runtime_error(why);
        }
    }
    BounceAbi(const BounceAbi&) = delete;
    BounceAbi& operator=(const BounceAbi&) = delete;
    ~BounceAbi() {
        bounce_device_destroy(device_);
        bounce_pool_destroy(pool_);
    }

    // Nothing is copied, so nothing is behind the address of the private buffer.
    bool alloc(Context&, std::uint64_t bytes, Handle& handle) {
        return bounce_device_map(device_, &nothing_, bytes, BOUNCE_TO_DEVICE, BOUNCE_MAP_SKIP_SYNC, &handle) == 0;
    }
    void free(Context&, Handle& handle, std::uint64_t) {
        if (bounce_device_unmap(device_, &handle, 0) != 0) [[unlikely]]
            throw std::runtime_error(bounce_last_error());
    }
    bool alloc_bulk(Context& context, std::uint64_t bytes, Handle* handles, std::uint32_t n) {
        expect(n <= kMaxBulk, "a bulk that is too large");
        for (std::uint32_t i = 0; i < n; ++i) context.list[i] = {&nothing_, bytes, 0, 0};
        return bounce_device_map_sg(device_, context.list, n, BOUNCE_TO_DEVICE, BOUNCE_MAP_SKIP_SYNC, handles) == 0;
    }
    void free_bulk(Context&, std::uint64_t, Handle* handles, std::uint32_t n) {
        if (bounce_device_unmap_sg(device_, handles, n, 0) != 0) [[unlikely]]
            throw std::runtime_error(bounce_last_error());
    }

    bool map(Context&, std::byte* buf, std::uint64_t bytes, Direction direction, Token& token) {
        const int way = direction == Direction::kToDevice ? BOUNCE_TO_DEVICE : BOUNCE_FROM_DEVICE;
        return bounce_device_map(device_, buf, bytes, way, 0, &token) == 0;
    }
    bool unmap(Context&, Token& token) { return bounce_device_unmap(device_, &token, token.bytes) == 0; }
    std::byte* slot(const Token& token) { return static_cast<std::byte*>(token.slot); }

private:
    bounce_pool* pool_ = nullptr;
    bounce_device* device_ = nullptr;
    std::byte nothing_{};
};

/// The same where something is copied.
class BounceAbiDma : public BounceAbi {
public:
    static constexpr const char* kNote = "";
    using BounceAbi::BounceAbi;
};
static_assert(Subject<BounceAbi> && DmaSubject<BounceAbiDma>);

}  // namespace bench
