// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/common/bare_ring.hpp"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

#include "tools/common/failure.hpp"

namespace bounce::tools {
namespace {

constexpr std::uint16_t kAvailNoInterrupt = 1;
constexpr std::uint16_t kUsedNoNotify = 1;

}  // namespace

BareRing::BareRing(BareConnection& connection, std::uint32_t queue, std::uint32_t size, bool event_idx,
                   std::byte* memory, bool polls) noexcept
    : connection_(connection),
      queue_(queue),
      polls_(polls),
      event_idx_(event_idx),
      mask_(static_cast<std::uint16_t>(size - 1)),
      desc_(memory),
      avail_(memory + avail_at(size)),
      used_(avail_ + pages(6 + std::uint64_t{2} * size)) {
    if (polls_) store_le(avail_, kAvailNoInterrupt);
}

void BareRing::start() {
    connection_.start_queue(queue_, std::uint32_t{mask_} + 1, {desc_, avail_, used_});
}

void BareRing::put_desc(std::uint32_t index, std::uint64_t addr, std::uint32_t bytes, std::uint16_t flags,
                        std::uint16_t next) noexcept {
    std::byte* desc = desc_ + std::size_t{16} * index;
    store_le(desc, addr);
    store_le(desc + 8, bytes);
    store_le(desc + 12, flags);
    store_le(desc + 14, next);
}

void BareRing::publish() {
    // Release: pairs with the device's acquire of avail idx. seq_cst: the store is before the load of the event or
    // flags below, as the device stores those before it looks at avail idx a last time.
    field(avail_ + 2).store(byte_swap_unless_little(avail_index_), std::memory_order_seq_cst);
    bool kick = false;
    if (event_idx_) {
        const std::size_t event_at = 4 + std::size_t{8} * (std::size_t{mask_} + 1);
        // seq_cst: pairs with the device's store of avail event, see above.
        const std::uint16_t event = byte_swap_unless_little(field(used_ + event_at).load(std::memory_order_seq_cst));
        kick = static_cast<std::uint16_t>(avail_index_ - event - 1) <
               static_cast<std::uint16_t>(avail_index_ - published_);
    } else {
        // seq_cst: pairs with the device's store of its flags, see above.
        kick = (byte_swap_unless_little(field(used_).load(std::memory_order_seq_cst)) & kUsedNoNotify) == 0;
    }
    published_ = avail_index_;
    const std::uint64_t one = 1;
    // EAGAIN would mean 2^64 - 1 kicks that the device has not read: it has one to come then anyway.
    if (kick && ::write(connection_.kick_fd(queue_), &one, sizeof one) < 0 && errno != EAGAIN) {
        throw Failure(text("cannot kick the device: ", errno_text(errno)));
    }
}

void BareRing::idle() {
    connection_.check_alive();
    if (polls_) return;
    if (event_idx_) {
        // seq_cst: pairs with the device's load of used event after it has stored used idx: one of the two sees the
        // other.
        field(avail_ + 4 + std::size_t{2} * (std::size_t{mask_} + 1))
            .store(byte_swap_unless_little(used_seen_), std::memory_order_seq_cst);
    }
    // seq_cst: after the store above; see there.
    if (byte_swap_unless_little(field(used_ + 2).load(std::memory_order_seq_cst)) != used_seen_) return;
    pollfd call{connection_.call_fd(queue_), POLLIN, 0};
    std::uint64_t calls = 0;
    if (::poll(&call, 1, 100) > 0 && ::read(call.fd, &calls, sizeof calls) < 0 && errno != EAGAIN && errno != EINTR) {
        throw Failure(text("cannot wait for the device: ", errno_text(errno)));
    }
}

}  // namespace bounce::tools
