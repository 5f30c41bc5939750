// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/region/shared_memory.hpp"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "allocator/base/bits.hpp"
#include "allocator/base/descriptor.hpp"
#include "allocator/topology/topology.hpp"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BOUNCE_TSAN 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define BOUNCE_TSAN 1
#endif
#ifdef BOUNCE_TSAN
extern "C" void AnnotateIgnoreWritesBegin(const char* file, int line);
extern "C" void AnnotateIgnoreWritesEnd(const char* file, int line);
#endif

namespace bounce {
namespace {

// ThreadSanitizer takes a mapping over another one for a write to it, which would race with who uses the memory. The
// kernel replaces one by the other at once; whoever has the address sees either.
struct IgnoredByTsan {
#ifdef BOUNCE_TSAN
    IgnoredByTsan() noexcept {
        AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    }
    ~IgnoredByTsan() {
        AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    }
    IgnoredByTsan(const IgnoredByTsan&) = delete;
    IgnoredByTsan& operator=(const IgnoredByTsan&) = delete;
#endif
};

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

/// A child forked from now on does not have this mapping.
Result<void> keep_from_children(std::byte* address, std::uint64_t bytes) noexcept {
    if (::madvise(address, bytes, MADV_DONTFORK) == 0) return {};
    return fail_text(ENOMEM, "shared memory cannot be kept from forked children: %s", std::strerror(errno));
}

}  // namespace

Result<SharedMemory> SharedMemory::create(const SharedMemoryConfig& config) noexcept {
    if (config.hugepages) {
        auto huge = create_pages(config, true);
        if (huge || huge.code() == EINVAL) return huge;
    }
    return create_pages(config, false);
}

Result<SharedMemory> SharedMemory::create_pages(const SharedMemoryConfig& config, bool huge) noexcept {
    char name[96];
    std::snprintf(name, sizeof name, "bounce:%.63s", config.name);
    const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? unsigned{MFD_HUGETLB} | MFD_HUGE_2MB : 0U);
    const int fd = above_stdio(::memfd_create(name, flags));
    if (fd < 0) return fail_text(ENOMEM, "memfd_create for %s: %s", name, std::strerror(errno));
    SharedMemory memory(fd, config.bytes, static_cast<std::uint32_t>(huge ? kChunkBytes : kPageBytes));
    if (auto sealed = memory.seal(); !sealed) return sealed.error();
    if (auto mapped = memory.map(config.phase); !mapped) return mapped.error();
    if (config.node != kAnyNode) {
        auto topology = Topology::create();
        if (!topology) return topology.error();
        if (auto bound = (*topology)->bind(memory.data_, memory.bytes_, config.node); !bound) return bound.error();
    }
    if (config.prefault) {
        auto filled = populate(memory.fd_, memory.data_, 0, memory.bytes_, memory.page_bytes_);
        if (!filled) return filled.error();
    }
    return memory;
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(other.bytes_),
      moved_(other.moved_),
      page_bytes_(other.page_bytes_) {}

SharedMemory::~SharedMemory() {
    if (data_ != nullptr && moved_ < bytes_) ::munmap(data_ + moved_, bytes_ - moved_);
    if (fd_ >= 0) ::close(fd_);
}

std::byte* SharedMemory::release_mapping() noexcept {
    return std::exchange(data_, nullptr);
}

int SharedMemory::release_fd() noexcept {
    return std::exchange(fd_, -1);
}

Result<void> SharedMemory::seal() const noexcept {
    if (::ftruncate(fd_, static_cast<off_t>(bytes_)) != 0) {
        return fail_text(ENOMEM, "a memfd of %llu bytes: %s", static_cast<unsigned long long>(bytes_),
                         std::strerror(errno));
    }
    if (::fcntl(fd_, F_ADD_SEALS, kSeals) != 0) {
        return fail_text(ENOMEM, "the memfd cannot be sealed: %s", std::strerror(errno));
    }
    return {};
}

Result<void> SharedMemory::map(std::uint64_t phase) noexcept {
    // Reserve enough to choose an address with the phase asked for, and give back what is left on both sides.
    const std::uint64_t reserved = bytes_ + kChunkBytes;
    void* start = ::mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) return fail(ENOMEM, "no address space for a region of %llu bytes", bytes_);
    auto* const first = static_cast<std::byte*>(start);
    const std::uint64_t head = (phase - reinterpret_cast<std::uintptr_t>(first)) & (kChunkBytes - 1);
    std::byte* const target = first + head;
    // Nobody can use it before children are kept from it: one that is forked in between inherits nothing of use.
    if (auto mapped = map_at(target, 0, bytes_, PROT_NONE); !mapped) {
        ::munmap(first, reserved);
        return mapped;
    }
    if (head != 0) ::munmap(first, head);
    ::munmap(target + bytes_, kChunkBytes - head);
    data_ = target;
    if (auto kept = keep_from_children(target, bytes_); !kept) return kept;
    if (::mprotect(target, bytes_, PROT_READ | PROT_WRITE) == 0) return {};
    return fail_text(ENOMEM, "shared memory cannot be made accessible: %s", std::strerror(errno));
}

