// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/abi/region_options.hpp"

#include <climits>

#include "api/abi/options.hpp"

namespace bounce::abi {
namespace {

constexpr std::size_t kFirstRegionOptions = offsetof(bounce_region_options, fd_offset) + sizeof(std::uint64_t);
constexpr std::uint32_t kRegionFlags =
    BOUNCE_REGION_HUGEPAGES | BOUNCE_REGION_PREFAULT | BOUNCE_REGION_NODE | BOUNCE_REGION_RESTRICTED;

Result<void> check(const bounce_region_options& options) noexcept {
    if (const auto good = known_flags(options.flags, kRegionFlags, "region.flags"); !good) return good;
    if (const auto good = must_be_zero(options.reserved, "region.reserved"); !good) return good;
    if ((options.flags & BOUNCE_REGION_NODE) == 0 && options.node != 0)
        return fail(EINVAL, "region.node is %llu without BOUNCE_REGION_NODE, must be 0", options.node);
    if (options.node > INT_MAX) return fail(EINVAL, "region.node is %llu, expected a NUMA node", options.node);
    if (options.hva == nullptr) {
        if (options.fd_plus_one != 0 || options.fd_offset != 0)
            return fail(EINVAL, "region.fd_plus_one is %lld and fd_offset %llu without hva, both must be 0",
                        static_cast<std::uint64_t>(options.fd_plus_one), options.fd_offset);
        return {};
    }
    if ((options.flags & BOUNCE_REGION_HUGEPAGES) != 0)
        return fail(EINVAL, "region.flags has BOUNCE_REGION_HUGEPAGES, but the pages behind hva are the caller's");
    if (options.fd_plus_one < 0)
        return fail(EINVAL, "region.fd_plus_one is %lld, expected a descriptor + 1, or 0",
                    static_cast<std::uint64_t>(options.fd_plus_one));
    if (options.fd_plus_one == 0 && options.fd_offset != 0)
        return fail(EINVAL, "region.fd_offset is %llu without a descriptor, must be 0", options.fd_offset);
    return {};
}

}  // namespace

Result<RegionConfig> read_region_options(const bounce_region_options* given, const char* what) noexcept {
    bounce_region_options options{};
    if (const auto read = read_options(given, kFirstRegionOptions, what, options); !read) return read.error();
    if (const auto good = check(options); !good) return good.error();
    RegionConfig config;
    config.bytes = options.bytes;
    config.base_gpa = Gpa{options.base_gpa};
    if ((options.flags & BOUNCE_REGION_NODE) != 0) config.node = NodeId{static_cast<std::int32_t>(options.node)};
    config.restricted = (options.flags & BOUNCE_REGION_RESTRICTED) != 0;
    config.hugepages = (options.flags & BOUNCE_REGION_HUGEPAGES) != 0;
    config.prefault = (options.flags & BOUNCE_REGION_PREFAULT) != 0;
    config.imported_hva = options.hva;
    config.imported_fd = options.fd_plus_one - 1;
    config.imported_fd_offset = options.fd_offset;
    return config;
}

}  // namespace bounce::abi
