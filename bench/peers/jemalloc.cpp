// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// `jemalloc`: an arena with extent hooks over shared memory, its metadata elsewhere, and explicit tcaches. Debian's
// jemalloc takes over the malloc of its process, which is why this is a program of its own.
#include <jemalloc/jemalloc.h>

#include <atomic>
#include <memory>
#include <string>

#include "bench/cases/pool_cases.hpp"
#include "bench/measure/memory.hpp"

namespace bench {
namespace {

// The argument of "experimental.arenas_create_ext"; jemalloc 5.3 has it in no installed header.
struct ArenaConfig {
    extent_hooks_t* hooks;
    bool metadata_use_hooks;  // false: with true, 76 pages of metadata are in the shared region
};

template <class T>
T read_control(const char* name, void* in = nullptr, std::size_t in_bytes = 0) {
    T out{};
    std::size_t bytes = sizeof out;
    if (mallctl(name, &out, &bytes, in, in_bytes) != 0) throw Skipped(std::string("jemalloc refused ") + name);
    return out;
}

/// Where an arena has its extents from: cut from the front of one area. What the arena gives up it keeps for itself (a
/// hook that returns true opts out), so nothing has to be found again here.
struct Extents {
    extent_hooks_t hooks{};  // first: jemalloc hands out a pointer to it
    SharedArea area;
    std::atomic<std::uint64_t> used{0};

    explicit Extents(const Shape& shape) : area(shape.pool_bytes, 2 * kMiB, shape.resident) {
        hooks.alloc = alloc;
        hooks.dalloc = [](extent_hooks_t*, void*, std::size_t, bool, unsigned) { return true; };
        hooks.split = [](extent_hooks_t*, void*, std::size_t, std::size_t, std::size_t, bool, unsigned) {
            return false;
        };
        hooks.merge = [](extent_hooks_t*, void*, std::size_t, void*, std::size_t, bool, unsigned) { return false; };
    }
    static void* alloc(extent_hooks_t* self, void* wanted, std::size_t bytes, std::size_t align, bool* zero,
                       bool* commit, unsigned) {
        auto& extents = *reinterpret_cast<Extents*>(self);
        if (wanted != nullptr) return nullptr;
        std::uint64_t begin = extents.used.load(std::memory_order_relaxed);
        std::uint64_t aligned = 0;
        do {
            aligned = (begin + align - 1) & ~(std::uint64_t{align} - 1);
            if (aligned + bytes > extents.area.bytes()) return nullptr;
        } while (!extents.used.compare_exchange_weak(begin, aligned + bytes, std::memory_order_relaxed));
        *zero = true;
        *commit = true;
        return extents.area.data() + aligned;
    }
};

class Jemalloc {
public:
    static constexpr const char* kName = "jemalloc";
    static constexpr const char* kNote = "arena over shared memory, explicit tcache with the default tcache_max";
    static constexpr bool kAnySize = true;
    static constexpr bool kBulk = false;
    static constexpr std::uint64_t kMaxItem = 16 * kMiB;
    static constexpr std::uint64_t kMinPool = 4 * kMiB;
    static constexpr std::uint64_t kMaxPool = kTiB;
    using Handle = void*;
    class Context {
    public:
        explicit Context(Jemalloc& subject)
            : tcache_(read_control<unsigned>("tcache.create")),
              flags_(static_cast<int>(MALLOCX_ARENA(subject.arena_) | MALLOCX_TCACHE(tcache_))) {}
        ~Context() { mallctl("tcache.destroy", nullptr, nullptr, &tcache_, sizeof tcache_); }
        Context(const Context&) = delete;
        Context& operator=(const Context&) = delete;
        [[nodiscard]] int flags() const { return flags_; }

    private:
        unsigned tcache_;
        int flags_;
    };

    explicit Jemalloc(const Shape& shape) : extents_(std::make_unique<Extents>(shape)) {
        ArenaConfig config{&extents_->hooks, false};
        arena_ = read_control<unsigned>("experimental.arenas_create_ext", &config, sizeof config);
    }
    Jemalloc(const Jemalloc&) = delete;
    Jemalloc& operator=(const Jemalloc&) = delete;
    ~Jemalloc() {
        const std::string name = "arena." + std::to_string(arena_) + ".destroy";
        mallctl(name.c_str(), nullptr, nullptr, nullptr, 0);
    }

    bool alloc(Context& context, std::uint64_t bytes, Handle& handle) {
        handle = mallocx(bytes, context.flags());
        return handle != nullptr;
    }
    void free(Context& context, Handle& handle, std::uint64_t bytes) { sdallocx(handle, bytes, context.flags()); }

private:
    std::unique_ptr<Extents> extents_;
    unsigned arena_ = 0;
};
static_assert(Subject<Jemalloc>);

}  // namespace

void register_cases() {
    add_pool_cases<Jemalloc>();
}

}  // namespace bench
