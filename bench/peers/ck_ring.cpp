// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// `ck_ring`: Concurrency Kit's ring for many producers and consumers, holding the indices of free slots: the simplest
// lock-free pool of one size, with nothing in the shared memory.
#include <cstdint>
#include <memory>

#include "bench/cases/pool_cases.hpp"
#include "bench/peers/index_ring.h"

namespace bench {
namespace {

class CkRing {
public:
    static constexpr const char* kName = "ck_ring";
    static constexpr const char* kNote = "a ring of indices, no checks";
    static constexpr bool kAnySize = false;
    static constexpr bool kBulk = false;
    static constexpr std::uint64_t kMaxItem = kMiB;
    static constexpr std::uint64_t kMinPool = 4 * kMiB;
    static constexpr std::uint64_t kMaxPool = kGiB;
    using Handle = std::uint32_t;
    struct Context {
        explicit Context(CkRing&) {}
    };

    explicit CkRing(const Shape& shape) {
        const auto items = static_cast<std::uint32_t>(shape.pool_bytes / shape.item_bytes);
        ring_.reset(index_ring_create(items));
        expect(ring_ != nullptr, "no memory for the ring");
        for (std::uint32_t i = 0; i < items; ++i) put(i);
    }
    bool alloc(Context&, std::uint64_t, Handle& handle) { return index_ring_get(ring_.get(), &handle); }
    void free(Context&, Handle& handle, std::uint64_t) { put(handle); }

private:
    struct Destroy {
        void operator()(index_ring* ring) const { index_ring_destroy(ring); }
    };
    void put(std::uint32_t index) { expect(index_ring_put(ring_.get(), index), "the ring has no room"); }

    std::unique_ptr<index_ring, Destroy> ring_;
};
static_assert(Subject<CkRing>);

}  // namespace

void register_cases() {
    add_pool_cases<CkRing>();
}

}  // namespace bench
