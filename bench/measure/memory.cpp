// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "bench/measure/memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

namespace bench {
namespace {

[[noreturn]] void give_up(const char* what) {
    throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

SharedArea::SharedArea(std::uint64_t bytes, std::uint64_t align, bool touch) : bytes_(bytes) {
    fd_ = memfd_create("bench", MFD_CLOEXEC);
    if (fd_ < 0) give_up("memfd_create");
    if (ftruncate(fd_, static_cast<off_t>(bytes)) != 0) give_up("ftruncate of a memfd");
    // Room for aligning; what is too much is given back.
    void* const room = mmap(nullptr, bytes + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) give_up("mmap");
    auto* const begin = static_cast<std::byte*>(room);
    const std::uint64_t skip = (align - reinterpret_cast<std::uintptr_t>(begin) % align) % align;
    void* const mapped = mmap(begin + skip, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd_, 0);
    if (mapped == MAP_FAILED) give_up("mmap of a memfd");
    data_ = static_cast<std::byte*>(mapped);
    if (skip > 0) munmap(begin, skip);
    if (skip < align) munmap(data_ + bytes, align - skip);
    if (touch) std::memset(data_, 0, bytes);
}

SharedArea::~SharedArea() {
    if (data_ != nullptr) munmap(data_, bytes_);
    if (fd_ >= 0) close(fd_);
}

std::uint64_t resident_bytes() {
    unsigned long long total = 0;
    unsigned long long resident = 0;
    std::FILE* const file = std::fopen("/proc/self/statm", "re");
    if (file == nullptr) give_up("/proc/self/statm");
    const int found = std::fscanf(file, "%llu %llu", &total, &resident);
    std::fclose(file);
    return found == 2 ? resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

std::uint64_t private_bytes() {
    // The kernel walks the pages for it; the counters of statm may be some pages off.
    std::FILE* const file = std::fopen("/proc/self/smaps_rollup", "re");
    if (file == nullptr) give_up("/proc/self/smaps_rollup");
    unsigned long long kib = 0;
    bool found = false;
    char line[256];
    while (!found && std::fgets(line, sizeof line, file) != nullptr)
        found = std::sscanf(line, "Anonymous: %llu kB", &kib) == 1;
    std::fclose(file);
    if (!found) give_up("/proc/self/smaps_rollup");
    return kib * 1024;
}

}  // namespace bench
