// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Pictures of a pool: any bytes; and a whole segment of which the first bytes are those of the input, so that the
// fuzzer gets behind the length.
#include <cstring>
#include <vector>

#include "bounce/stats.h"
#include "tests/fuzz/fuzz_target.hpp"

namespace {

void read_all(const void* bytes, std::size_t n) {
    bounce_stats_view* view = nullptr;
    if (bounce_stats_parse(bytes, n, &view) < 0) return;
    std::uint64_t sum = 0;
    for (int table = -1; table < BOUNCE_STATS_TABLES + 2; ++table) {
        const std::int64_t count = bounce_stats_count(view, table);
        for (std::int64_t i = 0; i < count && i < 100; ++i) {
            std::uint64_t record[100] = {};
            if (bounce_stats_record(view, table, static_cast<std::uint64_t>(i), record, sizeof record) < 0)
                __builtin_trap();
            for (const std::uint64_t word : record) sum += word;
        }
        if (count > 0) {
            char last[8];
            if (bounce_stats_record(view, table, static_cast<std::uint64_t>(count - 1), last, sizeof last) < 0)
                __builtin_trap();
            if (bounce_stats_record(view, table, static_cast<std::uint64_t>(count), last, sizeof last) >= 0)
                __builtin_trap();
        }
    }
    volatile std::uint64_t used = sum;
    static_cast<void>(used);
    bounce_stats_close(view);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::vector<std::uint64_t> words((size + 7) / 8);
    if (size != 0) std::memcpy(words.data(), data, size);
    read_all(words.data(), size / 8 * 8);
    if (size < 64) return 0;
    // As long as it says, within bounds.
    bounce_stats_header header{};
    std::memcpy(&header, data, size < sizeof header ? size : sizeof header);
    if (header.bytes > 1u << 20 || header.bytes % 8 != 0) return 0;
    header.magic = BOUNCE_STATS_MAGIC;
    header.version = BOUNCE_STATS_VERSION;
    words.resize(header.bytes / 8);
    if (words.size() * 8 >= sizeof header) std::memcpy(words.data(), &header, sizeof header);
    read_all(words.data(), words.size() * 8);
    return 0;
}
