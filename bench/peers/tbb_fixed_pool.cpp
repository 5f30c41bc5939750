// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// `tbb_fixed_pool`: oneTBB's fixed_pool over shared memory. Its metadata is in the memory that a device would see.
#define TBB_PREVIEW_MEMORY_POOL 1
#include <oneapi/tbb/memory_pool.h>

#include "bench/cases/pool_cases.hpp"
#include "bench/measure/memory.hpp"

namespace bench {
namespace {

class TbbFixedPool {
public:
    static constexpr const char* kName = "tbb_fixed_pool";
    static constexpr const char* kNote = "metadata in the pool";
    static constexpr bool kAnySize = true;
    static constexpr bool kBulk = false;
    static constexpr std::uint64_t kMaxItem = 16 * kMiB;
    static constexpr std::uint64_t kMinPool = 4 * kMiB;
    static constexpr std::uint64_t kMaxPool = kTiB;
    using Handle = void*;
    struct Context {
        explicit Context(TbbFixedPool&) {}
    };

    explicit TbbFixedPool(const Shape& shape)
        : area_(shape.pool_bytes, 2 * kMiB, shape.resident), pool_(area_.data(), area_.bytes()) {}
    bool alloc(Context&, std::uint64_t bytes, Handle& handle) {
        handle = pool_.malloc(bytes);
        return handle != nullptr;
    }
    void free(Context&, Handle& handle, std::uint64_t) { pool_.free(handle); }

private:
    SharedArea area_;
    tbb::fixed_pool pool_;
};
static_assert(Subject<TbbFixedPool>);

}  // namespace

void register_cases() {
    add_pool_cases<TbbFixedPool>();
}

}  // namespace bench