Result<void> SharedMemory::map_at(std::byte* target, std::uint64_t offset, std::uint64_t bytes,
                                  int protection) const noexcept {
    const auto from = static_cast<off_t>(offset);
    if (::mmap(target, bytes, protection, MAP_SHARED | MAP_FIXED, fd_, from) != MAP_FAILED) return {};
    return fail_text(ENOMEM, "a mapping of %llu bytes of shared memory: %s", static_cast<unsigned long long>(bytes),
                     std::strerror(errno));
}

Result<void> SharedMemory::move_over(std::byte* target) noexcept {
    return move_piece_over(target, 0, bytes_);
}

Result<void> SharedMemory::move_piece_over(std::byte* target, std::uint64_t offset, std::uint64_t bytes) noexcept {
    [[maybe_unused]] const IgnoredByTsan ignored;
    if (page_bytes_ != kPageBytes) {
        // Linux before 5.16 cannot move hugepages, and would leave nothing at the target.
        if (auto mapped = map_at(target, offset, bytes, PROT_READ | PROT_WRITE); !mapped) return mapped;
        (void)keep_from_children(target, bytes);  // cannot fail for a whole mapping, which this is
        return {};
    }
    // Children are kept from what moves.
    if (::mremap(data_ + offset, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, target) == MAP_FAILED) {
        return fail_text(ENOMEM, "%llu bytes of shared memory cannot be moved: %s",
                         static_cast<unsigned long long>(bytes), std::strerror(errno));
    }
    // Where it was may be somebody else's by now, so that is left alone from here on.
    if (offset > moved_) ::munmap(data_ + moved_, offset - moved_);
    moved_ = offset + bytes;
    return {};
}

Result<void> populate(int fd, std::byte* data, std::uint64_t offset, std::uint64_t bytes,
                      std::uint32_t page_bytes) noexcept {
    // fallocate() fails where touching would kill with SIGBUS. It honours the node that the memory was bound to.
    if (::fallocate(fd, 0, static_cast<off_t>(offset), static_cast<off_t>(bytes)) != 0) {
        return fail_text(ENOMEM, "%llu bytes of shared memory are not to be had: %s",
                         static_cast<unsigned long long>(bytes), std::strerror(errno));
    }
#ifdef MADV_POPULATE_WRITE
    if (::madvise(data, bytes, MADV_POPULATE_WRITE) == 0) return {};
#endif
    // Before Linux 5.14: the pages are there, a read maps each.
    for (std::uint64_t at = 0; at < bytes; at += page_bytes) {
        (void)*const_cast<volatile std::byte*>(data + at);
    }
    return {};
}

Result<void> vacate(int fd, std::byte* data, std::uint64_t offset, std::uint64_t bytes) noexcept {
    [[maybe_unused]] const IgnoredByTsan ignored;
    // The file may outlive its descriptor, in a peer or in a piece that stays mapped; its pages here need not.
    (void)::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                      static_cast<off_t>(bytes));
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    if (::mmap(data, bytes, PROT_NONE, flags, -1, 0) != MAP_FAILED) return {};
    return fail_text(ENOMEM, "%llu bytes of address space cannot be kept: %s", static_cast<unsigned long long>(bytes),
                     std::strerror(errno));
}

}  // namespace bounce
