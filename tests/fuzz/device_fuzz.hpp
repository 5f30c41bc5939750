// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A driver that writes whatever it likes into its memory, and a queue of one layout from the device side. The input is
// the setup (four bytes), a number of actions, the actions (four bytes each), and the memory.
//
// Found are: a segment that is not guest memory, or not writable where it has to be; an id that is out twice; sums that
// are none; a broken queue that goes on. The sanitizers see the rest.
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "bounce/virtio_device.h"
#include "tests/fuzz/device_misuse.hpp"
#include "tests/fuzz/fuzz_target.hpp"

namespace bounce::test {

class DeviceFuzz {
public:
    DeviceFuzz(std::span<const std::uint8_t> setup, std::span<const std::uint8_t> memory, bool packed)
        : packed_(packed), read_only_((setup[3] & 1U) != 0), translated_((setup[3] & 2U) != 0) {
        low_.fill(std::uint8_t{0});
        high_.fill(std::uint8_t{0});
        std::copy_n(memory.begin(), std::min(memory.size(), low_.size()), low_.begin());
        require(bounce_guest_memory_create(&memory_) == 0, "guest memory");
        show(true);
        if ((setup[3] & 4U) != 0)
            require(bounce_guest_memory_log_dirty(memory_, dirty, this, nullptr) == 0, "a log of what is written");
        options_.size = sizeof options_;
        options_.flags =
            (setup[0] & 15U & ~unsigned{BOUNCE_VIRTQUEUE_PACKED}) | (packed ? unsigned{BOUNCE_VIRTQUEUE_PACKED} : 0U);
        options_.queue_size = packed ? 1U + setup[1] % 9U : 2U << setup[1] % 3U;
        if ((options_.flags & BOUNCE_VIRTQUEUE_INDIRECT) != 0) options_.max_chain = options_.queue_size + setup[2] % 8U;
        options_.desc_addr = kGpa;
        options_.driver_addr = kGpa + 160;
        options_.device_addr = kGpa + 192;
        if (packed) options_.avail_index = options_.used_index = 0x8000;
        if (translated_) options_.translate = translate;
        options_.translate_user = this;
        if ((setup[3] & 8U) != 0) misuse_queue(memory_, options_, kGpa + kBytes, setup[2]);
        if ((setup[3] & 16U) != 0) misuse_memory(memory_, kGpa, kGpa + kBytes);
        require(bounce_virtqueue_create(memory_, &options_, &queue_) == 0, "a queue");
        for (std::size_t i = 0; i < storage_.size(); ++i) idle_.push_back(storage_.size() - 1 - i);
    }
    DeviceFuzz(const DeviceFuzz&) = delete;
    ~DeviceFuzz() {
        miss_ = wrong_ = false;
        while (!out_.empty()) drop(out_.size() - 1);
        require(bounce_virtqueue_reset(queue_, nullptr) == 0 || shown_ == 0, "a reset at the end");
        require(bounce_virtqueue_destroy(queue_) == 0, "destroy");
        require(bounce_guest_memory_destroy(memory_) == 0, "destroy");
    }

    void act(std::span<const std::uint8_t> action) {
        const unsigned a = action[1];
        const unsigned b = action[2] | unsigned{action[3]} << 8;
        const std::size_t which = out_.empty() ? 0 : a % out_.size();
        switch (action[0] % 16) {
            case 0: pop(1); break;
            case 1: pop(1 + a % 4); break;
            case 2: more(a, b); break;
            case 3: low_[b % kBytes] = static_cast<std::uint8_t>(a); break;  // the driver changes its mind
            case 4: end(which, b, false); break;
            case 5: end(which, b, true); break;
            case 6: copy(which, a, b); break;
            case 7: ask(bounce_virtqueue_needs_call(queue_)); break;
            case 8: ask(bounce_virtqueue_enable_kicks(queue_)); break;
            case 9: ask(bounce_virtqueue_disable_kicks(queue_)); break;
            case 10: drop(which); break;
            case 11: (void)bounce_virtqueue_notified(queue_, b << 16 | (a << 8 & 0x8000U) | (a & 127U)); break;
            case 12:
                miss_ = (a & 1U) != 0;
                wrong_ = (a & 2U) != 0;
                (void)bounce_virtqueue_retranslate(queue_);
                break;
            case 13: reset(a); break;
            case 14: show((a & 1U) != 0); break;
            default: ask(bounce_virtqueue_flush(queue_)); break;
        }
        bounce_virtqueue_info info{};
        require(bounce_virtqueue_get_info(queue_, &info) == 0 && info.outstanding == out_.size(),
                "a wrong number is out");
        if (broken_ && info.broken == 0) found("a queue that its driver broke works again");
        broken_ = info.broken != 0;
    }

private:
    static constexpr std::uint64_t kGpa = 0x1000;
    static constexpr std::size_t kBytes = 2048;
    static constexpr std::size_t kHighBytes = 256;
    static constexpr std::uint64_t kHigh = ~std::uint64_t{0} - (kHighBytes - 1);
    static constexpr std::size_t kSegments = 8;

