// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-blk/bare.hpp"

#include <algorithm>

#include "tools/common/failure.hpp"
#include "tools/common/little_endian.hpp"
#include "tools/common/random.hpp"
#include "tools/common/units.hpp"

namespace bounce::blk {
namespace {

using tools::BareRing;
using tools::Failure;
using tools::kBareDescNext;
using tools::kBareDescWrite;
using tools::store_le;
using tools::text;

constexpr std::uint64_t kSlotBytes = 128;  // header in the first line, status in the second
constexpr std::uint64_t kStatusAt = 64;

}  // namespace

struct BareSubject::Layout {
    std::uint64_t slots;
    std::uint64_t data;
    std::uint64_t data_step;
    std::uint64_t bytes;

    Layout(std::uint32_t queue_size, const LoadConfig& load)
        : slots(BareRing::bytes(queue_size)),
          data(slots + BareRing::pages(kSlotBytes * load.depth)),
          data_step(tools::round_up(load.block_bytes, load.block_bytes >= BareRing::kPage ? BareRing::kPage : 64)),
          bytes(data + BareRing::pages(data_step * load.depth)) {}
};

std::uint64_t BareSubject::bytes_needed(std::uint32_t queue_size, const LoadConfig& load) {
    return Layout(queue_size, load).bytes;
}

BareSubject::BareSubject(BareConnection& connection, std::uint32_t queue, std::uint32_t queue_size,
                         const LoadConfig& load, std::byte* memory, std::uint64_t gpa, bool polls)
    : ring_(connection, queue, queue_size, has(connection.features(), kEventIdx), memory, polls),
      depth_(static_cast<std::uint16_t>(load.depth)) {
    const Layout layout(queue_size, load);
    slots_ = memory + layout.slots;
    for (std::uint32_t slot = 0; slot < load.depth; ++slot) fill_slot(layout, slot, memory, gpa, load);
    ring_.start();
}

void BareSubject::fill_slot(const Layout& layout, std::uint32_t slot, std::byte* memory, std::uint64_t gpa,
                            const LoadConfig& load) noexcept {
    std::byte* header = slots_ + kSlotBytes * slot;
    store_header(header, load.write ? kTypeOut : kTypeIn, 0);
    header[kStatusAt] = static_cast<std::byte>(kStatusNone);
    const std::uint64_t data = layout.data + layout.data_step * slot;
    tools::Random random(load.seed + slot);
    for (std::uint64_t at = 0; load.write && at < load.block_bytes; at += 8)
        store_le(memory + data + at, random.next());

    const auto first = static_cast<std::uint16_t>(3 * slot);
    const std::uint64_t header_gpa = gpa + layout.slots + kSlotBytes * slot;
    const auto data_flags = static_cast<std::uint16_t>(kBareDescNext | (load.write ? 0 : kBareDescWrite));
    ring_.put_desc(first, header_gpa, kHeaderBytes, kBareDescNext, static_cast<std::uint16_t>(first + 1));
    ring_.put_desc(first + 1U, gpa + data, static_cast<std::uint32_t>(load.block_bytes), data_flags,
                   static_cast<std::uint16_t>(first + 2));
    ring_.put_desc(first + 2U, header_gpa + kStatusAt, 1, kBareDescWrite, 0);
}

bool BareSubject::add(std::uint32_t slot, std::uint64_t sector) noexcept {
    store_le(slots_ + kSlotBytes * slot + 8, sector);
    ring_.put(static_cast<std::uint16_t>(3 * slot));
    return true;
}

std::uint32_t BareSubject::collect(std::vector<std::uint32_t>& slots) {
    const std::uint16_t ready = ring_.ready();
    if (ready > depth_) throw DeviceLost("the device completed more than was asked of it");
    const auto count = static_cast<std::uint16_t>(std::min<std::size_t>(ready, slots.size()));
    for (std::uint16_t i = 0; i < count; ++i) {
        const std::uint32_t id = ring_.take().id;
        const std::uint32_t slot = id / 3;
        if (slot >= depth_) throw DeviceLost(text("the device completed request ", id, ", which there is not"));
        if (slots_[kSlotBytes * slot + kStatusAt] != static_cast<std::byte>(kStatusOk)) {
            throw Failure("the device failed a request");
        }
        slots[i] = slot;
    }
    return count;
}

}  // namespace bounce::blk
