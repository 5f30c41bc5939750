// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/pool/contexts.hpp"

#include <algorithm>
#include <utility>

#include "allocator/base/membarrier.hpp"

namespace bounce {
namespace {

std::uint64_t next_group_id() noexcept {
    static std::atomic<std::uint64_t> last{0};
    return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace

ContextGroup::ContextGroup(std::uint64_t most, const NumaRule& numa, RegionMask regions) noexcept
    : id(next_group_id()), max_address(most), numa_policy(numa.policy), numa_node(numa.node), domain(regions) {}

Result<Contexts> Contexts::create() noexcept {
    auto memory = PrivateMemory::create(kMost * sizeof(Context));
    if (!memory) return memory.error();
    return Contexts(std::move(*memory), register_heavy_barrier());
}

Contexts::Contexts(Contexts&& other) noexcept : memory_(std::move(other.memory_)), usable_(other.usable_) {}

Context* Contexts::open(ContextGroup& group, std::uint32_t thread) noexcept {
    for (std::uint32_t i = 0; usable_ && i < kMost; ++i) {
        Context& context = contexts()[i];
        std::uint64_t nobody = 0;
        // G1: acquire, pairs with G2 in close().
        if (context.group_id.load(std::memory_order_relaxed) != 0 ||
            !context.group_id.compare_exchange_strong(nobody, group.id, std::memory_order_acquire,
                                                      std::memory_order_relaxed)) {
            continue;
        }
        context.group.store(&group, std::memory_order_relaxed);
        context.thread.store(thread, std::memory_order_relaxed);
        // Nothing, before Pool::follow_thread() has found out what.
        context.accepts = 0;
        context.known_regions = 0;
        context.index = i;
        std::uint32_t used = used_.load(std::memory_order_relaxed);
        while (used <= i && !used_.compare_exchange_weak(used, i + 1, std::memory_order_acq_rel)) {
        }
        open_.fetch_add(1, std::memory_order_relaxed);
        return &context;
    }
    return nullptr;
}

Context* Contexts::find(const ContextGroup& group, std::uint32_t thread) noexcept {
    for (Context& context : all()) {
        if (context.group_id.load(std::memory_order_relaxed) == group.id &&
            context.thread.load(std::memory_order_relaxed) == thread) {
            return &context;
        }
    }
    return nullptr;
}

void Contexts::close(Context& context) noexcept {
    context.fetched.store(0, std::memory_order_relaxed);
    context.frees.store(0, std::memory_order_relaxed);
    context.group.store(nullptr, std::memory_order_relaxed);
    context.thread.store(0, std::memory_order_relaxed);
    context.refusals = 0;
    open_.fetch_sub(1, std::memory_order_relaxed);
    // G2: release, pairs with G1 in open().
    context.group_id.store(0, std::memory_order_release);
}

std::uint64_t Contexts::share() const noexcept {
    return budget_.load(std::memory_order_relaxed) / std::max(open_.load(std::memory_order_relaxed), 1U);
}

bool Contexts::grant(Context& context, std::uint64_t bytes) noexcept {
    const std::uint64_t budget = budget_.load(std::memory_order_relaxed);
    if (context.granted + bytes > share()) return false;
    if (granted_.fetch_add(bytes, std::memory_order_relaxed) + bytes > budget) {
        granted_.fetch_sub(bytes, std::memory_order_relaxed);
        ++context.refusals;
        return false;
    }
    context.granted += bytes;
    return true;
}

void Contexts::give_back(Context& context, std::uint64_t bytes) noexcept {
    context.granted -= bytes;
    granted_.fetch_sub(bytes, std::memory_order_relaxed);
}

void Contexts::set_pool_bytes(std::uint64_t bytes) noexcept {
    const std::uint32_t part = this->part();
    budget_.store(part != 0 ? bytes / part : 0, std::memory_order_relaxed);
}

}  // namespace bounce
