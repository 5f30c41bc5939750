// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Copies between a buffer and the segments of an element, and reports of what was written. Lengths are checked before
// anything is copied.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>

#include "allocator/base/bits.hpp"
#include "api/virtio/device_queue.hpp"

namespace bounce {
namespace {

/// Calls piece(segment, offset in it, bytes) for [offset, offset + bytes) of the segments, which have that much.
template <class Piece>
void each_piece(std::span<const bounce_element_segment> segments, std::uint64_t offset, std::uint64_t bytes,
                Piece&& piece) noexcept {
    for (const bounce_element_segment& segment : segments) {
        if (bytes == 0) return;
        if (offset >= segment.bytes) {
            offset -= segment.bytes;
            continue;
        }
        const std::uint64_t here = std::min(bytes, segment.bytes - offset);
        piece(segment, offset, here);
        offset = 0;
        bytes -= here;
    }
}

std::span<const bounce_element_segment> readable(const bounce_element& element) noexcept {
    return {element.segments, element.n_out};
}
std::span<const bounce_element_segment> writable(const bounce_element& element) noexcept {
    return {element.segments + element.n_out, element.n_in};
}

Result<void> check_range(std::uint64_t offset, std::uint64_t bytes, std::uint64_t limit) noexcept {
    if (fits(offset, bytes, limit)) return {};
    return fail(ERANGE, "%llu bytes from %llu on, the element has %llu", bytes, offset, limit);
}

}  // namespace

Result<void> DeviceQueue::read(const bounce_element& element, std::uint64_t offset, void* to,
                               std::size_t bytes) noexcept {
    if (find(element) == nullptr) return Error(EALREADY);
    if (auto good = check_range(offset, bytes, element.out_bytes); !good) return good;
    auto* at = static_cast<std::byte*>(to);
    each_piece(readable(element), offset, bytes,
               [&](const bounce_element_segment& segment, std::uint64_t from, std::uint64_t here) {
                   std::memcpy(at, static_cast<const std::byte*>(segment.hva) + from, here);
                   at += here;
               });
    return {};
}

Result<void> DeviceQueue::write(const bounce_element& element, std::uint64_t offset, const void* from,
                                std::size_t bytes) noexcept {
    const Operation operation(*this);
    if (find(element) == nullptr) return Error(EALREADY);
    if (auto good = check_range(offset, bytes, element.in_bytes); !good) return good;
    const auto* at = static_cast<const std::byte*>(from);
    each_piece(writable(element), offset, bytes,
               [&](const bounce_element_segment& segment, std::uint64_t to, std::uint64_t here) {
                   std::memcpy(static_cast<std::byte*>(segment.hva) + to, at, here);
                   at += here;
                   dirty(segment.gpa + to, here);
               });
    return {};
}

Result<void> DeviceQueue::mark_dirty(const bounce_element& element, std::uint64_t offset,
                                     std::uint64_t bytes) noexcept {
    const Operation operation(*this);
    if (find(element) == nullptr) return Error(EALREADY);
    if (auto good = check_range(offset, bytes, element.in_bytes); !good) return good;
    report_written(element, offset, bytes);
    return {};
}

void DeviceQueue::report_written(const bounce_element& element, std::uint64_t offset,
                                 std::uint64_t bytes) const noexcept {
    each_piece(writable(element), offset, bytes,
               [&](const bounce_element_segment& segment, std::uint64_t from, std::uint64_t here) {
                   dirty(segment.gpa + from, here);
               });
}

}  // namespace bounce
