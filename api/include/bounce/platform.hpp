// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// libbounce for C++20: platforms, over the C functions of platform.h, which says what each call means. As in
// bounce.hpp: header-only, throws nothing.
#ifndef BOUNCE_PLATFORM_HPP
#define BOUNCE_PLATFORM_HPP

#include <bounce/platform.h>
#include <bounce/bounce.hpp>

namespace bounce {
inline namespace v0 {

/// 0 or -errno. Must not throw, nor call into the library.
using ConvertHandler = std::function<int(const bounce_range& range, const bounce_audience& audience)>;
/// The address for the device of a region, 0 or -errno.
using LocateHandler = std::function<int(std::uint64_t gpa, std::uint64_t bytes, std::uint64_t& address)>;

struct PlatformOptions {
    bounce_platform_kind kind = BOUNCE_PLATFORM_PLAIN;
    std::uint32_t flags = 0;    // BOUNCE_PLATFORM_*
    std::uint32_t granule = 0;  // 0: 4096
    bounce_encoding encoding = BOUNCE_ENCODING_IDENTITY;
    std::uint64_t encoding_value = 0;
    bounce_audience audience = {};
    // In pairs.
    ConvertHandler share = {};
    ConvertHandler unshare = {};
    ConvertHandler iommu_map = {};
    ConvertHandler iommu_unmap = {};
    LocateHandler locate = {};
};

/// Must outlive the pools that are created on it.
class Platform {
public:
    [[nodiscard]] static Result<Platform> create(PlatformOptions options) noexcept {
        std::unique_ptr<Handlers> handlers(new (std::nothrow) Handlers{
            std::move(options.share), std::move(options.unshare), std::move(options.iommu_map),
            std::move(options.iommu_unmap), std::move(options.locate)});
        if (handlers == nullptr) return Error(ENOMEM);
        bounce_platform raw{};
        raw.size = sizeof raw;
        raw.kind = options.kind;
        raw.flags = options.flags;
        raw.granule = options.granule;
        raw.encoding = options.encoding;
        raw.encoding_value = options.encoding_value;
        raw.audience = options.audience;
        if (handlers->share) raw.share = call<&Handlers::share>;
        if (handlers->unshare) raw.unshare = call<&Handlers::unshare>;
        if (handlers->iommu_map) raw.iommu_map = call<&Handlers::iommu_map>;
        if (handlers->iommu_unmap) raw.iommu_unmap = call<&Handlers::iommu_unmap>;
        if (handlers->locate) raw.locate = locate;
        raw.user = handlers.get();
        return Platform(raw, std::move(handlers));
    }
    [[nodiscard]] const bounce_platform& raw() const noexcept { return raw_; }

private:
    struct Handlers {
        ConvertHandler share, unshare, iommu_map, iommu_unmap;
        LocateHandler locate;
    };
    Platform(const bounce_platform& raw, std::unique_ptr<Handlers> handlers) noexcept
        : raw_(raw), handlers_(std::move(handlers)) {}

    template <ConvertHandler Handlers::*handler>
    static int call(void* user, const bounce_range* range, const bounce_audience* audience) noexcept {
        return (static_cast<Handlers*>(user)->*handler)(*range, *audience);
    }
    static int locate(void* user, std::uint64_t gpa, std::uint64_t bytes, std::uint64_t* address) noexcept {
        return static_cast<Handlers*>(user)->locate(gpa, bytes, *address);
    }

    bounce_platform raw_;
    std::unique_ptr<Handlers> handlers_;
};

/// bounce_pool_create_on(). `platform` is the C struct of a Platform, of an Emulator, or the host's own.
[[nodiscard]] inline Result<Pool> create_pool(const bounce_platform& platform, PoolOptions options) noexcept {
    return Pool::create_by(std::move(options), [&](const bounce_pool_options* raw, bounce_pool** pool) {
        return bounce_pool_create_on(&platform, raw, pool);
    });
}
[[nodiscard]] inline Result<Pool> create_pool(const Platform& platform, PoolOptions options) noexcept {
    return create_pool(platform.raw(), std::move(options));
}

[[nodiscard]] inline Result<bounce_platform> platform_of(const Pool& pool) noexcept {
    bounce_platform platform;
    if (const int status = bounce_pool_platform(pool.handle(), &platform); status < 0) return Error(-status);
    return platform;
}
[[nodiscard]] inline Result<std::uint64_t> gpa_to_address(const Pool& pool, std::uint64_t gpa,
                                                          std::size_t bytes) noexcept {
    std::uint64_t address = 0;
    if (const int status = bounce_pool_gpa_to_address(pool.handle(), gpa, bytes, &address); status < 0)
        return Error(-status);
    return address;
}
[[nodiscard]] inline Result<std::uint64_t> address_to_gpa(const Pool& pool, std::uint64_t address,
                                                          std::size_t bytes) noexcept {
    std::uint64_t gpa = 0;
    if (const int status = bounce_pool_address_to_gpa(pool.handle(), address, bytes, &gpa); status < 0)
        return Error(-status);
    return gpa;
}

}  // namespace v0
}  // namespace bounce

#endif
