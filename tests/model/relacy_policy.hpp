// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Relacy's atomics as the policy of a lock-free template, with orders that can be weakened on purpose.
#pragma once

#include <atomic>
#include <cstdint>
#include <iostream>
#include <sstream>

#include <relacy/relacy.hpp>

// Relacy renames these for its own use.
#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef assert
#undef errno
#undef memory_order_relaxed
#undef memory_order_consume
#undef memory_order_acquire
#undef memory_order_release
#undef memory_order_acq_rel
#undef memory_order_seq_cst

namespace bounce {

/// What is taken away from the code, to see that the model notices.
enum class Weakened { kNothing, kRelease, kAcquire, kSeqCst };
inline Weakened g_weakened = Weakened::kNothing;

inline rl::memory_order order_of(std::memory_order order) {
    if (order == std::memory_order_release && g_weakened == Weakened::kRelease) return rl::mo_relaxed;
    if (order == std::memory_order_acquire && g_weakened == Weakened::kAcquire) return rl::mo_relaxed;
    switch (order) {
        case std::memory_order_relaxed: return rl::mo_relaxed;
        case std::memory_order_consume: return rl::mo_consume;
        case std::memory_order_acquire: return rl::mo_acquire;
        case std::memory_order_release: return rl::mo_release;
        case std::memory_order_acq_rel: return rl::mo_acq_rel;
        default: return rl::mo_seq_cst;
    }
}
/// `weaker` is what is left of seq_cst when it is only acquire, release or both.
inline rl::memory_order order_of(std::memory_order order, rl::memory_order weaker) {
    const bool weakened = order == std::memory_order_seq_cst && g_weakened == Weakened::kSeqCst;
    return weakened ? weaker : order_of(order);
}

struct RelacyAtomics {
    template <class T>
    class Atomic {
    public:
        T load(std::memory_order order) const { return value_.load(order_of(order, rl::mo_acquire), RL_INFO); }
        void store(T value, std::memory_order order) { value_.store(value, order_of(order, rl::mo_release), RL_INFO); }
        T exchange(T value, std::memory_order order) {
            return value_.exchange(value, order_of(order, rl::mo_acq_rel), RL_INFO);
        }
        T fetch_or(T value, std::memory_order order) {
            return value_.fetch_or(value, order_of(order, rl::mo_acq_rel), RL_INFO);
        }
        T fetch_and(T value, std::memory_order order) {
            return value_.fetch_and(value, order_of(order, rl::mo_acq_rel), RL_INFO);
        }
        T fetch_add(T value, std::memory_order order) {
            return value_.fetch_add(value, order_of(order, rl::mo_acq_rel), RL_INFO);
        }
        T fetch_sub(T value, std::memory_order order) {
            return value_.fetch_sub(value, order_of(order, rl::mo_acq_rel), RL_INFO);
        }
        bool compare_exchange_weak(T& expected, T value, std::memory_order good, std::memory_order bad) {
            return value_.compare_exchange(rl::bool_t<true>(), expected, value, order_of(good, rl::mo_acq_rel),
                                           order_of(bad, rl::mo_acquire), RL_INFO);
        }
        bool compare_exchange_strong(T& expected, T value, std::memory_order good, std::memory_order bad) {
            return value_.compare_exchange(rl::bool_t<false>(), expected, value, order_of(good, rl::mo_acq_rel),
                                           order_of(bad, rl::mo_acquire), RL_INFO);
        }

    private:
        mutable rl::atomic<T> value_;
    };
};

/// True when no schedule that was tried shows a fault.
template <class Model>
bool holds(rl::scheduler_type_e scheduler, rl::iteration_t iterations, unsigned preemptions, bool quiet) {
    rl::test_params params;
    std::ostringstream progress;
    std::ostream nowhere(nullptr);
    params.progress_stream = &progress;
    if (quiet) params.output_stream = &nowhere;
    params.search_type = scheduler;
    params.iteration_count = iterations;
    params.context_bound = preemptions;
    params.execution_depth_limit = 20000;
    return rl::simulate<Model>(params);
}
/// So many random schedules.
template <class Model>
bool holds_in_random(rl::iteration_t iterations, bool quiet) {
    return holds<Model>(rl::sched_random, iterations, 0, quiet);
}
/// All schedules with at most so many preemptions, and all values that loads may return in them.
template <class Model>
bool holds_in_all(unsigned preemptions, bool quiet) {
    return holds<Model>(rl::sched_bound, 0, preemptions, quiet);
}

}  // namespace bounce
