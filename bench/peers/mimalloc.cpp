// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// `mimalloc`: heaps in an exclusive arena over shared memory. Its metadata is in the memory that a device would see.
#include <mimalloc.h>

#include <map>
#include <memory>
#include <utility>

#include "bench/cases/pool_cases.hpp"
#include "bench/measure/memory.hpp"

namespace bench {
namespace {

// An arena cannot be given back; those of a size are used again by the next subject.
struct Arena {
    SharedArea area;
    mi_arena_id_t id = 0;
    explicit Arena(const Shape& shape) : area(shape.pool_bytes, 64 * kMiB, shape.resident) {
        // committed, pinned (nothing is given back to the system: faster, and as a pool of ours has it), zeroed
        if (!mi_manage_os_memory_ex(area.data(), shape.pool_bytes, true, true, true, -1, true, &id))
            throw Skipped("mi_manage_os_memory_ex() failed");
    }
};

Arena& arena_of(const Shape& shape) {
    static std::map<std::pair<std::uint64_t, bool>, std::unique_ptr<Arena>> arenas;
    std::unique_ptr<Arena>& arena = arenas[{shape.pool_bytes, shape.resident}];
    if (arena == nullptr) arena = std::make_unique<Arena>(shape);
    return *arena;
}

class Mimalloc {
public:
    static constexpr const char* kName = "mimalloc";
    static constexpr const char* kNote = "heap in an arena, metadata in the pool";
    static constexpr bool kAnySize = true;
    static constexpr bool kBulk = false;
    static constexpr std::uint64_t kMaxItem = 16 * kMiB;
    static constexpr std::uint64_t kMinPool = 64 * kMiB;  // segments have 32 MiB
    static constexpr std::uint64_t kMaxPool = 64 * kGiB;
    static constexpr const char* kNoCreation = "an arena cannot be given back, so one is made only once";
    using Handle = void*;
    class Context {  // a heap belongs to its thread; anybody may free
    public:
        explicit Context(Mimalloc& subject) : heap_(mi_heap_new_in_arena(subject.arena_.id)) {
            if (heap_ == nullptr) throw Skipped("mi_heap_new_in_arena() failed");
        }
        ~Context() { mi_heap_destroy(heap_); }
        Context(const Context&) = delete;
        Context& operator=(const Context&) = delete;
        [[nodiscard]] mi_heap_t* heap() const { return heap_; }

    private:
        mi_heap_t* heap_;
    };

    explicit Mimalloc(const Shape& shape) : arena_(arena_of(shape)) {}
    bool alloc(Context& context, std::uint64_t bytes, Handle& handle) {
        handle = mi_heap_malloc(context.heap(), bytes);
        return handle != nullptr;
    }
    void free(Context&, Handle& handle, std::uint64_t bytes) { mi_free_size(handle, bytes); }

private:
    Arena& arena_;
};
static_assert(Subject<Mimalloc>);

// It says so on stderr whenever an arena is full, which the cases that fill one provoke.
void silent(const char*, void*) {}

}  // namespace

void register_cases() {
    mi_register_output(silent, nullptr);
    add_pool_cases<Mimalloc>();
}

}  // namespace bench
