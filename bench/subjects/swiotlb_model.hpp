// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// `swiotlb_model`: a model of the algorithm of Linux's swiotlb, written from a description of it, for the same work in
// the same process. It is not the kernel's code: no interrupts to switch off, no dynamic pools, no device masks.
//
// As modelled: slots of 2048 B in sets of 128 (so 256 KiB is the largest mapping); private metadata of 24 B a slot;
// areas, one for each processor (rounded up to a power of two), each with a spinlock, four to a cache line; a search
// that goes on from the last allocation (next fit), slot by slot through the whole area, then through the other areas;
// for each free slot the number of free slots that follow in its set; two global counters that every mapping changes.
// map copies the original in whatever the direction, unmap copies back for from_device.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "bench/measure/memory.hpp"
#include "bench/subjects/dma_subject.hpp"
#include "bench/subjects/subject.hpp"

namespace bench {

class SwiotlbModel {
public:
    static constexpr const char* kName = "swiotlb_model";
    static constexpr const char* kNote = "a model of the algorithm";
    static constexpr bool kAnySize = true;
    static constexpr bool kBulk = false;
    static constexpr std::uint64_t kSlotBytes = 2048;
    static constexpr std::uint32_t kSetSlots = 128;
    static constexpr std::uint64_t kMaxItem = kSlotBytes * kSetSlots;
    static constexpr std::uint64_t kMinPool = 4 * kMiB;
    static constexpr std::uint64_t kMaxPool = kGiB;
    using Handle = std::uint32_t;  // the first slot
    struct Context {
        explicit Context(SwiotlbModel& model);
        std::uint32_t area;  // where the search begins: that of the processor in the kernel
    };
    struct Token {
        std::uint32_t slot;
        std::byte* buf;
        std::uint64_t bytes;
        Direction direction;
    };

    explicit SwiotlbModel(const Shape& shape);
    bool alloc(Context& context, std::uint64_t bytes, Handle& handle);
    void free(Context& context, Handle& handle, std::uint64_t bytes);

    bool map(Context& context, std::byte* buf, std::uint64_t bytes, Direction direction, Token& token);
    bool unmap(Context& context, Token& token);
    std::byte* slot(const Token& token) { return area_.data() + token.slot * kSlotBytes; }

private:
    struct Meta {
        std::byte* original;
        std::uint64_t bytes;
        std::uint16_t free_run;  // free slots from this one on, in its set; 0: taken
        std::uint16_t pad;
        std::uint32_t reserved;
    };
    static_assert(sizeof(Meta) == 24);
    struct Area {
        std::uint32_t used = 0;
        std::uint32_t next = 0;  // where the search goes on, relative to the area
        std::atomic<std::uint32_t> lock{0};
        std::uint32_t reserved = 0;
    };
    static_assert(sizeof(Area) == 16);

    bool alloc_for(Context& context, std::byte* original, std::uint64_t bytes, Handle& handle);
    bool search(std::uint32_t area, std::uint32_t slots, std::uint64_t bytes, std::byte* original, Handle& handle);

    SharedArea area_;
    std::vector<Meta> meta_;
    std::unique_ptr<Area[]> areas_;
    std::uint32_t area_count_ = 1;
    std::uint32_t area_slots_ = 0;
    std::atomic<std::uint32_t> contexts_{0};
    std::atomic<std::uint64_t> used_{0};
    std::atomic<std::uint64_t> used_hiwater_{0};
};
static_assert(Subject<SwiotlbModel> && DmaSubject<SwiotlbModel>);

}  // namespace bench
