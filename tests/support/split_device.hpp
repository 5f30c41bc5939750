// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The other side of a split virtqueue, for tests: a device that walks the shared ring by its addresses, as virtio 1.2,
// section 2.7 says, and that can lie. It knows nothing of the driver's headers, so that it is a second opinion on the
// layout and on the byte order.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "allocator/pool/pool.hpp"
#include "bounce/bounce.h"

namespace bounce::test {

class SplitDevice {
public:
    struct Piece {
        std::byte* hva;
        std::uint64_t addr;
        std::uint32_t len;
        bool write;
    };
    struct Request {
        std::uint16_t head = 0;
        std::uint32_t table_len = 0;  // descriptors of the indirect table, 0: direct
        std::uint64_t table_addr = 0;
        std::vector<Piece> pieces;

        [[nodiscard]] std::uint64_t bytes(bool write) const {
            std::uint64_t sum = 0;
            for (const Piece& piece : pieces) sum += piece.write == write ? piece.len : 0;
            return sum;
        }
    };

    /// Where [address, address + bytes) is in this process; nullptr: nowhere.
    using Find = std::function<std::byte*(std::uint64_t address, std::uint64_t bytes)>;

    SplitDevice(const Pool& pool, const bounce_ring_layout& layout, bool event_idx)
        : SplitDevice(
              [&pool](std::uint64_t address, std::uint64_t bytes) {
                  auto found = pool.to_hva(Gpa{address}, bytes);
                  return found ? *found : nullptr;
              },
              layout, event_idx) {}
    SplitDevice(Find find, const bounce_ring_layout& layout, bool event_idx)
        : find_(std::move(find)),
          size_(layout.queue_size),
          event_idx_(event_idx),
          last_avail_(layout.avail_index),
          used_index_(layout.avail_index) {
        if (layout.desc_addr % 16 != 0 || layout.avail_addr % 2 != 0 || layout.used_addr % 4 != 0)
            throw std::runtime_error("a part of the ring is not aligned");
        desc_ = hva(layout.desc_addr, 16 * std::uint64_t{size_});
        avail_ = hva(layout.avail_addr, 6 + 2 * std::uint64_t{size_});
        used_ = hva(layout.used_addr, 6 + 8 * std::uint64_t{size_});
    }

    // ---- The honest side ----

    /// Takes the next request; false when there is none. Throws when the ring is not what the specification says.
    bool pop(Request& request) {
        // D1: acquire, pairs with the driver's store of the avail index; seq_cst because arm_kicks() comes before it.
        const auto index = load<std::uint16_t>(avail_ + 2, std::memory_order_seq_cst);
        const auto ahead = static_cast<std::uint16_t>(index - last_avail_);
        if (ahead == 0) return false;
        if (ahead > size_) throw std::runtime_error("the avail index is further ahead than the queue is long");
        request = Request{};
        request.head = load<std::uint16_t>(avail_ + 4 + 2 * (last_avail_ % size_));
        ++last_avail_;
        walk(desc_, size_, request.head, request);
        return true;
    }

    /// One used element and the index after it.
    void complete(std::uint32_t id, std::uint32_t len) {
        put_used(id, len);
        show_used();
    }
    void put_used(std::uint32_t id, std::uint32_t len) {
        write_used(used_index_, id, len);
        ++used_index_;
    }
    /// D2: seq_cst, releases the elements and the data to the driver; stands before wants_call() in the single order.
    void show_used() { store<std::uint16_t>(used_ + 2, used_index_, std::memory_order_seq_cst); }

    /// Is a call wanted for the used indices in [before, used_index())? Pairs with the driver's arm().
    [[nodiscard]] bool wants_call(std::uint16_t before) const {
        if (!event_idx_) return (load<std::uint16_t>(avail_, std::memory_order_seq_cst) & 1) == 0;
        const auto event = load<std::uint16_t>(avail_ + 4 + 2 * std::size_t{size_}, std::memory_order_seq_cst);
        const auto passed = static_cast<std::uint16_t>(used_index_ - before);
        return static_cast<std::uint16_t>(event - before) < passed;
    }
    [[nodiscard]] std::uint16_t used_index() const { return used_index_; }
    [[nodiscard]] std::uint16_t last_avail() const { return last_avail_; }

    /// D3: asks for a kick at the next request; pairs with the driver's look after its store of the avail index. Pop
    /// once more before waiting.
    void arm_kicks() {
        if (event_idx_) {
            set_avail_event(last_avail_);
        } else {
            set_used_flags(0);
        }
    }
    /// D1 without taking anything: seq_cst, comes after arm_kicks().
    [[nodiscard]] bool has_request() const {
        return load<std::uint16_t>(avail_ + 2, std::memory_order_seq_cst) != last_avail_;
    }
    void disarm_kicks() {
        if (event_idx_) {
            set_avail_event(static_cast<std::uint16_t>(last_avail_ - 1));
        } else {
            set_used_flags(1);
        }
    }

