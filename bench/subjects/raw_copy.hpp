// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// `memcpy_hot` and `memcpy_cold`: the copy by itself, to and from the same slot, or a slot that no cache holds.
#pragma once

#include <bit>
#include <cstring>

#include "bench/measure/memory.hpp"
#include "bench/subjects/dma_subject.hpp"

namespace bench {

template <bool kHot>
class RawCopy {
public:
    static constexpr const char* kName = kHot ? "memcpy_hot" : "memcpy_cold";
    static constexpr const char* kNote = kHot ? "always the same slot" : "slots in a scattered order over 128 MiB";
    static constexpr std::uint64_t kMaxItem = 16 * kMiB;
    struct Token {
        std::byte* slot;
        std::byte* buf;
        std::uint64_t bytes;
        Direction direction;
    };
    struct Context {
        explicit Context(RawCopy&) {}
        std::uint64_t turn = 0;
    };

    explicit RawCopy(const Shape&) {}
    bool map(Context& context, std::byte* buf, std::uint64_t bytes, Direction direction, Token& token) {
        token = {area().data() + (kHot ? 0 : scattered(context.turn++, bytes)), buf, bytes, direction};
        if (direction == Direction::kToDevice) std::memcpy(token.slot, buf, bytes);
        return true;
    }
    bool unmap(Context&, Token& token) {
        if (token.direction == Direction::kFromDevice) std::memcpy(token.buf, token.slot, token.bytes);
        return true;
    }
    std::byte* slot(const Token& token) { return token.slot; }

private:
    // A stride that the prefetchers do not follow and that comes back only after all others: the pool has a power of
    // two of slots, and the factor is odd.
    [[nodiscard]] std::uint64_t scattered(std::uint64_t turn, std::uint64_t bytes) const {
        const std::uint64_t slots = area().bytes() / std::bit_ceil(bytes);
        return turn * 0x9e3779b97f4a7c15 % slots * std::bit_ceil(bytes);
    }

    // One for all cases: touching it takes longer than measuring.
    static const SharedArea& area() {
        static const SharedArea area(kHot ? 16 * kMiB : 128 * kMiB, 4096, true);
        return area;
    }
};
using MemcpyHot = RawCopy<true>;
using MemcpyCold = RawCopy<false>;
static_assert(DmaSubject<MemcpyHot> && DmaSubject<MemcpyCold>);

}  // namespace bench
