// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The only file that knows oneTBB.
#include "allocator/components/tbb/parallel.hpp"

#include <tbb/blocked_range.h>
#include <tbb/info.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>

namespace bounce::tbb_component {
namespace {

/// The pieces of a job, by index.
class Pieces {
public:
    explicit Pieces(const Job& job) noexcept
        : job_(job), head_(reinterpret_cast<std::uintptr_t>(job.begin) % kPieceBytes) {}

    [[nodiscard]] std::size_t count() const noexcept {
        const std::size_t whole = job_.bytes / kPieceBytes;
        return whole + (head_ + job_.bytes % kPieceBytes + kPieceBytes - 1) / kPieceBytes;
    }

    void work_on(std::size_t index) noexcept {
        // E1: relaxed; a late look costs a piece of work. The end of parallel_for() orders it before error().
        if (error_.load(std::memory_order_relaxed) != 0) return;
        const std::size_t begin = index == 0 ? 0 : index * kPieceBytes - head_;
        const std::size_t bytes = std::min(job_.bytes - begin, (index + 1) * kPieceBytes - head_ - begin);
        if (const int code = job_.work(job_.context, job_.begin + begin, bytes); code != 0) {
            error_.store(code, std::memory_order_relaxed);  // E1
        }
    }

    [[nodiscard]] int error() const noexcept { return error_.load(std::memory_order_relaxed); }  // E1

private:
    const Job& job_;
    std::size_t head_;  // from the boundary at or below the beginning
    std::atomic<int> error_{0};
};

/// What oneTBB calls the node: the same number, on every machine whose nodes are numbered without gaps; automatic when
/// it does not know it (without tbbbind it knows none).
tbb::numa_node_id known_node([[maybe_unused]] int node) {
#ifdef BOUNCE_TBBBIND
    const auto nodes = tbb::info::numa_nodes();
    return node >= 0 && std::find(nodes.begin(), nodes.end(), node) != nodes.end() ? node : tbb::task_arena::automatic;
#else
    return tbb::task_arena::automatic;
#endif
}

void work_in_arena(const Job& job, Pieces& pieces) {
    const tbb::numa_node_id node = known_node(job.node);
    const int most = tbb::info::default_concurrency(node);
    const int threads =
        job.threads == 0 || job.threads > static_cast<unsigned>(most) ? most : static_cast<int>(job.threads);
    tbb::task_arena arena(tbb::task_arena::constraints{node, threads});
    arena.execute([&pieces] {
        tbb::parallel_for(tbb::blocked_range<std::size_t>(0, pieces.count()), [&pieces](const auto& range) {
            for (std::size_t i = range.begin(); i != range.end(); ++i) pieces.work_on(i);
        });
    });
}

}  // namespace

int run(const Job& job) noexcept {
    Pieces pieces(job);
    if (job.threads == 1 || pieces.count() == 1) {
        for (std::size_t i = 0; i < pieces.count(); ++i) pieces.work_on(i);
        return pieces.error();
    }
    try {
        work_in_arena(job, pieces);
    } catch (...) {  // bad_alloc, or a thread that could not be started
        return ENOMEM;
    }
    return pieces.error();
}

}  // namespace bounce::tbb_component
