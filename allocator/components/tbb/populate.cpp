// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/components/tbb/populate.hpp"

#include <sys/mman.h>

#include <cerrno>

namespace bounce::tbb_component {
namespace {

constexpr std::size_t kPageBytes = 4096;
#ifdef MADV_POPULATE_WRITE
constexpr int kPopulateWrite = MADV_POPULATE_WRITE;
#else
constexpr int kPopulateWrite = 23;  // the kernel may be newer than the C library's headers
#endif

}  // namespace

void touch(std::byte* begin, std::size_t bytes) noexcept {
    for (std::size_t at = 0; at < bytes; at += kPageBytes) {
        // T1: relaxed, it orders nothing; atomic so that it undoes no write of others. When the exchange fails,
        // somebody else has just written there. (Not a fetch_or of 0, which a compiler may turn into a load.)
        auto* const byte = reinterpret_cast<unsigned char*>(begin + at);
        unsigned char seen = __atomic_load_n(byte, __ATOMIC_RELAXED);
        __atomic_compare_exchange_n(byte, &seen, seen, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }
}

int populate(void*, std::byte* begin, std::size_t bytes) noexcept {
    while (::madvise(begin, bytes, kPopulateWrite) != 0) {
        if (errno == EINTR || errno == EAGAIN) continue;
        // EINVAL: before Linux 5.14, or a mapping of the caller's whose pages are not the kernel's to fill. Any other
        // error says that a touch would kill.
        if (errno != EINVAL) return errno;
        touch(begin, bytes);
        return 0;
    }
    return 0;
}

}  // namespace bounce::tbb_component
