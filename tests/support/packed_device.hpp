// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The device of a packed virtqueue (virtio 1.2, section 2.8), for tests.
#pragma once

#include "bounce/bounce.h"
#include "tests/support/device_model.hpp"

namespace bounce::test {

class PackedDevice final : public DeviceModel {
public:
    PackedDevice(const Pool& pool, const bounce_ring_layout& layout, bool event_idx)
        : PackedDevice(find_in(pool), layout, event_idx) {}
    PackedDevice(Find find, const bounce_ring_layout& layout, bool event_idx)
        : DeviceModel(std::move(find)),
          size_(layout.queue_size),
          event_idx_(event_idx),
          avail_{layout.avail_index & 0x7fffU, (layout.avail_index & 0x8000) != 0},
          used_{layout.used_index & 0x7fffU, (layout.used_index & 0x8000) != 0},
          counts_(65536) {
        if (layout.desc_addr % 16 != 0 || layout.avail_addr % 4 != 0 || layout.used_addr % 4 != 0)
            throw std::runtime_error("a part of the ring is not aligned");
        desc_ = hva(layout.desc_addr, 16 * std::uint64_t{size_});
        driver_event_ = hva(layout.avail_addr, 4);
        device_event_ = hva(layout.used_addr, 4);
    }

    // ---- The honest side ----

    bool pop(Request& request) override {
        if (!has_request()) return false;
        request = Request{};
        std::uint16_t n = 0;
        for (bool more = true; more; ++n) {
            const std::byte* desc = at(avail_);
            const auto flags = load<std::uint16_t>(desc + 14);
            if (n == size_ || !is_available(flags)) throw std::runtime_error("a chain that is not all available");
            if ((flags & ~(kAvail | kUsed | 7)) != 0) throw std::runtime_error("unknown descriptor flags");
            const auto id = load<std::uint16_t>(desc + 12);
            if (n != 0 && id != request.head) throw std::runtime_error("a chain with two ids");
            request.head = id;
            if ((flags & 4) != 0) {
                if ((flags & 3) != 0 || n != 0) throw std::runtime_error("an indirect descriptor where none may be");
                walk_table(take_table(desc, request), request);
            } else {
                take_piece(desc, (flags & 2) != 0, request);
            }
            more = (flags & 1) != 0;
            step(avail_, 1);
        }
        counts_[request.head] = n;
        return true;
    }

    void put_used(std::uint32_t id, std::uint32_t len) override {
        put(id, len);
        advance(count_of(id));
    }
    /// D2: seq_cst, releases what was put and the data to the driver, which walks the ring in order; stands before
    /// wants_call() in the single order.
    void show_used() override {
        if (!held_) return;
        store<std::uint16_t>(held_at_ + 14, held_flags_, std::memory_order_seq_cst);
        held_ = false;
    }
    void complete_batch(const std::vector<Request>& requests, std::uint32_t len) override {
        put(requests.back().head, len);
        for (const Request& request : requests) advance(count_of(request.head));
        show_used();
    }

    [[nodiscard]] std::uint16_t used_index() const override { return used_count_; }
    [[nodiscard]] bool wants_call(std::uint16_t before) const override {
        const auto event = load<std::uint32_t>(driver_event_, std::memory_order_seq_cst);
        const std::uint32_t flags = event >> 16 & 3;
        if (flags != 2 || !event_idx_) return flags != 1;
        const std::uint32_t lap = ((event & 0x8000) != 0) == used_.wrap ? 0 : size_;
        const std::uint32_t since = used_.at + lap - (event & 0x7fff);
        return since >= 1 && since <= static_cast<std::uint16_t>(used_count_ - before);
    }

    /// D3.
    void arm_kicks() override {
        set_device_event(event_idx_ ? avail_.at | (avail_.wrap ? 0x8000U : 0U) | 2U << 16 : 0);
    }
    void disarm_kicks() override { set_device_event(1U << 16); }
    /// D1: seq_cst, pairs with the driver's store of the flags; comes after arm_kicks().
    [[nodiscard]] bool has_request() const override {
        return is_available(load<std::uint16_t>(at(avail_) + 14, std::memory_order_seq_cst));
    }

    // ---- Raw access, for lies and for looking ----

