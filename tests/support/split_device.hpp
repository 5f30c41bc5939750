// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The device of a split virtqueue (virtio 1.2, section 2.7), for tests.
#pragma once

#include "bounce/bounce.h"
#include "tests/support/device_model.hpp"

namespace bounce::test {

class SplitDevice final : public DeviceModel {
public:
    SplitDevice(const Pool& pool, const bounce_ring_layout& layout, bool event_idx)
        : SplitDevice(find_in(pool), layout, event_idx) {}
    SplitDevice(Find find, const bounce_ring_layout& layout, bool event_idx)
        : DeviceModel(std::move(find)),
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

    bool pop(Request& request) override {
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

    void put_used(std::uint32_t id, std::uint32_t len) override {
        write_used(used_index_, id, len);
        ++used_index_;
    }
    /// D2: seq_cst, releases the elements and the data to the driver; stands before wants_call() in the single order.
    void show_used() override { store<std::uint16_t>(used_ + 2, used_index_, std::memory_order_seq_cst); }

    void complete_batch(const std::vector<Request>& requests, std::uint32_t len) override {
        write_used(used_index_, requests.back().head, len);
        used_index_ = static_cast<std::uint16_t>(used_index_ + requests.size());
        show_used();
    }

    [[nodiscard]] bool wants_call(std::uint16_t before) const override {
        if (!event_idx_) return (load<std::uint16_t>(avail_, std::memory_order_seq_cst) & 1) == 0;
        const auto event = load<std::uint16_t>(avail_ + 4 + 2 * std::size_t{size_}, std::memory_order_seq_cst);
        const auto passed = static_cast<std::uint16_t>(used_index_ - before);
        return static_cast<std::uint16_t>(event - before) < passed;
    }
    [[nodiscard]] std::uint16_t used_index() const override { return used_index_; }
    [[nodiscard]] std::uint16_t last_avail() const { return last_avail_; }

    /// D3: asks for a kick at the next request; pairs with the driver's look after its store of the avail index. Pop
    /// once more before waiting.
    void arm_kicks() override {
        if (event_idx_) {
            set_avail_event(last_avail_);
        } else {
            set_used_flags(0);
        }
    }
    /// D1 without taking anything: seq_cst, comes after arm_kicks().
    [[nodiscard]] bool has_request() const override {
        return load<std::uint16_t>(avail_ + 2, std::memory_order_seq_cst) != last_avail_;
    }
    void disarm_kicks() override {
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
    void set_events(std::uint32_t garbage) override {
        set_avail_event(static_cast<std::uint16_t>(garbage >> 16));
        set_used_flags(static_cast<std::uint16_t>(garbage));
    }
    void scribble(std::uint32_t pattern) override {
        scribble_words(desc_, 4 * std::size_t{size_}, pattern);
        for (std::size_t i = 0; i < 3 + std::size_t{size_}; ++i) {
            store<std::uint16_t>(avail_ + 2 * i, static_cast<std::uint16_t>(pattern));
        }
    }

private:
    void walk(const std::byte* table, std::uint32_t n, std::uint32_t at, Request& request) {
        for (std::uint32_t seen = 0;; ++seen) {
            if (at >= n || seen >= n) throw std::runtime_error("a chain leaves its table or goes round");
            const std::byte* desc = table + 16 * std::size_t{at};
            const auto flags = load<std::uint16_t>(desc + 12);
            if ((flags & ~7) != 0) throw std::runtime_error("unknown descriptor flags");
            if ((flags & 4) != 0) {
                if (table != desc_ || (flags & 3) != 0 || seen != 0)
                    throw std::runtime_error("an indirect descriptor where none may be");
                const std::byte* inner = take_table(desc, request);
                return walk(inner, request.table_len, 0, request);
            }
            take_piece(desc, (flags & 2) != 0, request);
            if ((flags & 1) == 0) return;
            at = load<std::uint16_t>(desc + 14);
        }
    }

    std::uint32_t size_;
    bool event_idx_;
    std::uint16_t last_avail_;
    std::uint16_t used_index_;
    std::byte* desc_ = nullptr;
    std::byte* avail_ = nullptr;
    std::byte* used_ = nullptr;
};

}  // namespace bounce::test
