// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A guest for the tests of the device side: memory with holes, and drivers that write their rings by hand, honestly or
// not. They know nothing of the library's layouts, so that they are a second opinion on these and on the byte order.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <vector>

#include "bounce/virtio_device.h"

namespace bounce::test {

/// Regions that are next to each other for the guest lie apart in this process.
class Guest {
public:
    static constexpr std::uint64_t kLow = 0x1'0000;                   // 64 KiB, for the rings and most data
    static constexpr std::uint64_t kNext = kLow + 0x1'0000;           // 64 KiB, right behind
    static constexpr std::uint64_t kHigh = 0x8000'0000;               // 1 MiB
    static constexpr std::uint64_t kRom = 0x9000'0000;                // 4 KiB, read-only
    static constexpr std::uint64_t kLast = ~std::uint64_t{0} - 4095;  // 4 KiB: up to 2^64
    static constexpr std::uint64_t kNowhere = 0x4000'0000;

    Guest() {
        add(kLow, 0x1'0000);
        add(kNext, 0x1'0000);
        add(kHigh, 0x10'0000);
        add(kRom, 4096, BOUNCE_GUEST_READ_ONLY);
        add(kLast, 4096);
    }
    explicit Guest(std::uint64_t bytes) { add(kLow, bytes); }

    [[nodiscard]] const std::vector<bounce_guest_region>& regions() const { return regions_; }
    [[nodiscard]] std::byte* at(std::uint64_t gpa) const {
        for (const auto& one : regions_) {
            if (gpa - one.gpa < one.bytes) return static_cast<std::byte*>(one.hva) + (gpa - one.gpa);
        }
        throw std::runtime_error("the test has no such guest memory");
    }
    template <class T>
    [[nodiscard]] T load(std::uint64_t gpa, std::memory_order order = std::memory_order_relaxed) const {
        return swap(std::atomic_ref<T>(*reinterpret_cast<T*>(at(gpa))).load(order));
    }
    template <class T>
    void store(std::uint64_t gpa, T value, std::memory_order order = std::memory_order_relaxed) const {
        std::atomic_ref<T>(*reinterpret_cast<T*>(at(gpa))).store(swap(value), order);
    }
    /// All bytes of all regions, in the order of regions().
    [[nodiscard]] std::vector<std::vector<std::byte>> snapshot() const {
        std::vector<std::vector<std::byte>> all;
        for (const auto& one : regions_) {
            const auto* const begin = static_cast<const std::byte*>(one.hva);
            all.emplace_back(begin, begin + one.bytes);
        }
        return all;
    }

private:
    struct Free {
        void operator()(void* memory) const { std::free(memory); }
    };
    void add(std::uint64_t gpa, std::uint64_t bytes, std::uint32_t flags = 0) {
        memory_.emplace_back(std::aligned_alloc(4096, bytes));
        std::memset(memory_.back().get(), 0, bytes);
        regions_.push_back({gpa, bytes, memory_.back().get(), flags, 0});
    }
    template <class T>
    static T swap(T value) {
        if constexpr (std::endian::native == std::endian::little) return value;
        T swapped = 0;
        for (std::size_t i = 0; i < sizeof(T); ++i) {
            swapped = static_cast<T>(static_cast<T>(swapped << 8) | static_cast<T>((value >> (8 * i)) & 0xff));
        }
        return swapped;
    }

    std::vector<std::unique_ptr<void, Free>> memory_;
    std::vector<bounce_guest_region> regions_;
};

inline constexpr std::uint16_t kNext = 1, kWrite = 2, kIndirect = 4;

/// A split ring at the beginning of a guest's low memory. Driver stores: P1 is publish(), P2 is used_index(), P4 and P5
/// are arm(); their partners are in api/virtio/split_device_queue.hpp.
class SplitDriver {
public:
    SplitDriver(Guest& guest, std::uint32_t size, std::uint64_t base = Guest::kLow) : guest_(guest), size_(size) {
        desc_ = base;
        avail_ = desc_ + std::uint64_t{16} * size;
        used_ = (avail_ + 6 + std::uint64_t{2} * size + 63) / 64 * 64;
        end_ = used_ + 6 + std::uint64_t{8} * size;
    }
    [[nodiscard]] bounce_virtqueue_options options(std::uint32_t flags = 0) const {
        bounce_virtqueue_options options{};
        options.size = sizeof options;
        options.queue_size = size_;
        options.flags = flags;
        options.index = 5;
        options.desc_addr = desc_;
        options.driver_addr = avail_;
        options.device_addr = used_;
        return options;
    }
    void describe(std::uint64_t table, std::uint32_t index, std::uint64_t addr, std::uint32_t len, std::uint16_t flags,
                  std::uint16_t next = 0) {
        const std::uint64_t at = table + std::uint64_t{16} * index;
        guest_.store(at, addr);
        guest_.store(at + 8, len);
        guest_.store(at + 12, flags);
        guest_.store(at + 14, next);
    }
    void desc(std::uint32_t index, std::uint64_t addr, std::uint32_t len, std::uint16_t flags, std::uint16_t next = 0) {
        describe(desc_, index, addr, len, flags, next);
    }
    void put(std::uint16_t head) {
        guest_.store(avail_ + 4 + std::uint64_t{2} * (index_ % size_), head);
        ++index_;
    }
    void publish() { set_index(index_); }
    void offer(std::uint16_t head) {
        put(head);
        publish();
    }
    void set_index(std::uint16_t index) { guest_.store(avail_ + 2, index, std::memory_order_seq_cst); }  // P1
    void set_flags(std::uint16_t flags) { guest_.store(avail_, flags, std::memory_order_seq_cst); }      // P4
    void set_used_event(std::uint16_t event) {
        guest_.store(avail_ + 4 + std::uint64_t{2} * size_, event, std::memory_order_seq_cst);  // P4
    }
    [[nodiscard]] std::uint16_t used_index() const {
        return guest_.load<std::uint16_t>(used_ + 2, std::memory_order_seq_cst);  // P2, P5
    }
    [[nodiscard]] std::uint16_t used_flags() const { return guest_.load<std::uint16_t>(used_); }
    [[nodiscard]] std::uint16_t avail_event() const {
        return guest_.load<std::uint16_t>(used_ + 4 + std::uint64_t{8} * size_);
    }
    [[nodiscard]] std::uint32_t used_id(std::uint16_t index) const {
        return guest_.load<std::uint32_t>(used_ + 4 + std::uint64_t{8} * (index % size_));
    }
    [[nodiscard]] std::uint32_t used_len(std::uint16_t index) const {
        return guest_.load<std::uint32_t>(used_ + 8 + std::uint64_t{8} * (index % size_));
    }
    [[nodiscard]] std::uint64_t used_area() const { return used_; }
    [[nodiscard]] std::uint64_t end() const { return end_; }
    [[nodiscard]] std::uint16_t index() const { return index_; }

private:
    Guest& guest_;
    std::uint32_t size_;
    std::uint64_t desc_, avail_, used_, end_;
    std::uint16_t index_ = 0;
};

/// A packed ring in the same place.
class PackedDriver {
public:
    struct Piece {
        std::uint64_t addr;
        std::uint32_t len;
        std::uint16_t flags;
    };

    PackedDriver(Guest& guest, std::uint32_t size, std::uint64_t base = Guest::kLow) : guest_(guest), size_(size) {
        desc_ = base;
        driver_ = desc_ + std::uint64_t{16} * size;
        device_ = driver_ + 4;
    }
    [[nodiscard]] bounce_virtqueue_options options(std::uint32_t flags = 0) const {
        bounce_virtqueue_options options{};
        options.size = sizeof options;
        options.queue_size = size_;
        options.flags = flags | BOUNCE_VIRTQUEUE_PACKED;
        options.index = 5;
        options.desc_addr = desc_;
        options.driver_addr = driver_;
        options.device_addr = device_;
        options.avail_index = options.used_index = 0x8000;
        return options;
    }
    /// A chain; the flags of its first descriptor come last (P1). NEXT is set by itself.
    void offer(const std::vector<Piece>& chain, std::uint16_t id) {
        const std::uint32_t first = at_;
        const bool first_wrap = wrap_;
        for (std::size_t i = 0; i < chain.size(); ++i) {
            const std::uint64_t desc = desc_ + std::uint64_t{16} * at_;
            guest_.store(desc, chain[i].addr);
            guest_.store(desc + 8, chain[i].len);
            guest_.store(desc + 12, id);
            if (i != 0) guest_.store(desc + 14, flags_of(chain, i, wrap_));
            if (++at_ == size_) {
                at_ = 0;
                wrap_ = !wrap_;
            }
        }
        guest_.store(desc_ + std::uint64_t{16} * first + 14, flags_of(chain, 0, first_wrap), std::memory_order_seq_cst);
    }
    /// The next used descriptor, when there is one; the caller says how many it stands for.
    bool used(std::uint16_t& id, std::uint32_t& len) const {
        const std::uint64_t desc = desc_ + std::uint64_t{16} * used_;
        const auto flags = guest_.load<std::uint16_t>(desc + 14, std::memory_order_seq_cst);  // P2, P5
        if (((flags & 0x80) != 0) != used_wrap_ || ((flags & 0x8000) != 0) != used_wrap_) return false;
        id = guest_.load<std::uint16_t>(desc + 12);
        len = (flags & kWrite) != 0 ? guest_.load<std::uint32_t>(desc + 8) : 0;
        return true;
    }
    void skip(std::uint32_t descriptors) {
        used_ += descriptors;
        if (used_ >= size_) {
            used_ -= size_;
            used_wrap_ = !used_wrap_;
        }
    }
    void set_event(std::uint16_t off_wrap, std::uint16_t flags) {
        guest_.store(driver_, off_wrap);
        guest_.store(driver_ + 2, flags, std::memory_order_seq_cst);  // P4
    }
    [[nodiscard]] std::uint16_t device_off_wrap() const { return guest_.load<std::uint16_t>(device_); }
    [[nodiscard]] std::uint16_t device_flags() const { return guest_.load<std::uint16_t>(device_ + 2); }
    [[nodiscard]] std::uint32_t at() const { return at_; }
    [[nodiscard]] bool wrap() const { return wrap_; }
    [[nodiscard]] std::uint64_t end() const { return device_ + 4; }
    [[nodiscard]] std::uint64_t ring() const { return desc_; }

private:
    static std::uint16_t flags_of(const std::vector<Piece>& chain, std::size_t i, bool wrap) {
        return static_cast<std::uint16_t>(chain[i].flags | (i + 1 < chain.size() ? kNext : 0) | (wrap ? 0x80 : 0x8000));
    }

    Guest& guest_;
    std::uint32_t size_;
    std::uint64_t desc_, driver_, device_;
    std::uint32_t at_ = 0;
    bool wrap_ = true;
    std::uint32_t used_ = 0;
    bool used_wrap_ = true;
};

/// An element with room for its segments.
struct Popped {
    explicit Popped(std::uint32_t room = 64) : segments(room) {
        element.segments = segments.data();
        element.max_segments = room;
    }
    Popped(const Popped&) = delete;
    Popped& operator=(const Popped&) = delete;
    [[nodiscard]] const bounce_element_segment& in(std::uint32_t i) const { return segments[element.n_out + i]; }
    std::vector<bounce_element_segment> segments;
    bounce_element element{};
};

}  // namespace bounce::test
