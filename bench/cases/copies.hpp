// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What map and unmap cost, copy included; times are of one map and its unmap.
// Pools have 64 MiB. The buffer is hot, and the device does nothing; other_core.hpp has one that does something.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/harness/report.hpp"
#include "bench/measure/chunks.hpp"
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
