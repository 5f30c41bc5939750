// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/base/private_memory.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

namespace bounce {

Result<PrivateMemory> PrivateMemory::create(std::size_t bytes) noexcept {
    void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) return fail(ENOMEM, "no address space for %llu bytes of private tables", bytes);
    if (::madvise(data, bytes, MADV_WIPEONFORK) != 0) {
        const int code = errno;
        ::munmap(data, bytes);
        return fail_text(ENOMEM, "private tables cannot be wiped on fork: %s", std::strerror(code));
    }
    return PrivateMemory(static_cast<std::byte*>(data), bytes);
}

PrivateMemory::~PrivateMemory() {
    if (data_ != nullptr) ::munmap(data_, bytes_);
}

Result<ForkGuard> ForkGuard::create() noexcept {
    auto memory = PrivateMemory::create(1);
    if (!memory) return memory.error();
    memory->data()[0] = std::byte{1};
    return ForkGuard(std::move(*memory));
}

bool ForkGuard::alive() const noexcept {
    // Volatile: it changes behind the compiler's back, at fork.
    const volatile std::byte* mark = memory_.data();
    return mark != nullptr && *mark != std::byte{0};
}

}  // namespace bounce
