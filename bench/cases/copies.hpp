// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What map and unmap cost, copy included; times are of one map and its unmap.
// Pools have 64 MiB.
//   map_to_device, map_from_device  the buffer is hot, and the device does nothing
//   other_core                      a device thread on the other processor reads or writes all of the buffer; depth 32
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "bench/cases/threads.hpp"
#include "bench/harness/report.hpp"
#include "bench/measure/chunks.hpp"
#include "bench/measure/cores.hpp"
#include "bench/subjects/dma_subject.hpp"

namespace bench {

/// Private memory of a driver.
class Buffer {
public:
    explicit Buffer(std::uint64_t bytes) : room_(bytes + 4096, std::byte{1}) {
        const auto at = reinterpret_cast<std::uintptr_t>(room_.data());
        data_ = room_.data() + (4096 - at % 4096) % 4096;
    }
    [[nodiscard]] std::byte* data() const { return data_; }

private:
    std::vector<std::byte> room_;
    std::byte* data_;
};

inline constexpr Shape kDmaShape{.pool_bytes = 64 * kMiB, .resident = true};

template <DmaSubject D>
Figures run_map(const Settings& settings, std::uint64_t bytes, Direction direction) {
    D subject(kDmaShape);
    typename D::Context context(subject);
    const Buffer buffer(bytes);
    const auto chunk = static_cast<unsigned>(std::clamp<std::uint64_t>(kMiB / bytes, 1, kChunk));
    const double ns = time_chunks(settings.seconds, chunk, [&] {
        for (unsigned i = 0; i < chunk; ++i) {
            typename D::Token token;
            expect(subject.map(context, buffer.data(), bytes, direction, token), "a map failed");
            keep(token);
            expect(subject.unmap(context, token), "an unmap failed");
            keep(*buffer.data());
        }
    });
    const std::string how = "chunks of " + std::to_string(chunk) + ", slowest 5 % dropped, mean";
    return {.ns = ns, .note = note_of<D>(how.c_str())};
}

/// What a device does with a buffer.
inline void touch(std::byte* slot, std::uint64_t bytes, Direction direction) {
    if (direction == Direction::kFromDevice) {
        std::memset(slot, 0x5a, bytes);
        return;
    }
    std::uint64_t sum = 0;
    for (std::uint64_t at = 0; at + 8 <= bytes; at += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, slot + at, sizeof word);
        sum += word;
    }
    keep(sum);
}

template <DmaSubject D>
double time_other_core(D& subject, double seconds, std::uint64_t bytes, Direction direction) {
    constexpr std::size_t kDepth = 32;
    constexpr unsigned kOps = 64;
    Pipe<std::byte*, 64> submitted;
    Pipe<std::byte*, 64> completed;
    std::atomic<bool> done{false};
    double ns = kNone;
    in_threads(2, [&](unsigned side, const std::atomic<bool>& failed) {
        std::byte* slot = nullptr;
        if (side == 1) {
            spin_until(failed, [&] {
                while (submitted.pop(slot)) {
                    touch(slot, bytes, direction);
                    completed.push(slot);
                }
                return done.load(std::memory_order_relaxed);
            });
            return;
        }
        typename D::Context context(subject);
        const Buffer buffers(kDepth * bytes);
        typename D::Token tokens[kDepth] = {};
        std::size_t mapped = 0;
        std::size_t unmapped = 0;
        const auto unmap_oldest = [&] {
            spin_until(failed, [&] { return completed.pop(slot); });
            expect(subject.unmap(context, tokens[unmapped++ % kDepth]), "an unmap failed");
        };
        ns = time_chunks(seconds, kOps, [&] {
            for (unsigned i = 0; i < kOps; ++i) {
                if (mapped - unmapped == kDepth) unmap_oldest();
                auto& token = tokens[mapped % kDepth];
                expect(subject.map(context, buffers.data() + mapped++ % kDepth * bytes, bytes, direction, token),
                       "a map failed");
                submitted.push(subject.slot(token));
            }
        });
        while (unmapped != mapped) unmap_oldest();
        done.store(true, std::memory_order_relaxed);
    });
    return ns;
}

template <DmaSubject D>
Figures run_other_core(const Settings& settings, std::uint64_t bytes, Direction direction) {
    D subject(kDmaShape);
    Distance distance;
    distance.before = ping_pong_ns();
    const double ns = time_other_core(subject, settings.seconds, bytes, direction);
    distance.after = ping_pong_ns();
    const std::string how = distance.text() + "; depth 32, chunks of 64, slowest 5 % dropped, mean";
    return {.ns = ns, .value = distance.mean(), .unit = "ns ping-pong", .note = note_of<D>(how.c_str())};
}

template <DmaSubject D>
void add_other_core_cases() {
    for (const std::uint64_t bytes : {4 * kKiB, 64 * kKiB}) {
        add({"other_core", D::kName, bytes, 2, "reads"},
            [=](const Settings& s) { return run_other_core<D>(s, bytes, Direction::kToDevice); });
        add({"other_core", D::kName, bytes, 2, "writes"},
            [=](const Settings& s) { return run_other_core<D>(s, bytes, Direction::kFromDevice); });
    }
}

template <DmaSubject D>
void add_map_cases() {
    for (const std::uint64_t bytes :
         {std::uint64_t{64}, std::uint64_t{1500}, 4 * kKiB, 16 * kKiB, 64 * kKiB, 256 * kKiB, kMiB, 4 * kMiB}) {
        if (bytes > D::kMaxItem) {
            for (const char* name : {"map_to_device", "map_from_device"})
                add_skipped({name, D::kName, bytes}, too_large<D>());
            continue;
        }
        add({"map_to_device", D::kName, bytes},
            [=](const Settings& s) { return run_map<D>(s, bytes, Direction::kToDevice); });
        add({"map_from_device", D::kName, bytes},
            [=](const Settings& s) { return run_map<D>(s, bytes, Direction::kFromDevice); });
    }
}

}  // namespace bench
