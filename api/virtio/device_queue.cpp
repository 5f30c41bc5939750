// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/virtio/device_queue.hpp"

#include <bit>
#include <cerrno>
#include <cstdlib>
#include <new>
#include <utility>

#include "api/virtio/ring_memory.hpp"

namespace bounce {
namespace {

constexpr std::uint32_t kWritable = BOUNCE_IOVA_READ | BOUNCE_IOVA_WRITE;
constexpr std::uint32_t kPackedIds = 65536;
constexpr std::uint16_t kWrapBit = 0x8000;
constexpr std::uint32_t kPositionBits = 0x7fff;

/// A sentence for each kind; its arguments are the queue, what the driver said, and what it had to keep to.
const char* format_of(int kind) noexcept {
    switch (kind) {
        case BOUNCE_DRIVER_AVAIL_INDEX:
            return "queue %llu is broken: the driver made %llu more available, where at most %llu can be";
        case BOUNCE_DRIVER_HEAD:
            return "queue %llu is broken: the driver made head %llu available, the queue has %llu descriptors";
        case BOUNCE_DRIVER_IN_USE:
            return "queue %llu is broken: the driver made id %llu available, which the device has already (%llu out)";
        case BOUNCE_DRIVER_NEXT:
            return "queue %llu is broken: a chain of the driver goes on at descriptor %llu of %llu";
        case BOUNCE_DRIVER_CHAIN:
            return "queue %llu is broken: a chain of the driver has %llu descriptors or more, expected at most %llu";
        case BOUNCE_DRIVER_INDIRECT:
            return "queue %llu is broken: an indirect descriptor of the driver has flags 0x%llx, expected no bit but "
                   "0x%llx, the feature, and not to be in a table";
        case BOUNCE_DRIVER_TABLE_LENGTH:
            return "queue %llu is broken: an indirect table of the driver has %llu bytes, expected a multiple of 16 up "
                   "to %llu";
        case BOUNCE_DRIVER_ORDER:
            return "queue %llu is broken: the driver put a readable descriptor (behind %llu) after %llu writable ones";
        case BOUNCE_DRIVER_LENGTH:
            return "queue %llu is broken: the driver's descriptor or chain has %llu bytes (the bound is %llu)";
        case BOUNCE_DRIVER_ADDRESS:
            return "queue %llu is broken: the driver's address 0x%llx (%llu bytes) is not guest memory, wraps around, "
                   "or "
                   "may not be used so";
        default:
            return "queue %llu is broken: the part of the ring at 0x%llx (%llu bytes) is not guest memory any more, or "
                   "not in one piece";
    }
}

const char* text_of_driver_fault(int kind) noexcept {
    switch (kind) {
        case BOUNCE_DRIVER_AVAIL_INDEX: return "more is available than the queue has free descriptors";
        case BOUNCE_DRIVER_HEAD: return "a head that the queue does not have";
        case BOUNCE_DRIVER_IN_USE: return "a head or id that the device has already";
        case BOUNCE_DRIVER_NEXT: return "a chain leaves its table";
        case BOUNCE_DRIVER_CHAIN: return "a chain is longer than allowed, or goes round";
        case BOUNCE_DRIVER_INDIRECT: return "an indirect descriptor where none may be";
        case BOUNCE_DRIVER_TABLE_LENGTH: return "an indirect table has an impossible length";
        case BOUNCE_DRIVER_ORDER: return "a readable descriptor after a writable one";
        case BOUNCE_DRIVER_LENGTH: return "a descriptor of 0 bytes, or a chain above 2^32 bytes";
        case BOUNCE_DRIVER_ADDRESS: return "an address that the device may not use";
        default: return "a part of the ring is not in guest memory";
    }
}

Result<void> check_area(const char* format, std::uint64_t address, std::uint64_t align) noexcept {
    if (address % align == 0) return {};
    return fail(EINVAL, format, address, align);
}

}  // namespace

/// Descriptors (packed) or elements (split) that were taken and not used when the indices were saved; more than the
/// queue has when the indices contradict each other.
std::uint32_t DeviceQueue::in_flight(const DeviceQueueConfig& config) noexcept {
    if (!config.packed) return static_cast<std::uint16_t>(config.avail_index - config.used_index);
    const std::uint32_t avail = config.avail_index & kPositionBits;
    const std::uint32_t used = config.used_index & kPositionBits;
    const std::uint32_t round = ((config.avail_index ^ config.used_index) & kWrapBit) != 0 ? config.queue_size : 0;
    return avail + round >= used ? avail + round - used : config.queue_size + 1;
}

Result<void> DeviceQueue::check(const DeviceQueueConfig& config) noexcept {
    const std::uint32_t n = config.queue_size;
    if (n < (config.packed ? 1U : 2U) || n > kMaxQueue || (!config.packed && !std::has_single_bit(n))) {
        return fail(EINVAL,
                    config.packed ? "a packed queue of %llu descriptors, expected 1 to %llu"
                                  : "a split queue of %llu descriptors, expected a power of two from 2 to %llu",
                    n, kMaxQueue);
    }
    if (config.max_chain > kMaxQueue || config.max_chain < n || (!config.indirect && config.max_chain > n)) {
        return fail(EINVAL, "chains of up to %llu descriptors, expected 0, or %llu to 32768 with indirect tables",
                    config.max_chain, n);
    }
    if (auto good = check_area("the descriptor area is at 0x%llx, expected a multiple of %llu", config.desc, 16); !good)
        return good;
    if (auto good = check_area("the driver area is at 0x%llx, expected a multiple of %llu", config.driver,
                               config.packed ? 4 : 2);
        !good)
        return good;
    if (auto good = check_area("the device area is at 0x%llx, expected a multiple of %llu", config.device, 4); !good)
        return good;
    if (config.packed) {
        for (const std::uint16_t index : {config.avail_index, config.used_index}) {
            const std::uint32_t position = index & kPositionBits;
            if (position >= n)
                return fail(EINVAL, "a packed ring of %llu descriptors cannot begin at %llu", n, position);
        }
    }
    if (in_flight(config) > n) {
        return fail(EINVAL, "avail_index %llu and used_index %llu are further apart than %llu descriptors",
                    config.avail_index, config.used_index, n);
    }
    return {};
}

/// What depends on the features. The table of what is out is as long as any queue is, so that a reset need not replace
/// it; what is never used of it is never touched.
Result<void> DeviceQueue::allocate(const DeviceQueueConfig& config, Storage& storage) noexcept {
    if (config.indirect) storage.table.reset(new (std::nothrow) std::byte[std::size_t{config.max_chain} * kDescBytes]);
    if (config.in_order) storage.order.reset(new (std::nothrow) std::uint16_t[kMaxQueue]);
    if ((config.indirect && storage.table == nullptr) || (config.in_order && storage.order == nullptr))
        return fail(ENOMEM, "no memory for the private state of a queue of %llu descriptors", config.queue_size);
    return {};
}

Result<void> DeviceQueue::init() noexcept {
    n_held_ = config_.packed ? kPackedIds : kMaxQueue;
    held_.reset(static_cast<Held*>(std::calloc(n_held_, sizeof(Held))));
    if (held_ == nullptr) return fail(ENOMEM, "no memory for what is out of a queue");
    return apply(config_);
}

/// All or nothing.
Result<void> DeviceQueue::apply(const DeviceQueueConfig& config) noexcept {
    Storage storage;
    if (auto done = allocate(config, storage); !done) return done;
    const Operation operation(*this);
    const DeviceQueueConfig before = std::exchange(config_, config);
    Part failed;
    if (auto done = locate_parts(failed); !done) {
        config_ = before;
        located_ = false;
        return done;
    }
    for (; order_at_ != order_end_; ++order_at_) held_[storage_.order[order_at_ & (kMaxQueue - 1)]].waiting = false;
    storage_ = std::move(storage);
    broken_ = 0;
    order_lost_ = false;
    miss_permission_ = 0;
    restart();
    return {};
}

/// Where a part of the ring is: in one piece, in one region.
Result<DeviceQueue::Area> DeviceQueue::locate(std::uint64_t address, std::uint64_t bytes,
                                              std::uint32_t permission) noexcept {
    std::uint64_t gpa = address;
    for (std::uint64_t done = 0; config_.translate != nullptr && done < bytes;) {
        bounce_iova_piece piece{};
        const int n = config_.translate(config_.translate_user, address + done, bytes - done, permission, &piece, 1);
        if (n == -EAGAIN) return translation_failed(address + done, bytes - done, permission, n);
        if (n != 1 || piece.bytes == 0 || piece.bytes > bytes - done)
            return fail(EFAULT, "the part of the ring at 0x%llx (%llu bytes) has no translation", address, bytes);
        if (done == 0) gpa = piece.gpa;
        if (piece.gpa != gpa + done)
            return fail(ENOTSUP, "the part of the ring at 0x%llx (%llu bytes) is not in one piece", address, bytes);
        done += piece.bytes;
    }
    const bounce_guest_region* const region = user_.map().find(gpa, last_region_);
    if (region == nullptr || ((permission & BOUNCE_IOVA_WRITE) != 0 && (region->flags & BOUNCE_GUEST_READ_ONLY) != 0))
        return fail(EFAULT, "the part of the ring at 0x%llx (%llu bytes) is not guest memory", address, bytes);
    const std::uint64_t offset = gpa - region->gpa;
    std::byte* const hva = static_cast<std::byte*>(region->hva) + offset;
    if (region->bytes - offset < bytes || reinterpret_cast<std::uintptr_t>(hva) % kDescBytes != gpa % kDescBytes)
        return fail(ENOTSUP, "the part of the ring at 0x%llx (%llu bytes) is not in one region, or misaligned there",
                    address, bytes);
    return Area{hva, gpa};
}

/// Finds all parts, or none and which one failed.
Result<void> DeviceQueue::locate_parts(Part& failed) noexcept {
    const Part parts[] = {{config_.desc, desc_bytes(), config_.packed ? kWritable : std::uint32_t{BOUNCE_IOVA_READ}},
                          {config_.driver, driver_bytes(), BOUNCE_IOVA_READ},
                          {config_.device, device_bytes(), kWritable}};
    Area areas[3];
    for (std::size_t i = 0; i < 3; ++i) {
        auto found = locate(parts[i].address, parts[i].bytes, parts[i].permission);
        if (!found) {
            failed = parts[i];
            return found.error();
        }
        areas[i] = *found;
    }
    desc_ = areas[0];
    driver_ = areas[1];
    device_ = areas[2];
    located_ = true;
    return {};
}

/// Finds the ring again, when the memory or a translation has changed.
Result<void> DeviceQueue::locate() noexcept {
    if (broken_ != 0) return broken_error();
    Part failed;
    auto done = locate_parts(failed);
    if (done || done.code() == EAGAIN || done.code() == EINVAL) return done;
    return violate(BOUNCE_DRIVER_RING_ADDRESS, failed.address, failed.bytes);
}

Error DeviceQueue::violate(int kind, std::uint64_t got, std::uint64_t expected) noexcept {
    broken_ = kind;
    got_ = got;
    expected_ = expected;
    if (config_.violation != nullptr) {
        const bounce_violation violation{kind, config_.index, got, expected, config_.name, text_of_driver_fault(kind)};
        config_.violation(config_.violation_user, &violation);
    }
    return broken_error();
}

Error DeviceQueue::broken_error() const noexcept {
    return fail(EPROTO, format_of(broken_), config_.index, got_, expected_);
}

/// `status` is what the hook returned where it should have been a number of pieces; 0 also for pieces that cannot be.
Error DeviceQueue::translation_failed(std::uint64_t iova, std::uint64_t bytes, std::uint32_t permission,
                                      int status) noexcept {
    if (status == -EAGAIN) {
        miss_iova_ = iova;
        miss_bytes_ = bytes;
        miss_permission_ = permission;
        return fail(EAGAIN, "queue %llu: no translation yet for 0x%llx (%llu bytes, permission %llu)", config_.index,
                    iova, bytes, permission);
    }
    if (status < 0) return violate(BOUNCE_DRIVER_ADDRESS, iova, bytes);
    return fail(EINVAL, "queue %llu: the translation of 0x%llx (%llu bytes) does not fit it", config_.index, iova,
                bytes);
}

DeviceQueue::Held* DeviceQueue::not_out(const bounce_element& element) const noexcept {
    (void)fail(EALREADY, "element %llu of queue %llu is not out: it was pushed or dropped before, or never popped",
               element.id, config_.index);
    return nullptr;
}

Error DeviceQueue::too_much(std::uint32_t written, std::uint32_t writable) noexcept {
    return fail(EINVAL, "%llu bytes written, the element has %llu that can be", written, writable);
}

Result<void> DeviceQueue::drop(const bounce_element& element) noexcept {
    const Operation operation(*this);
    Held* const held = find(element);
    if (held == nullptr) return Error(EALREADY);
    ++held->life;
    order_lost_ = config_.in_order;
    user_.release(held->bin);
    return {};
}

Result<void> DeviceQueue::reset(const DeviceQueueConfig* config) noexcept {
    if (outstanding() != 0)
        return fail(EBUSY, "%llu elements are out, expected none: push or drop them", outstanding());
    DeviceQueueConfig fresh = config != nullptr ? *config : config_;
    if (config == nullptr) fresh.avail_index = fresh.used_index = config_.packed ? kWrapBit : std::uint16_t{0};
    if (auto good = check(fresh); !good) return good;
    if (fresh.packed != config_.packed)
        return fail(EINVAL, "queue %llu cannot become another kind of ring: create it anew", config_.index);
    return apply(fresh);
}

bounce_virtqueue_info DeviceQueue::info() const noexcept {
    bounce_virtqueue_info info{};
    info.avail_index = saved_avail();
    info.used_index = saved_used();
    info.outstanding = outstanding();
    info.popped = popped_;
    info.pushed = pushed_;
    info.broken = static_cast<std::uint32_t>(broken_);
    info.got = got_;
    info.expected = expected_;
    info.miss_permission = miss_permission_;
    info.miss_iova = miss_iova_;
    info.miss_bytes = miss_bytes_;
    return info;
}

}  // namespace bounce
