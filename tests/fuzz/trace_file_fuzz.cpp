// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Files of `bouncectl record`: any bytes; and with the first words of a good one, so that the fuzzer gets behind them.
// What is read is made into demand, and a small pool is asked for it.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "tests/fuzz/fuzz_target.hpp"
#include "tools/common/failure.hpp"
#include "tools/trace/replay.hpp"

namespace {

using namespace bounce::tools;

void read_it(const std::vector<std::uint8_t>& bytes) {
    const Descriptor file(::memfd_create("trace", MFD_CLOEXEC));
    if (!file || ::write(file.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) std::abort();
    char path[64];
    std::snprintf(path, sizeof path, "/proc/self/fd/%d", file.get());
    try {
        const TraceReader reader(path);
        const Demand demand(reader);
        if (demand.most_bytes > 1u << 22) return;
        ReplayConfig config;
        config.size_bytes = 1u << 20;
        const ReplayResult result = replay(demand, config);
        if (result.requests != demand.objects.size() || result.failed > result.requests) __builtin_trap();
    } catch (const Failure&) {
    } catch (const NoTarget&) {
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::vector<std::uint8_t> bytes(data, data + size);
    read_it(bytes);
    if (size < 16 * 8) return 0;
    const std::uint64_t first[] = {kTraceFileMagic, kTraceFileVersion};
    std::memcpy(bytes.data(), first, sizeof first);
    const std::uint64_t record_bytes = 32;
    std::memcpy(bytes.data() + 3 * 8, &record_bytes, 8);
    std::memcpy(bytes.data() + 8 * 8, &record_bytes, 8);
    read_it(bytes);
    return 0;
}
