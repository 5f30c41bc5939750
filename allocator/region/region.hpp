// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A region: a stretch of shared memory at a fixed HVA and GPA. It is all that a device ever sees. A region made here is
// a sealed memfd; its memory can be renewed in place, or given back while the addresses stay reserved, and be made anew
// there later. An imported one stays the caller's.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/base/error.hpp"
#include "allocator/base/private_memory.hpp"
#include "allocator/base/types.hpp"
#include "allocator/region/address_form.hpp"
#include "allocator/region/sharing.hpp"

namespace bounce {

struct RegionConfig {
    const char* name = "bounce";
    std::uint64_t bytes = 0;
    Gpa base_gpa;
    NodeId node = kAnyNode;
    bool hugepages = false;  // use 2 MiB pages when there are any
    bool prefault = false;
    void* imported_hva = nullptr;
    int imported_fd = -1;  // duplicated; -1: a process peer cannot be shown this region
    std::uint64_t imported_fd_offset = 0;
    ShareHooks hooks = {};           // with them nothing may be used before open_chunk() shared it
    bool prefault_by_chunk = false;  // in open_chunk(), not at creation
    AddressForm form = {};
};

class Region {
public:
    static constexpr std::uint64_t kMinBytes = 65536;
    static constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 43;  // 8 TiB: page numbers have 32 bits

    /// EINVAL with a sentence for a bad size, address or alignment; ENOMEM when memory cannot be had.
    static Result<Region> create(const RegionConfig& config) noexcept;
    Region(Region&& other) noexcept;
    Region& operator=(Region&&) = delete;
    /// Unshares what is shared, unmaps (but what is lost) and closes what is ours; in a forked child, which has no such
    /// mapping, it does nothing.
    ~Region();

    /// Congruent to base() modulo 2 MiB, unless imported.
    [[nodiscard]] std::byte* hva() const noexcept { return hva_; }
    [[nodiscard]] Gpa base() const noexcept { return base_; }
    /// Of the first byte, as devices say it; congruent to base() modulo 2 MiB.
    [[nodiscard]] Gpa address() const noexcept { return address_; }
    [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
    [[nodiscard]] int fd() const noexcept { return fd_.load(std::memory_order_relaxed); }  // -1: none
    [[nodiscard]] std::uint64_t fd_offset() const noexcept { return fd_offset_; }
    [[nodiscard]] std::uint32_t page_bytes() const noexcept { return page_bytes_.load(std::memory_order_relaxed); }
    [[nodiscard]] bool imported() const noexcept { return imported_; }
    /// As configured: where the memory is bound, or where the caller says that his is; kAnyNode: wherever the kernel
    /// puts it.
    [[nodiscard]] NodeId node() const noexcept { return node_; }
    /// Can renew() work? Not on memory of the caller's, nor where hooks would have to convert it under its users.
    [[nodiscard]] bool renewable() const noexcept { return !imported_ && !sharing_.by_hooks(); }
    [[nodiscard]] bool by_hooks() const noexcept { return sharing_.by_hooks(); }
    [[nodiscard]] const char* name() const noexcept { return name_; }
    /// How often renew() or revive() replaced the memory.
    [[nodiscard]] std::uint32_t epoch() const noexcept {
        // R1: acquire, pairs with R2 in renew(): who sees the new epoch sees the new memory's descriptor.
        return epoch_.load(std::memory_order_acquire);
    }
    /// Has the memory been replaced, or is it being replaced, since epoch() had this value?
    [[nodiscard]] bool renewed_since(std::uint32_t epoch) const noexcept {
        // R3: acquire, pairs with R4 in renew(): who has read the new memory finds the new value here.
        return renewing_.load(std::memory_order_acquire) != epoch;
    }
    /// The same, asked after a copy: false means that the whole copy was from (or to) the memory of that epoch.
    [[nodiscard]] bool renewed_under_copy(std::uint32_t epoch) const noexcept {
        // R5: a fence, since what it orders before R3 are the plain loads of the copy (the reader's side of a seqlock).
        // (ThreadSanitizer does not know fences; it has no race to report here, and gcc warns.)
#pragma GCC diagnostic push
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wtsan"
#endif
        std::atomic_thread_fence(std::memory_order_acquire);
#pragma GCC diagnostic pop
        return renewed_since(epoch);
    }

    /// Puts fresh, zeroed memory (a new memfd) in place of the old at the same HVA, atomically for other threads of
    /// this process. ENOTSUP for an imported region. When there is no fresh memory the old stays; when it
    /// cannot be put in place (ENOMEM too), nobody can tell what is there, and it counts as renewed. One caller at a
    /// time. Where the hugepages have become too few, the fresh memory is of ordinary pages.
    Result<void> renew() noexcept;

    /// Chunks are counted from the 2 MiB boundary of the GPA at or below the region: the first and the last may be
    /// shorter than a chunk. These functions are for one caller at a time.
    [[nodiscard]] std::uint32_t chunks() const noexcept;
    [[nodiscard]] Extent chunk(std::uint32_t index) const noexcept;
    /// Must chunks be opened before they are used?
    [[nodiscard]] bool opens_by_chunk() const noexcept {
        return sharing_.by_hooks() || prefault_by_chunk_;
    }
    /// Fills it with pages and shares it, scrubbed. ENOMEM, or the hook's error; it must not be used then.
    Result<void> open_chunk(std::uint32_t index) noexcept;
    /// Unshares it, scrubbed. The hook's error: it is lost.
    Result<void> close_chunk(std::uint32_t index) noexcept;
    [[nodiscard]] bool lost(std::uint32_t index) const noexcept {
        return sharing_.lost(index);
    }

    /// Gives the memory back, all chunks being closed; the addresses stay reserved (an access faults). An imported
    /// region only loses its descriptor. ENOMEM: to be called again.
    Result<void> retire() noexcept;
    /// Makes fresh memory at the addresses of a retired region, except for lost chunks, as `config` (of the same range)
    /// says. ENOTSUP for an imported region.
    Result<void> revive(const RegionConfig& config) noexcept;

private:
    static constexpr std::size_t kMaxName = 63;

    Region(ForkGuard guard, Sharing sharing, Gpa address, const RegionConfig& config) noexcept;
    [[nodiscard]] Sharing::Place place_of(const Extent& at) const noexcept {
        return {base_ + at.offset, address_ + at.offset, hva_ + at.offset, at.bytes};
    }
    static Result<void> check(const RegionConfig& config) noexcept;
    Result<void> import(const RegionConfig& config) noexcept;
    Result<void> make() noexcept;
    void take_name(const char* name) noexcept;
    /// The next stretch of chunks at or after `index` that are not lost; empty at the end.
    [[nodiscard]] Extent next_stretch(std::uint32_t& index) const noexcept;

    ForkGuard guard_;
    Sharing sharing_;
    std::byte* hva_ = nullptr;
    Gpa base_;
    Gpa address_;
    std::uint64_t bytes_;
    std::atomic<int> fd_{-1};
    std::uint64_t fd_offset_ = 0;
    std::atomic<std::uint32_t> page_bytes_{kPageBytes};
    std::atomic<std::uint32_t> epoch_{0};     // the memory is in place
    std::atomic<std::uint32_t> renewing_{0};  // ahead of epoch_ by one while it is being put there
    NodeId node_;
    bool imported_ = false;
    bool hugepages_;
    bool prefault_;
    bool prefault_by_chunk_;
    char name_[kMaxName + 1] = {};
};

}  // namespace bounce