    // ---- Raw access, for lies and for looking ----

    void set_avail_event(std::uint16_t value) {
        store<std::uint16_t>(used_ + 4 + 8 * std::size_t{size_}, value, std::memory_order_seq_cst);
    }
    void set_used_flags(std::uint16_t value) { store<std::uint16_t>(used_, value, std::memory_order_seq_cst); }
    void set_used_index(std::uint16_t value) { store<std::uint16_t>(used_ + 2, value, std::memory_order_release); }
    void write_used(std::uint16_t index, std::uint32_t id, std::uint32_t len) {
        std::byte* element = used_ + 4 + 8 * std::size_t{index % size_};
        store<std::uint32_t>(element, id);
        store<std::uint32_t>(element + 4, len);
    }
    [[nodiscard]] std::uint16_t avail_index() const { return load<std::uint16_t>(avail_ + 2); }
    [[nodiscard]] std::uint16_t avail_flags() const { return load<std::uint16_t>(avail_); }
    [[nodiscard]] std::uint16_t used_event() const { return load<std::uint16_t>(avail_ + 4 + 2 * std::size_t{size_}); }
    /// Writes over everything that belongs to the driver.
    void scribble(std::uint32_t pattern) {
        scribble_table(desc_, size_, pattern);
        for (std::size_t i = 0; i < 3 + std::size_t{size_}; ++i) {
            store<std::uint16_t>(avail_ + 2 * i, static_cast<std::uint16_t>(pattern));
        }
    }
    void scribble_table(std::uint64_t addr, std::uint32_t n, std::uint32_t pattern) {
        scribble_table(hva(addr, 16 * std::uint64_t{n}), n, pattern);
    }

    template <class T>
    static T load(const std::byte* at, std::memory_order order = std::memory_order_relaxed) {
        T& place = *reinterpret_cast<T*>(const_cast<std::byte*>(at));
        return host(std::atomic_ref<T>(place).load(order));
    }
    template <class T>
    static void store(std::byte* at, T value, std::memory_order order = std::memory_order_relaxed) {
        std::atomic_ref<T>(*reinterpret_cast<T*>(at)).store(host(value), order);
    }

private:
    template <class T>
    static T host(T value) {
        if constexpr (std::endian::native == std::endian::little) return value;
        T swapped = 0;
        for (std::size_t i = 0; i < sizeof(T); ++i) {
            swapped = static_cast<T>(swapped << 8 | ((value >> (8 * i)) & 0xff));
        }
        return swapped;
    }

    std::byte* hva(std::uint64_t addr, std::uint64_t bytes) const {
        std::byte* const found = find_(addr, bytes);
        if (found == nullptr) throw std::runtime_error("an address outside the pool: " + std::to_string(addr));
        return found;
    }

    static void scribble_table(std::byte* table, std::uint32_t n, std::uint32_t pattern) {
        for (std::size_t i = 0; i < 4 * std::size_t{n}; ++i) store<std::uint32_t>(table + 4 * i, pattern);
    }

    void walk(const std::byte* table, std::uint32_t n, std::uint32_t at, Request& request) {
        for (std::uint32_t seen = 0;; ++seen) {
            if (at >= n || seen >= n) throw std::runtime_error("a chain leaves its table or goes round");
            const std::byte* desc = table + 16 * std::size_t{at};
            const auto addr = load<std::uint64_t>(desc);
            const auto len = load<std::uint32_t>(desc + 8);
            const auto flags = load<std::uint16_t>(desc + 12);
            if ((flags & ~7) != 0) throw std::runtime_error("unknown descriptor flags");
            if ((flags & 4) != 0) {
                if (table != desc_ || (flags & 3) != 0 || len == 0 || len % 16 != 0 || seen != 0)
                    throw std::runtime_error("an indirect descriptor where none may be");
                request.table_len = len / 16;
                request.table_addr = addr;
                return walk(hva(addr, len), len / 16, 0, request);
            }
            const bool write = (flags & 2) != 0;
            if (!write && !request.pieces.empty() && request.pieces.back().write)
                throw std::runtime_error("a readable descriptor after a writable one");
            if (len == 0) throw std::runtime_error("a descriptor of 0 bytes");
            request.pieces.push_back({hva(addr, len), addr, len, write});
            if ((flags & 1) == 0) return;
            at = load<std::uint16_t>(desc + 14);
        }
    }

    Find find_;
    std::uint32_t size_;
    bool event_idx_;
    std::uint16_t last_avail_;
    std::uint16_t used_index_;
    std::byte* desc_ = nullptr;
    std::byte* avail_ = nullptr;
    std::byte* used_ = nullptr;
};

}  // namespace bounce::test