    void set_events(std::uint32_t garbage) override { set_device_event(garbage); }
    void set_device_event(std::uint32_t value) {
        store<std::uint32_t>(device_event_, value, std::memory_order_seq_cst);
    }
    [[nodiscard]] std::uint32_t driver_event() const { return load<std::uint32_t>(driver_event_); }
    [[nodiscard]] std::uint16_t flags(std::uint32_t index) const {
        return load<std::uint16_t>(desc_ + 16 * std::size_t{index} + 14);
    }
    /// All of a descriptor but that it is used, which the driver has to read: AVAIL without USED never says that to it
    /// in one lap, and what it has not been told of in the other.
    void scribble(std::uint32_t pattern) override {
        for (std::size_t i = 0; i < size_; ++i) {
            const auto flags = load<std::uint16_t>(desc_ + 16 * i + 14);
            scribble_words(desc_ + 16 * i, 3, pattern);
            store<std::uint16_t>(desc_ + 16 * i + 12, static_cast<std::uint16_t>(pattern));
            store<std::uint16_t>(desc_ + 16 * i + 14,
                                 static_cast<std::uint16_t>((pattern & 0x7f7f) | (flags & 0x8080)));
        }
        store<std::uint32_t>(driver_event_, pattern);
    }
    /// A used element of any content; the next one, or anywhere. And that it is used. The model stays where it is.
    void write_used(std::uint16_t id, std::uint32_t len) { write_used_at(used_.at, id, len); }
    void mark_used() { mark_used_at(used_.at); }
    void write_used_at(std::uint32_t index, std::uint16_t id, std::uint32_t len) {
        std::byte* const desc = desc_ + 16 * std::size_t{index};
        store<std::uint32_t>(desc + 8, len);
        store<std::uint16_t>(desc + 12, id);
    }
    void mark_used_at(std::uint32_t index) {
        store<std::uint16_t>(desc_ + 16 * std::size_t{index} + 14, used_flags(), std::memory_order_release);
    }

private:
    static constexpr std::uint16_t kAvail = 1U << 7;
    static constexpr std::uint16_t kUsed = 1U << 15;
    struct Position {
        std::uint32_t at;
        bool wrap;
    };

    [[nodiscard]] std::byte* at(const Position& position) const { return desc_ + 16 * std::size_t{position.at}; }
    void step(Position& position, std::uint32_t n) const {
        position.at += n;
        if (position.at < size_) return;
        position.at -= size_;
        position.wrap = !position.wrap;
    }
    [[nodiscard]] bool is_available(std::uint16_t flags) const {
        return ((flags & kAvail) != 0) == avail_.wrap && ((flags & kUsed) != 0) != avail_.wrap;
    }
    [[nodiscard]] std::uint16_t used_flags() const { return used_.wrap ? kAvail | kUsed : 0; }
    [[nodiscard]] std::uint32_t count_of(std::uint32_t id) const {
        const std::uint32_t n = counts_[id & 0xffff];
        return n != 0 ? n : 1;  // of an id that is a lie
    }
    void put(std::uint32_t id, std::uint32_t len) {
        write_used(static_cast<std::uint16_t>(id), len);
        const auto flags = static_cast<std::uint16_t>(used_flags() | (len != 0 ? 2 : 0));
        if (held_) {
            store<std::uint16_t>(at(used_) + 14, flags);
        } else {
            held_ = true;
            held_at_ = at(used_);
            held_flags_ = flags;
        }
    }
    void advance(std::uint32_t n) {
        step(used_, n);
        used_count_ = static_cast<std::uint16_t>(used_count_ + n);
    }
    void walk_table(const std::byte* table, Request& request) const {
        for (std::uint32_t i = 0; i < request.table_len; ++i) {
            const std::byte* desc = table + 16 * std::size_t{i};
            const auto flags = load<std::uint16_t>(desc + 14);
            if ((flags & ~2) != 0) throw std::runtime_error("flags other than WRITE in a table");
            take_piece(desc, (flags & 2) != 0, request);
        }
    }

    std::uint32_t size_;
    bool event_idx_;
    Position avail_;
    Position used_;
    std::vector<std::uint16_t> counts_;  // descriptors by id
    std::uint16_t used_count_ = 0;
    bool held_ = false;  // flags of the first element that was put and not shown
    std::byte* held_at_ = nullptr;
    std::uint16_t held_flags_ = 0;
    std::byte* desc_ = nullptr;
    std::byte* driver_event_ = nullptr;
    std::byte* device_event_ = nullptr;
};

}  // namespace bounce::test
