// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/base/sealed_memory.hpp"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "allocator/base/descriptor.hpp"

namespace bounce {

Result<SealedMemory> SealedMemory::create(const char* name, std::size_t bytes) noexcept {
    const int fd = above_stdio(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (fd < 0) return fail_text(ENOMEM, "memfd_create for %s: %s", name, std::strerror(errno));
    void* memory = MAP_FAILED;
    if (::ftruncate(fd, static_cast<off_t>(bytes)) == 0)
        memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    // A forked child does not write to what is its parent's.
    const bool good =
        memory != MAP_FAILED && ::madvise(memory, bytes, MADV_DONTFORK) == 0 && ::fcntl(fd, F_ADD_SEALS, kSeals) == 0;
    const int code = errno;
    SealedMemory made;
    made.bytes_ = bytes;
    made.fd_ = fd;
    if (memory != MAP_FAILED) made.words_ = static_cast<std::uint64_t*>(memory);
    if (!good) return fail_text(ENOMEM, "the memory of %s: %s", name, std::strerror(code));
    char path[64];
    std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    // Without /proc it stays the one that can be written to; but the seal keeps others from it.
    const int reading = above_stdio(::open(path, O_RDONLY | O_CLOEXEC));
    if (reading < 0) return made;
    ::close(fd);
    made.fd_ = reading;
    return made;
}

SealedMemory::~SealedMemory() {
    if (words_ != nullptr) ::munmap(words_, bytes_);
    if (fd_ >= 0) ::close(fd_);
}

Result<std::uint64_t> SealedMemory::check(int fd, const char* what) noexcept {
    const int seals = ::fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & kSeals) != kSeals)
        return fail_text(EINVAL, "descriptor %d is no %s: it has seals 0x%x, expected 0x%x", fd, what,
                         seals < 0 ? 0U : static_cast<unsigned>(seals), static_cast<unsigned>(kSeals));
    struct stat status {};
    if (::fstat(fd, &status) != 0) return fail_text(EINVAL, "fstat of a %s: %s", what, std::strerror(errno));
    return static_cast<std::uint64_t>(status.st_size);
}

}  // namespace bounce
