// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// metadata: the private memory that a pool of 64 MiB needs when it is full of items of one size, for the second time:
// what is written of an item only when it is freed is there as well. Size: of an item.
#pragma once

#include <malloc.h>
#include <sys/prctl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/harness/report.hpp"
#include "bench/measure/memory.hpp"
#include "bench/subjects/subject.hpp"

namespace bench {

template <Subject S>
Figures run_metadata(std::uint64_t bytes) {
    constexpr std::uint64_t kPool = 64 * kMiB;
    const Shape shape{.pool_bytes = kPool, .item_bytes = bytes};
    // Pages are counted one by one.
    expect(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0, "prctl failed");
    // Of the handles; they are there before anything is counted.
    std::vector<typename S::Handle> held(kPool / bytes);
    held.clear();
    // The first one also starts what a process needs once.
    { const S first(shape); }
    malloc_trim(0);  // what malloc kept from before would not be counted
    const std::uint64_t before = private_bytes();
    const auto subject = std::make_unique<S>(shape);
    typename S::Context context(*subject);
    fill(*subject, context, bytes, held);
    empty(*subject, context, bytes, held);
    fill(*subject, context, bytes, held);
    const std::uint64_t after = private_bytes();
    const std::size_t items = held.size();
    expect(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0) == 0, "prctl failed");
    empty(*subject, context, bytes, held);
    expect(after > before, "a full pool needed no private memory");
    return {.value = 100 * static_cast<double>(after - before) / kPool,
            .unit = "% of the pool",
            .note = note_of<S>((std::to_string(items) + " items; the anonymous pages that came with them").c_str())};
}

template <Subject S>
void add_metadata_cases() {
    for (const std::uint64_t bytes : {std::uint64_t{64}, std::uint64_t{1500}, 4 * kKiB, 64 * kKiB}) {
        if (bytes > S::kMaxItem)
            add_skipped({"metadata", S::kName, bytes}, too_large<S>());
        else
            add({"metadata", S::kName, bytes}, [bytes](const Settings&) { return run_metadata<S>(bytes); });
    }
}

}  // namespace bench
