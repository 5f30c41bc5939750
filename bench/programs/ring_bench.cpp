// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What the driver side of a split ring costs: add, publish and collect of a virtio-blk read of 4 KiB (header, data,
// status), in the same thread as a device that does nothing but echo heads. Times are of one request.
//   bounced   all three segments are mapped, the data is copied back
//   no_copy   the same, but the device reports 0 bytes: everything but the copy
//   shared    all three segments are used in place
//   ring      one shared segment: what of it is the ring
// qdN is the queue depth; _indirect: negotiated (tables are used when the ring of 128 gets short).

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "api/dma/callbacks.hpp"
#include "api/virtio/split_queue.hpp"
#include "bench/harness/report.hpp"
#include "bench/measure/chunks.hpp"

namespace {

using namespace bounce;

constexpr std::uint32_t kQueueSize = 128;

template <class T>
std::unique_ptr<T> must(Result<std::unique_ptr<T>> result) {
    if (!result) std::abort();
    return std::move(*result);
}

enum class Load { kBounced, kNoCopy, kShared, kRing };

struct Setup {
    explicit Setup(bool indirect)
        : pool(must(Pool::create({.name = "ring_bench", .bytes = std::uint64_t{64} << 20, .base_gpa = Gpa{1 << 30}}))),
          device(must(Device::create(*pool, callbacks, {}))),
          queue(must(SplitQueue::create(*device, {.queue_size = kQueueSize, .indirect = indirect}))) {
        const SplitOffsets offsets(kQueueSize);
        std::byte* const memory = *pool->to_hva(Gpa{queue->layout().desc_addr}, offsets.bytes);
        avail = reinterpret_cast<le16*>(memory + offsets.avail + sizeof(SplitAvail));
        used = reinterpret_cast<SplitUsed*>(memory + offsets.used);
        elements = reinterpret_cast<SplitUsedElem*>(used + 1);
    }
    void echo(std::size_t n, std::uint32_t len) {
        for (std::size_t i = 0; i < n; ++i, ++index) {
            SplitUsedElem& element = elements[index % kQueueSize];
            element.id.store(avail[index % kQueueSize].load());
            element.len.store(len);
        }
        used->idx.store(index, std::memory_order_release);  // pairs with the driver's acquire in collect()
    }

    Callbacks callbacks;
    std::unique_ptr<Pool> pool;
    std::unique_ptr<Device> device;
    std::unique_ptr<SplitQueue> queue;
    le16* avail = nullptr;
    SplitUsed* used = nullptr;
    SplitUsedElem* elements = nullptr;
    std::uint16_t index = 0;
};

bench::Figures run(const bench::Settings& settings, Load load, std::size_t depth, bool indirect) {
    Setup setup(indirect);
    bounce_block block{};
    if (!setup.device->alloc_block(SlotKind::kBuffer, 3 * 4096 * depth, 4096, block)) std::abort();
    std::vector<std::byte> memory(2 * 4096 * depth);
    std::vector<bounce_sg> lists;
    for (std::size_t i = 0; i < depth; ++i) {
        const bool shared = load == Load::kShared || load == Load::kRing;
        std::byte* const at = shared ? static_cast<std::byte*>(block.ptr) + 8192 * i : memory.data() + 8192 * i;
        const std::uint32_t flags = shared ? BOUNCE_SG_SHARED | BOUNCE_SG_SHARED_IN : 0U;
        lists.push_back({at, 16, flags, 0});
        lists.push_back({at + 4096, 4096, flags, 0});
        lists.push_back({at + 64, 1, flags, 0});
    }
    const std::size_t segments = load == Load::kRing ? 1 : 3;
    std::vector<bounce_completion> completions(depth);
    const std::size_t rounds = (bench::kChunk + depth - 1) / depth;
    const double ns = bench::time_chunks(settings.seconds, static_cast<double>(rounds * depth), [&] {
        for (std::size_t round = 0; round < rounds; ++round) {
            for (std::size_t i = 0; i < depth; ++i) {
                if (!setup.queue->add(std::span(lists).subspan(3 * i, segments), 1, &setup)) std::abort();
            }
            bench::keep(setup.queue->publish());
            setup.echo(depth, load == Load::kBounced ? 4097 : 0);
            auto n = setup.queue->collect(completions);
            if (!n || *n != depth) std::abort();
        }
    });
    if (!setup.device->free_block(SlotKind::kBuffer, block)) std::abort();
    return {.ns = ns, .note = "one request of three segments (ring: of one); chunks of 256, slowest 5 % dropped, mean"};
}

}  // namespace

void bench::register_cases() {
    struct Way {
        const char* name;
        Load load;
    };
    for (const Way way : {Way{"bounced", Load::kBounced}, Way{"no_copy", Load::kNoCopy}, Way{"shared", Load::kShared},
                          Way{"ring", Load::kRing}}) {
        for (const std::size_t depth : {std::size_t{1}, std::size_t{32}, std::size_t{50}}) {
            for (const bool indirect : {false, true}) {
                if (indirect ? depth == 1 || way.load == Load::kRing : depth == 50) continue;
                const std::string variant =
                    std::string(way.name) + "_qd" + std::to_string(depth) + (indirect ? "_indirect" : "");
                add({"ring", "bounce", 4096, 1, variant.c_str()},
                    [=](const Settings& settings) { return run(settings, way.load, depth, indirect); });
            }
        }
    }
}
