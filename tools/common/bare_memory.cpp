// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/common/bare_memory.hpp"

#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "tools/common/failure.hpp"

namespace bounce::tools {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kHugePage = std::uint64_t{2} << 20;

std::uint64_t round_up(std::uint64_t value, std::uint64_t to) {
    return (value + to - 1) / to * to;
}

}  // namespace

BareMemory::BareMemory(const char* name, std::uint64_t bytes, bool hugepages)
    : bytes_(round_up(bytes, hugepages ? kHugePage : kPage)) {
    fd_ = Descriptor(::memfd_create(name, MFD_CLOEXEC | (hugepages ? MFD_HUGETLB | MFD_HUGE_2MB : 0U)));
    void* mapped = MAP_FAILED;
    if (fd_ && ::ftruncate(fd_.get(), static_cast<off_t>(bytes_)) == 0) {
        mapped = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_.get(), 0);
    }
    if (mapped == MAP_FAILED)
        throw Failure(text("cannot make ", bytes_, " bytes of shared memory: ", errno_text(errno)));
    data_ = static_cast<std::byte*>(mapped);
}

BareMemory::~BareMemory() {
    ::munmap(data_, bytes_);
}

}  // namespace bounce::tools
