// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a device asks for, as records of a trace (bounce/trace.h). Where a mapping is made and ended the word of modes
// leads here; the other places are failures, waits, blocks and ends without a copy, and look by themselves.
#include <bit>
#include <cerrno>

#include "api/dma/device.hpp"
#include "api/dma/trace.hpp"

namespace bounce {
namespace {

std::uint8_t log2_of(std::uint64_t align) noexcept {
    return align > 1 ? static_cast<std::uint8_t>(std::bit_width(align) - 1) : 0;
}

/// 0: another failure than of memory.
std::uint8_t reason_of(int code) noexcept {
    switch (code) {
        case ENOSPC: return BOUNCE_TRACE_NO_SPACE;
        case EDQUOT: return BOUNCE_TRACE_QUOTA;
        case E2BIG: return BOUNCE_TRACE_TOO_LARGE;
        default: return 0;
    }
}

}  // namespace

/// The slot is the caller's, and nobody has been told of it.
void Device::trace_map(Trace& trace, const bounce_mapping& mapping, const void* buf, std::uint64_t bytes) noexcept {
    trace.note({.kind = BOUNCE_TRACE_MAP,
                .detail = log2_of(limits_.min_align_mask + 1),
                .device = id_,
                .addr = mapping.addr,
                .bytes = bytes + limits_.padding(mapping.addr),
                .buf = buf});
}

/// The slot cannot be had again as yet.
void Device::trace_end(Trace& trace, const bounce_mapping& mapping) noexcept {
    trace.note({.kind = BOUNCE_TRACE_UNMAP,
                .device = id_,
                .addr = mapping.addr,
                .bytes = mapping.bytes + limits_.padding(mapping.addr)});
}

void Device::trace_dropped(const bounce_mapping& mapping) noexcept {
    if (Trace* const trace = trace_.load(std::memory_order_acquire); trace != nullptr)
        trace_end(*trace, mapping);  // O2
}

void Device::trace_no_slot(int code, const void* buf, std::uint64_t bytes) noexcept {
    Trace* const trace = trace_.load(std::memory_order_acquire);  // O2
    const std::uint8_t reason = reason_of(code);
    if (trace == nullptr || reason == 0) return;
    trace->note({.kind = BOUNCE_TRACE_FULL, .detail = reason, .device = id_, .bytes = bytes, .buf = buf});
}

void Device::trace_wait(const void* buf, std::uint64_t bytes, bool begins) noexcept {
    Trace* const trace = trace_.load(std::memory_order_acquire);  // O2
    if (trace == nullptr) return;
    trace->note({.kind = begins ? BOUNCE_TRACE_WAIT : BOUNCE_TRACE_GAVE_UP, .device = id_, .bytes = bytes, .buf = buf});
}

void Device::trace_block(const bounce_block& block, std::uint64_t align) noexcept {
    Trace* const trace = trace_.load(std::memory_order_acquire);  // O2
    if (trace == nullptr) return;
    const bool coherent = block.kind == static_cast<std::uint8_t>(SlotKind::kCoherent);
    trace->note({.kind = coherent ? BOUNCE_TRACE_COHERENT : BOUNCE_TRACE_BUFFER,
                 .detail = log2_of(align),
                 .device = id_,
                 .addr = block.addr,
                 .bytes = block.bytes});
}

void Device::trace_freed(const bounce_block& block) noexcept {
    if (Trace* const trace = trace_.load(std::memory_order_acquire); trace != nullptr)  // O2
        trace->note({.kind = BOUNCE_TRACE_FREE, .device = id_, .addr = block.addr, .bytes = block.bytes});
}

void Device::trace_no_block(int code, SlotKind kind, std::uint64_t bytes) noexcept {
    Trace* const trace = trace_.load(std::memory_order_acquire);  // O2
    const std::uint8_t reason = reason_of(code);
    if (trace == nullptr || reason == 0) return;
    const auto wanted = kind == SlotKind::kCoherent ? BOUNCE_TRACE_COHERENT : BOUNCE_TRACE_BUFFER;
    trace->note({.kind = BOUNCE_TRACE_NO_BLOCK,
                 .detail = reason,
                 .device = id_,
                 .addr = static_cast<std::uint64_t>(wanted),
                 .bytes = bytes});
}

}  // namespace bounce
