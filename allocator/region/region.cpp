// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/region/region.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "allocator/base/bits.hpp"
#include "allocator/region/shared_memory.hpp"

namespace bounce {

Region::Region(ForkGuard guard, Sharing sharing, Gpa address, const RegionConfig& config) noexcept
    : guard_(std::move(guard)),
      sharing_(std::move(sharing)),
      base_(config.base_gpa),
      address_(address),
      bytes_(config.bytes),
      node_(config.node),
      hugepages_(config.hugepages),
      prefault_(config.prefault && !config.prefault_by_chunk),
      prefault_by_chunk_(config.prefault_by_chunk) {
    take_name(config.name);
}

Region::Region(Region&& other) noexcept
    : guard_(std::move(other.guard_)),
      sharing_(std::move(other.sharing_)),
      hva_(std::exchange(other.hva_, nullptr)),
      base_(other.base_),
      address_(other.address_),
      bytes_(other.bytes_),
      fd_(other.fd_.exchange(-1, std::memory_order_relaxed)),
      fd_offset_(other.fd_offset_),
      page_bytes_(other.page_bytes_.load(std::memory_order_relaxed)),
      epoch_(other.epoch_.load(std::memory_order_relaxed)),
      renewing_(other.renewing_.load(std::memory_order_relaxed)),
      node_(other.node_),
      imported_(other.imported_),
      hugepages_(other.hugepages_),
      prefault_(other.prefault_),
      prefault_by_chunk_(other.prefault_by_chunk_) {
    std::memcpy(name_, other.name_, sizeof name_);
}

Region::~Region() {
    // In a child the addresses and the descriptor may long belong to somebody else.
    if (!guard_.alive() || hva_ == nullptr) return;
    for (std::uint32_t i = 0; sharing_.by_hooks() && i < chunks(); ++i) (void)close_chunk(i);
    if (!imported_) {
        // What is lost stays: neither the kernel nor anybody else may get those pages.
        std::uint32_t at = 0;
        for (Extent good = next_stretch(at); good.bytes != 0; good = next_stretch(at)) {
            ::munmap(hva_ + good.offset, good.bytes);
        }
    }
    if (fd() >= 0) ::close(fd());
}

Result<void> Region::check(const RegionConfig& config) noexcept {
    if (config.bytes < kMinBytes || config.bytes > kMaxBytes || !is_multiple(config.bytes, kPageBytes)) {
        return fail(EINVAL, "a region of %llu bytes, expected a multiple of 4096 from %llu to %llu", config.bytes,
                    kMinBytes, kMaxBytes);
    }
    if (!is_multiple(config.base_gpa.value, kPageBytes)) {
        return fail(EINVAL, "base GPA 0x%llx, expected a multiple of 4096", config.base_gpa.value);
    }
    if (config.base_gpa.value + (config.bytes - 1) < config.base_gpa.value) {
        return fail(EINVAL, "%llu bytes from base GPA 0x%llx reach beyond the last address", config.bytes,
                    config.base_gpa.value);
    }
    if (config.hooks.any() && !is_multiple(config.bytes | config.base_gpa.value, config.hooks.granule)) {
        return fail(EINVAL, "%llu bytes at GPA 0x%llx, expected multiples of the share granule of %llu", config.bytes,
                    config.base_gpa.value, config.hooks.granule);
    }
    if (config.hugepages && config.imported_hva == nullptr &&
        !is_multiple(config.bytes | config.base_gpa.value, kChunkBytes)) {
        return fail(EINVAL, "hugepages need size and base GPA to be multiples of 2 MiB, got %llu bytes at 0x%llx",
                    config.bytes, config.base_gpa.value);
    }
    return {};
}

Result<Region> Region::create(const RegionConfig& config) noexcept {
    if (auto checked = check(config); !checked) return checked.error();
    auto guard = ForkGuard::create();
    if (!guard) return guard.error();
    const auto chunks = div_up(config.base_gpa.value % kChunkBytes + config.bytes, kChunkBytes);
    auto sharing = Sharing::create(config.hooks, static_cast<std::uint32_t>(chunks));
    if (!sharing) return sharing.error();
    const auto address = config.form.first(config.base_gpa, config.bytes);
    if (!address) return address.error();
    Region region(std::move(*guard), std::move(*sharing), *address, config);
    auto done = config.imported_hva != nullptr ? region.import(config) : region.make();
    if (!done) return done.error();
    return region;
}

Result<void> Region::make() noexcept {
    auto memory = SharedMemory::create({name_, bytes_, base_.value, node_, hugepages_, prefault_});
    if (!memory) return memory.error();
    page_bytes_.store(memory->page_bytes(), std::memory_order_relaxed);
    hva_ = memory->release_mapping();
    fd_.store(memory->release_fd(), std::memory_order_relaxed);
    return {};
}

Result<void> Region::import(const RegionConfig& config) noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(config.imported_hva);
    if (!is_multiple(address, kPageBytes)) {
        return fail(EINVAL, "the mapping handed in begins at 0x%llx, expected a multiple of 4096", address);
    }
    if (address + (bytes_ - 1) < address) {
        return fail(EINVAL, "%llu bytes from address 0x%llx reach beyond the last address", bytes_, address);
    }
    if (config.imported_fd >= 0) {
        const std::uint64_t offset = config.imported_fd_offset;
        if (!is_multiple(offset, kPageBytes)) {
            return fail(EINVAL, "offset %llu in the descriptor, expected a multiple of 4096", offset);
        }
        struct stat status {};
        if (::fstat(config.imported_fd, &status) != 0) {
            return fail_text(EINVAL, "descriptor %d of the mapping handed in: %s", config.imported_fd,
                             std::strerror(errno));
        }
        const auto size = static_cast<std::uint64_t>(status.st_size);
        if (S_ISREG(status.st_mode) && !fits(offset, bytes_, size)) {
            return fail(EINVAL, "%llu bytes at offset %llu, but the descriptor's file has %llu", bytes_, offset, size);
        }
        const int duplicate = ::fcntl(config.imported_fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        if (duplicate < 0) {
            return fail_text(ENOMEM, "descriptor %d cannot be duplicated: %s", config.imported_fd,
                             std::strerror(errno));
        }
        fd_.store(duplicate, std::memory_order_relaxed);
        fd_offset_ = offset;
    }
    hva_ = static_cast<std::byte*>(config.imported_hva);
    imported_ = true;
    return {};
}

Result<void> Region::renew() noexcept {
    if (!guard_.alive()) return fail(EOWNERDEAD, "a forked child has no region");
    if (imported_) return fail(ENOTSUP, "the region at GPA 0x%llx is the caller's mapping", base_.value);
    if (sharing_.by_hooks()) return fail(ENOTSUP, "the region at GPA 0x%llx is shared by hooks", base_.value);
    // The fresh memory is complete (hugepages reserved, prefaulted) before it takes the place of the old: a mapping
    // over an existing one must not fail for want of memory, since it would leave nothing behind.
    auto memory =
        SharedMemory::create({name_, bytes_, base_.value, node_, hugepages_, prefault_ || prefault_by_chunk_});
    if (!memory) return memory.error();
    // R4: seq_cst, before the system call that replaces the memory; pairs with R3 in renewed_since().
    const std::uint32_t next = renewing_.fetch_add(1, std::memory_order_seq_cst) + 1;
    if (auto moved = memory->move_over(hva_); !moved) {
        // R2: release, as below. What was handed out before counts as renewed, for nobody can tell how far that came.
        epoch_.store(next, std::memory_order_release);
        return moved;
    }
    page_bytes_.store(memory->page_bytes(), std::memory_order_relaxed);
    const int old = fd_.exchange(memory->release_fd(), std::memory_order_relaxed);
    // R2: release, pairs with R1 in epoch().
    epoch_.store(next, std::memory_order_release);
    if (old >= 0) ::close(old);
    return {};
}

}  // namespace bounce