    /// Two regions that meet in guest memory, and one up to its end.
    void show(bool all) {
        const bounce_guest_region regions[] = {
            {kGpa, kBytes / 2, low_.data(), 0, 0},
            {kGpa + kBytes / 2, kBytes / 2, low_.data() + kBytes / 2, 0, 0},
            {kHigh, kHighBytes, high_.data(), read_only_ ? std::uint32_t{BOUNCE_GUEST_READ_ONLY} : 0U, 0}};
        shown_ = all ? 3 : 2;
        require(bounce_guest_memory_set(memory_, regions, shown_, nullptr) == 0, "regions");
    }
    /// An IOVA is an address with bit 62 changed, in pieces of 512 bytes.
    static int translate(void* user, std::uint64_t iova, std::uint64_t bytes, std::uint32_t, bounce_iova_piece* pieces,
                         std::uint32_t max) {
        const auto& self = *static_cast<const DeviceFuzz*>(user);
        if (self.miss_) return -EAGAIN;
        if (self.wrong_) {
            pieces[0] = {iova, bytes + 1};
            return 1;
        }
        if ((iova & 1U << 11) != 0) return -EACCES;
        std::uint32_t n = 0;
        for (; n < max && bytes != 0; ++n) {
            const std::uint64_t piece = std::min<std::uint64_t>(bytes, 512 - iova % 512);
            pieces[n] = {iova, piece};
            iova += piece;
            bytes -= piece;
        }
        return static_cast<int>(n);
    }
    static void dirty(void* user, std::uint64_t gpa, std::uint64_t bytes) {
        if (!static_cast<DeviceFuzz*>(user)->inside(gpa, bytes, true)) found("it wrote outside of guest memory");
    }
    [[nodiscard]] bool inside(std::uint64_t gpa, std::uint64_t bytes, bool write) const {
        if (gpa >= kGpa && gpa - kGpa < kBytes) return bytes <= kBytes - (gpa - kGpa);
        return gpa >= kHigh && bytes <= kHighBytes - (gpa - kHigh) && !(write && read_only_);
    }

    void ask(int result) {
        const bool may = result == 0 || result == 1 || result == -EPROTO ||
                         (translated_ && (result == -EAGAIN || result == -EINVAL));
        require(may, "a call failed as it cannot");
        if (broken_ && result != -EPROTO) found("a broken queue answers");
    }

    void pop(std::size_t n) {
        n = std::min(n, idle_.size());
        std::array<bounce_element, 4> elements{};
        for (std::size_t i = 0; i < n; ++i)
            elements[i] = {segments_[idle_[idle_.size() - 1 - i]].data(), kSegments, 0, 0, 0, 0, 0, 0, 0};
        if (n == 0) return;
        const int result = n == 1 ? bounce_virtqueue_pop(queue_, elements.data())
                                  : bounce_virtqueue_pop_many(queue_, elements.data(), n);
        if (result <= 0) {
            if (result != -ENOBUFS) ask(result);
            return;
        }
        require(static_cast<std::size_t>(result) <= n && !broken_, "more was popped than can be");
        for (int i = 0; i < result; ++i) {
            const std::size_t place = idle_.back();
            idle_.pop_back();
            storage_[place] = elements[static_cast<std::size_t>(i)];
            check(storage_[place]);
            out_.push_back(place);
        }
    }
    void check(const bounce_element& element) const {
        for (const std::size_t other : out_) require(storage_[other].id != element.id, "an id is out twice");
        std::uint64_t sums[2] = {0, 0};
        require(element.n_out + element.n_in <= kSegments, "more segments than there is room for");
        for (std::uint32_t i = 0; i < element.n_out + element.n_in; ++i) {
            const bounce_element_segment& one = element.segments[i];
            const bool write = i >= element.n_out;
            sums[write ? 1 : 0] += one.bytes;
            require(one.bytes != 0 && inside(one.gpa, one.bytes, write), "a segment outside of guest memory");
            require(one.hva == at(one.gpa), "a segment is elsewhere");
        }
        require(sums[0] == element.out_bytes && sums[1] == element.in_bytes, "the segments are not all bytes");
    }
    [[nodiscard]] const void* at(std::uint64_t gpa) const {
        return gpa >= kHigh ? high_.data() + (gpa - kHigh) : low_.data() + (gpa - kGpa);
    }

