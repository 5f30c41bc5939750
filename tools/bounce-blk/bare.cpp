// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-blk/bare.hpp"

#include <linux/memfd.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "tools/common/failure.hpp"
#include "tools/common/little_endian.hpp"
#include "tools/common/random.hpp"

namespace bounce::blk {
namespace {

using tools::byte_swap_unless_little;
using tools::errno_text;
using tools::Failure;
using tools::store_le;
using tools::text;

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kHugePage = std::uint64_t{2} << 20;
constexpr std::uint64_t kSlotBytes = 128;  // header in the first line, status in the second
constexpr std::uint64_t kStatusAt = 64;

// virtio 1.2, section 2.7.
constexpr std::uint16_t kDescNext = 1;
constexpr std::uint16_t kDescWrite = 2;
constexpr std::uint16_t kAvailNoInterrupt = 1;
constexpr std::uint16_t kUsedNoNotify = 1;

std::uint64_t round_up(std::uint64_t value, std::uint64_t to) {
    return (value + to - 1) / to * to;
}

std::atomic_ref<std::uint16_t> field(std::byte* at) {
    return std::atomic_ref(*reinterpret_cast<std::uint16_t*>(at));
}

void store_desc(std::byte* desc, std::uint64_t addr, std::uint32_t bytes, std::uint16_t flags, std::uint16_t next) {
    store_le(desc, addr);
    store_le(desc + 8, bytes);
    store_le(desc + 12, flags);
    store_le(desc + 14, next);
}

}  // namespace

BareMemory::BareMemory(std::uint64_t bytes, bool hugepages) : bytes_(round_up(bytes, hugepages ? kHugePage : kPage)) {
    fd_ = tools::Descriptor(
        ::memfd_create("bounce-blk-bare", MFD_CLOEXEC | (hugepages ? MFD_HUGETLB | MFD_HUGE_2MB : 0U)));
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

struct BareSubject::Layout {
    std::uint64_t avail;
    std::uint64_t used;
    std::uint64_t slots;
    std::uint64_t data;
    std::uint64_t data_step;
    std::uint64_t bytes;

    Layout(std::uint32_t queue_size, const LoadConfig& load)
        : avail(round_up(std::uint64_t{16} * queue_size, kPage)),
          used(avail + round_up(6 + std::uint64_t{2} * queue_size, kPage)),
          slots(used + round_up(6 + std::uint64_t{8} * queue_size, kPage)),
          data(slots + round_up(kSlotBytes * load.depth, kPage)),
          data_step(round_up(load.block_bytes, load.block_bytes >= kPage ? kPage : 64)),
          bytes(data + round_up(data_step * load.depth, kPage)) {}
};

std::uint64_t BareSubject::bytes_needed(std::uint32_t queue_size, const LoadConfig& load) {
    return Layout(queue_size, load).bytes;
}

BareSubject::BareSubject(BareConnection& connection, std::uint32_t queue, std::uint32_t queue_size,
                         const LoadConfig& load, std::byte* memory, std::uint64_t gpa, bool polls)
    : connection_(connection),
      queue_(queue),
      polls_(polls),
      event_idx_(has(connection.features(), kEventIdx)),
      mask_(static_cast<std::uint16_t>(queue_size - 1)),
      depth_(static_cast<std::uint16_t>(load.depth)) {
    const Layout layout(queue_size, load);
    desc_ = memory;
    avail_ = memory + layout.avail;
    used_ = memory + layout.used;
    slots_ = memory + layout.slots;
    for (std::uint32_t slot = 0; slot < load.depth; ++slot) fill_slot(layout, slot, gpa, load);
    if (polls_) store_le(avail_, kAvailNoInterrupt);
    connection_.start_queue(queue, queue_size, {desc_, avail_, used_});
}

void BareSubject::fill_slot(const Layout& layout, std::uint32_t slot, std::uint64_t gpa,
                            const LoadConfig& load) noexcept {
    std::byte* header = slots_ + kSlotBytes * slot;
    store_header(header, load.write ? kTypeOut : kTypeIn, 0);
    header[kStatusAt] = static_cast<std::byte>(kStatusNone);
    const std::uint64_t data = layout.data + layout.data_step * slot;
    tools::Random random(load.seed + slot);
    for (std::uint64_t at = 0; load.write && at < load.block_bytes; at += 8) store_le(desc_ + data + at, random.next());

    const auto first = static_cast<std::uint16_t>(3 * slot);
    std::byte* chain = desc_ + std::size_t{16} * first;
    const std::uint64_t header_gpa = gpa + layout.slots + kSlotBytes * slot;
    const auto data_flags = static_cast<std::uint16_t>(kDescNext | (load.write ? 0 : kDescWrite));
    store_desc(chain, header_gpa, kHeaderBytes, kDescNext, static_cast<std::uint16_t>(first + 1));
    store_desc(chain + 16, gpa + data, static_cast<std::uint32_t>(load.block_bytes), data_flags,
               static_cast<std::uint16_t>(first + 2));
    store_desc(chain + 32, header_gpa + kStatusAt, 1, kDescWrite, 0);
}

bool BareSubject::add(std::uint32_t slot, std::uint64_t sector) noexcept {
    store_le(slots_ + kSlotBytes * slot + 8, sector);
    store_le(avail_ + 4 + std::size_t{2} * (avail_index_ & mask_), static_cast<std::uint16_t>(3 * slot));
    ++avail_index_;
    return true;
}

void BareSubject::publish() {
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

std::uint16_t BareSubject::used_index() const noexcept {
    // Acquire: pairs with the device's release of used idx; what it wrote before is seen after.
    return byte_swap_unless_little(field(used_ + 2).load(std::memory_order_acquire));
}

std::uint32_t BareSubject::collect(std::vector<std::uint32_t>& slots) {
    const std::uint16_t index = used_index();
    const auto ready = static_cast<std::uint16_t>(index - used_seen_);
    if (ready > depth_) throw DeviceLost("the device completed more than was asked of it");
    const auto count = static_cast<std::uint16_t>(std::min<std::size_t>(ready, slots.size()));
    for (std::uint16_t i = 0; i < count; ++i, ++used_seen_) {
        const auto id = tools::load_le<std::uint32_t>(used_ + 4 + std::size_t{8} * (used_seen_ & mask_));
        const std::uint32_t slot = id / 3;
        if (slot >= depth_) throw DeviceLost(text("the device completed request ", id, ", which there is not"));
        if (slots_[kSlotBytes * slot + kStatusAt] != static_cast<std::byte>(kStatusOk)) {
            throw Failure("the device failed a request");
        }
        slots[i] = slot;
    }
    return count;
}

void BareSubject::idle() {
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

}  // namespace bounce::blk
