// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include <cerrno>
#include <cstring>

#include "allocator/components/tbb/failure.hpp"
#include "allocator/components/tbb/parallel.hpp"
#include "allocator/components/tbb/populate.hpp"
#include "bounce/tbb.h"

using namespace bounce::tbb_component;

namespace {

std::uintptr_t address(const void* memory) noexcept {
    return reinterpret_cast<std::uintptr_t>(memory);
}

/// The node of the region that [hva, hva + bytes) lies in. -EFAULT: in none, without a sentence of ours.
int find_node(bounce_pool* pool, const void* hva, std::size_t bytes, int& node) noexcept {
    std::uint64_t gpa = 0;
    if (const int status = bounce_pool_hva_to_gpa(pool, hva, bytes, &gpa); status != 0) return status;
    bounce_region_info info;
    for (std::uint32_t i = 0;; ++i) {
        if (const int status = bounce_pool_region(pool, i, &info); status != 0) return status;
        if (gpa - info.base_gpa < info.bytes) break;
    }
    node = info.node;
    return 0;
}

int check_range(const void* memory, std::size_t bytes, const char* what) noexcept {
    if (memory == nullptr) return fail(EINVAL, "%s is NULL", what);
    if (bytes == 0) return fail(EINVAL, "bytes is 0, expected at least 1");
    if (address(memory) > UINTPTR_MAX - bytes) return fail(EINVAL, "%zu bytes from %s wrap around", bytes, what);
    return 0;
}

int no_work(int code) noexcept {
    return fail(code, "no memory for the threads or the tasks of oneTBB: %s", std::strerror(code));
}

int zero_piece(void*, std::byte* begin, std::size_t bytes) noexcept {
    std::memset(begin, 0, bytes);
    return 0;
}

struct Copy {
    std::byte* to;
    const std::byte* from;
};

int copy_piece(void* context, std::byte* begin, std::size_t bytes) noexcept {
    const auto& copy = *static_cast<const Copy*>(context);
    std::memcpy(begin, copy.from + (begin - copy.to), bytes);
    return 0;
}

}  // namespace

const char* bounce_tbb_last_error() {
    return last_error();
}

int bounce_tbb_prefault(bounce_pool* pool, uint32_t region, uint32_t threads) {
    bounce_region_info info;
    if (const int status = bounce_pool_region(pool, region, &info); status != 0) return hand_on(status);
    auto* const begin = static_cast<std::byte*>(info.hva);
    const int code = run({begin, info.bytes, info.node, threads, populate, nullptr});
    if (code == 0) return 0;
    return fail(ENOMEM, "region %u of %llu bytes cannot be prefaulted: %s", region,
                static_cast<unsigned long long>(info.bytes), std::strerror(code));
}

int bounce_tbb_zero(bounce_pool* pool, void* hva, size_t bytes, uint32_t threads) {
    if (const int status = check_range(hva, bytes, "hva"); status != 0) return status;
    int node = -1;
    if (const int status = find_node(pool, hva, bytes, node); status != 0) return hand_on(status);
    const int code = run({static_cast<std::byte*>(hva), bytes, node, threads, zero_piece, nullptr});
    return code == 0 ? 0 : no_work(code);
}

int bounce_tbb_copy(bounce_pool* pool, void* to, const void* from, size_t bytes, uint32_t threads) {
    if (const int status = check_range(to, bytes, "to"); status != 0) return status;
    if (const int status = check_range(from, bytes, "from"); status != 0) return status;
    if (address(to) - address(from) < bytes || address(from) - address(to) < bytes)
        return fail(EINVAL, "from and to overlap: %zu bytes, but %zu apart", bytes,
                    address(to) < address(from) ? address(from) - address(to) : address(to) - address(from));
    int node = -1;
    int status = find_node(pool, to, bytes, node);
    if (status == -EFAULT) status = find_node(pool, from, bytes, node);
    if (status == -EFAULT) return fail(EFAULT, "neither to nor from has %zu bytes in one region of the pool", bytes);
    if (status != 0) return hand_on(status);
    Copy copy{static_cast<std::byte*>(to), static_cast<const std::byte*>(from)};
    const int code = run({copy.to, bytes, node, threads, copy_piece, &copy});
    return code == 0 ? 0 : no_work(code);
}
