// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tests/abi/failing_memory.hpp"

#include <sys/mman.h>
#include <sys/types.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>

namespace bounce::test {
namespace {

thread_local bool t_watched = false;
thread_local Fail t_how = Fail::kNever;
thread_local std::uint64_t t_left = 0;
thread_local std::uint64_t t_failed = 0;
std::atomic<std::int64_t> g_blocks{0};
std::atomic<std::int64_t> g_mapped{0};

bool fails() {
    if (!t_watched || t_how == Fail::kNever) return false;
    if (t_left > 1) {
        --t_left;
        return false;
    }
    if (t_how == Fail::kOnce) t_how = Fail::kNever;
    ++t_failed;
    errno = ENOMEM;
    return true;
}

void* count_block(void* block) {
    if (t_watched && block != nullptr) g_blocks.fetch_add(1);
    return block;
}

void count_free(void* block) {
    if (t_watched && block != nullptr) g_blocks.fetch_sub(1);
}

}  // namespace

void watch_this_thread() {
    t_watched = true;
}

void fail_request(Fail how, std::uint64_t n) {
    t_how = how;
    t_left = n;
    t_failed = 0;
}

std::uint64_t failed_requests() {
    return t_failed;
}
std::int64_t live_blocks() {
    return g_blocks.load();
}
std::int64_t live_mapped_bytes() {
    return g_mapped.load();
}

}  // namespace bounce::test

using namespace bounce::test;

// The names are the linker's: __wrap_X is called for X, __real_X is the true one.
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming)

#define WRAP_ALLOC(name, parameters, arguments)      \
    void* __real_##name parameters;                  \
    void* __wrap_##name parameters {                 \
        if (fails()) return nullptr;                 \
        return count_block(__real_##name arguments); \
    }
#define WRAP_FREE(name, parameters, arguments) \
    void __real_##name parameters;             \
    void __wrap_##name parameters {            \
        count_free(p);                         \
        __real_##name arguments;               \
    }

extern "C" {

WRAP_ALLOC(malloc, (std::size_t n), (n))
WRAP_ALLOC(calloc, (std::size_t n, std::size_t m), (n, m))
WRAP_ALLOC(aligned_alloc, (std::size_t a, std::size_t n), (a, n))
WRAP_FREE(free, (void* p), (p))

void* __real_realloc(void* p, std::size_t n);
void* __wrap_realloc(void* p, std::size_t n) {
    if (fails()) return nullptr;
    void* moved = __real_realloc(p, n);
    if (p == nullptr) count_block(moved);
    return moved;
}

int __real_posix_memalign(void** p, std::size_t a, std::size_t n);
int __wrap_posix_memalign(void** p, std::size_t a, std::size_t n) {
    if (fails()) return ENOMEM;
    const int status = __real_posix_memalign(p, a, n);
    if (status == 0) count_block(*p);
    return status;
}

// operator new(size, nothrow), new[], and both with an alignment. The throwing forms throw when they fail, and nothing
// in the library may call them: they abort here.
WRAP_ALLOC(_ZnwmRKSt9nothrow_t, (std::size_t n, const void* t), (n, t))
WRAP_ALLOC(_ZnamRKSt9nothrow_t, (std::size_t n, const void* t), (n, t))
WRAP_ALLOC(_ZnwmSt11align_val_tRKSt9nothrow_t, (std::size_t n, std::size_t a, const void* t), (n, a, t))
WRAP_ALLOC(_ZnamSt11align_val_tRKSt9nothrow_t, (std::size_t n, std::size_t a, const void* t), (n, a, t))

#define WRAP_THROWING_NEW(name, parameters, arguments) \
    void* __real_##name parameters;                    \
    void* __wrap_##name parameters {                   \
        if (fails()) std::abort();                     \
        return count_block(__real_##name arguments);   \
    }
WRAP_THROWING_NEW(_Znwm, (std::size_t n), (n))
WRAP_THROWING_NEW(_Znam, (std::size_t n), (n))
WRAP_THROWING_NEW(_ZnwmSt11align_val_t, (std::size_t n, std::size_t a), (n, a))
WRAP_THROWING_NEW(_ZnamSt11align_val_t, (std::size_t n, std::size_t a), (n, a))

WRAP_FREE(_ZdlPv, (void* p), (p))
WRAP_FREE(_ZdaPv, (void* p), (p))
WRAP_FREE(_ZdlPvm, (void* p, std::size_t n), (p, n))
WRAP_FREE(_ZdaPvm, (void* p, std::size_t n), (p, n))
WRAP_FREE(_ZdlPvSt11align_val_t, (void* p, std::size_t a), (p, a))
WRAP_FREE(_ZdaPvSt11align_val_t, (void* p, std::size_t a), (p, a))
WRAP_FREE(_ZdlPvmSt11align_val_t, (void* p, std::size_t n, std::size_t a), (p, n, a))
WRAP_FREE(_ZdaPvmSt11align_val_t, (void* p, std::size_t n, std::size_t a), (p, n, a))
WRAP_FREE(_ZdlPvRKSt9nothrow_t, (void* p, const void* t), (p, t))
WRAP_FREE(_ZdlPvSt11align_val_tRKSt9nothrow_t, (void* p, std::size_t a, const void* t), (p, a, t))

void* __real_mmap(void* at, std::size_t n, int prot, int flags, int fd, off_t offset);
void* __wrap_mmap(void* at, std::size_t n, int prot, int flags, int fd, off_t offset) {
    if (fails()) return MAP_FAILED;
    void* mapped = __real_mmap(at, n, prot, flags, fd, offset);
    // A fixed one takes the place of another.
    if (t_watched && mapped != MAP_FAILED && (flags & MAP_FIXED) == 0) g_mapped.fetch_add(static_cast<std::int64_t>(n));
    return mapped;
}

void* __real_mremap(void* from, std::size_t n, std::size_t to_n, int flags, void* at);
void* __wrap_mremap(void* from, std::size_t n, std::size_t to_n, int flags, void* at) {
    if (fails()) return MAP_FAILED;
    void* moved = __real_mremap(from, n, to_n, flags, at);
    // The library moves mappings over others, as large: one of the two is gone.
    if (t_watched && moved != MAP_FAILED) g_mapped.fetch_sub(static_cast<std::int64_t>(n));
    return moved;
}

int __real_munmap(void* at, std::size_t n);
int __wrap_munmap(void* at, std::size_t n) {
    if (t_watched) g_mapped.fetch_sub(static_cast<std::int64_t>(n));
    return __real_munmap(at, n);
}

int __real_memfd_create(const char* name, unsigned flags);
int __wrap_memfd_create(const char* name, unsigned flags) {
    if (fails()) return -1;
    return __real_memfd_create(name, flags);
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