    /// The driver makes descriptors available, right or wrong.
    void more(unsigned a, unsigned b) {
        if (!packed_) {
            const std::size_t entry = 164 + 2 * (b % options_.queue_size);
            low_[entry] = static_cast<std::uint8_t>(a / 16);
            low_[162] = static_cast<std::uint8_t>(low_[162] + a % 4);
        } else {
            const std::size_t desc = 16 * std::size_t{a % options_.queue_size};
            low_[desc + 14] = static_cast<std::uint8_t>(b);
            low_[desc + 15] = static_cast<std::uint8_t>(b >> 8);
        }
    }
    void end(std::size_t which, unsigned b, bool show) {
        if (out_.empty()) return;
        const bounce_element& one = storage_[out_[which]];
        const std::uint64_t written = b % 4 == 3 ? b : one.in_bytes == 0 ? 0 : b % (one.in_bytes + 1);
        const int result = show ? bounce_virtqueue_complete(queue_, &one, static_cast<std::uint32_t>(written))
                                : bounce_virtqueue_push(queue_, &one, static_cast<std::uint32_t>(written));
        require((result == -EINVAL) == (written > one.in_bytes) || translated_ || broken_, "a length was taken");
        bounce_virtqueue_info info{};
        (void)bounce_virtqueue_get_info(queue_, &info);
        if (info.outstanding < out_.size()) forget(which);
    }
    void copy(std::size_t which, unsigned a, unsigned b) {
        if (out_.empty()) return;
        std::array<std::uint8_t, 256> bytes{};
        const bounce_element& one = storage_[out_[which]];
        const bool in = bounce_virtqueue_read(queue_, &one, b, bytes.data(), a) == 0;
        require(!in || b + std::uint64_t{a} <= one.out_bytes, "it read beyond the element");
        const bool out = bounce_virtqueue_write(queue_, &one, b, bytes.data(), a) == 0;
        require(!out || b + std::uint64_t{a} <= one.in_bytes, "it wrote beyond the element");
        (void)bounce_virtqueue_mark_dirty(queue_, &one, b, a);
    }
    void drop(std::size_t which) {
        if (out_.empty()) return;
        require(bounce_virtqueue_drop(queue_, &storage_[out_[which]]) == 0, "it cannot be dropped");
        require(bounce_virtqueue_drop(queue_, &storage_[out_[which]]) == -EALREADY, "it was dropped twice");
        forget(which);
    }
    void forget(std::size_t which) {
        idle_.push_back(out_[which]);
        out_.erase(out_.begin() + static_cast<std::ptrdiff_t>(which));
    }
    void reset(unsigned a) {
        bounce_virtqueue_options other = options_;
        if (!packed_) other.avail_index = other.used_index = static_cast<std::uint16_t>(0xffffU - a % 4);
        const int result = bounce_virtqueue_reset(queue_, a % 2 == 0 ? nullptr : &other);
        require((result == -EBUSY) == !out_.empty(), "a reset with elements that are out");
        if (result == 0) broken_ = false;
        if (result == 0 && a % 2 != 0 && !packed_) {
            low_[162] = static_cast<std::uint8_t>(other.avail_index);
            low_[163] = static_cast<std::uint8_t>(other.avail_index >> 8);
        }
    }

    const bool packed_;
    const bool read_only_;
    const bool translated_;
    bool miss_ = false;
    bool wrong_ = false;
    bool broken_ = false;
    std::size_t shown_ = 0;
    alignas(64) std::array<std::uint8_t, kBytes> low_;
    alignas(64) std::array<std::uint8_t, kHighBytes> high_;
    bounce_guest_memory* memory_ = nullptr;
    bounce_virtqueue_options options_{};
    bounce_virtqueue* queue_ = nullptr;
    std::array<bounce_element, 16> storage_{};
    std::array<std::array<bounce_element_segment, kSegments>, 16> segments_{};
    std::vector<std::size_t> idle_;
    std::vector<std::size_t> out_;
};

inline int fuzz_device(const std::uint8_t* data, std::size_t size, bool packed) {
    if (size < 5) return 0;
    const std::span all(data, size);
    const std::size_t n = std::min<std::size_t>(data[4] % 64, (size - 5) / 4);
    DeviceFuzz fuzz(all.first(4), all.subspan(5 + 4 * n), packed);
    for (std::size_t i = 0; i < n; ++i) fuzz.act(all.subspan(5 + 4 * i, 4));
    return 0;
}

}  // namespace bounce::test
