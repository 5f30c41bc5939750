// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// From descriptors to the segments of an element: every length and address is checked, addresses are translated, and
// what crosses regions becomes several segments. Descriptors come by value: nobody reads shared memory here but for an
// indirect table, which is copied once.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>

#include "allocator/base/mutation.hpp"
#include "api/virtio/device_queue.hpp"
#include "api/virtio/ring_memory.hpp"

namespace bounce {

class DeviceChain {
public:
    DeviceChain(DeviceQueue& queue, bounce_element& element) noexcept : queue_(queue), element_(element) {
        element.n_out = element.n_in = 0;
        element.out_bytes = element.in_bytes = 0;
    }

    /// One descriptor of the chain.
    [[gnu::always_inline]] Result<void> add(std::uint64_t addr, std::uint32_t len, bool write) noexcept {
        if (len == 0) [[unlikely]]
            return queue_.violate(BOUNCE_DRIVER_LENGTH, 0, 1);
        if (!write && element_.n_in != 0) [[unlikely]]
            return queue_.violate(BOUNCE_DRIVER_ORDER, element_.n_out, element_.n_in);
        (write ? element_.in_bytes : element_.out_bytes) += len;
        if (element_.in_bytes + element_.out_bytes > kMostBytes) [[unlikely]]
            return queue_.violate(BOUNCE_DRIVER_LENGTH, element_.in_bytes + element_.out_bytes, kMostBytes);
        // Nearly always: not translated, and inside of the region of the one before.
        if (queue_.config_.translate == nullptr) [[likely]] {
            const bounce_guest_region* const region = queue_.user_.map().find(addr, queue_.last_region_);
            if (region != nullptr && len <= region->bytes - (addr - region->gpa) && may(*region, write)) [[likely]] {
                segment(static_cast<std::byte*>(region->hva) + (addr - region->gpa), addr, len, write);
                return {};
            }
        }
        return add_pieces(addr, len, write);
    }

    /// Copies an indirect table; how many descriptors it has. They are at table().
    Result<std::uint32_t> copy_table(std::uint64_t addr, std::uint32_t len) noexcept {
        const std::uint64_t most = queue_.config_.max_chain * kDescBytes;
        if (len == 0 || len % kDescBytes != 0 || len > most) {
            return queue_.violate(BOUNCE_DRIVER_TABLE_LENGTH, len, most);
        }
        std::byte* to = queue_.storage_.table.get();
        auto copied = resolve(addr, len, BOUNCE_IOVA_READ, [&](std::byte* hva, std::uint64_t, std::uint64_t bytes) {
            std::memcpy(to, hva, bytes);
            to += bytes;
        });
        if (!copied) return copied.error();
        return static_cast<std::uint32_t>(len / kDescBytes);
    }
    [[nodiscard]] const std::byte* table() const noexcept { return queue_.storage_.table.get(); }

    /// ENOBUFS when there are more segments than there was room for.
    Result<void> finish() const noexcept {
        const std::uint32_t n = element_.n_out + element_.n_in;
        if (n <= element_.max_segments) [[likely]]
            return {};
        return fail(ENOBUFS, "an element of queue %llu has %llu segments, there is room for %llu", queue_.config_.index,
                    n, element_.max_segments);
    }

private:
    static bool may(const bounce_guest_region& region, bool write) noexcept {
        return !write || (region.flags & BOUNCE_GUEST_READ_ONLY) == 0 || BOUNCE_MUTATED(kWritePermission);
    }
    void segment(std::byte* hva, std::uint64_t gpa, std::uint64_t bytes, bool write) noexcept {
        const std::uint32_t at = element_.n_out + element_.n_in;
        if (at < element_.max_segments) [[likely]]
            element_.segments[at] = {hva, gpa, bytes};
        ++(write ? element_.n_in : element_.n_out);
    }
    [[gnu::noinline]] Result<void> add_pieces(std::uint64_t addr, std::uint64_t bytes, bool write) noexcept {
        return resolve(addr, bytes, write ? BOUNCE_IOVA_WRITE : BOUNCE_IOVA_READ,
                       [&](std::byte* hva, std::uint64_t gpa, std::uint64_t here) { segment(hva, gpa, here, write); });
    }

    static constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 32;  // section 2.7.5 (and 2.8.5)
    static constexpr std::uint32_t kPieces = 8;

    /// Calls piece(hva, gpa, bytes) for what [addr, addr + bytes) consists of.
    template <class Piece>
    Result<void> resolve(std::uint64_t addr, std::uint64_t bytes, std::uint32_t permission, Piece&& piece) noexcept {
        if (queue_.config_.translate == nullptr) [[likely]]
            return walk(addr, bytes, permission, piece);
        while (bytes != 0) {
            bounce_iova_piece pieces[kPieces];
            const int n =
                queue_.config_.translate(queue_.config_.translate_user, addr, bytes, permission, pieces, kPieces);
            if (n <= 0 || n > static_cast<int>(kPieces)) return queue_.translation_failed(addr, bytes, permission, n);
            for (const bounce_iova_piece& one : std::span(pieces, static_cast<std::size_t>(n))) {
                if (one.bytes == 0 || one.bytes > bytes) return queue_.translation_failed(addr, bytes, permission, 0);
                if (auto done = walk(one.gpa, one.bytes, permission, piece); !done) return done;
                addr += one.bytes;
                bytes -= one.bytes;
            }
        }
        return {};
    }

    template <class Piece>
    Result<void> walk(std::uint64_t gpa, std::uint64_t bytes, std::uint32_t permission, Piece&& piece) noexcept {
        const GuestMap& map = queue_.user_.map();
        for (;;) {
            const bounce_guest_region* const region = map.find(gpa, queue_.last_region_);
            if (region == nullptr || !may(*region, permission == BOUNCE_IOVA_WRITE)) [[unlikely]]
                return queue_.violate(BOUNCE_DRIVER_ADDRESS, gpa, bytes);
            const std::uint64_t offset = gpa - region->gpa;
            const std::uint64_t here = std::min(bytes, region->bytes - offset);
            piece(static_cast<std::byte*>(region->hva) + offset, gpa, here);
            bytes -= here;
            if (bytes == 0) [[likely]]
                return {};
            gpa += here;
            // The region ended at 2^64: nothing is behind it.
            if (gpa == 0) return queue_.violate(BOUNCE_DRIVER_ADDRESS, region->gpa + offset, bytes + here);
        }
    }

    DeviceQueue& queue_;
    bounce_element& element_;
};

}  // namespace bounce
