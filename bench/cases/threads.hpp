// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Pairs of 4 KiB by more than one thread, each pinned to a processor of its own.
//   one_thread, two_threads  the same loop of pairs; what the second thread takes from the first
//   handoff                  one thread allocates, another frees; they are connected by a ring
#pragma once

#include <atomic>
#include <cstdio>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "bench/cases/pairs.hpp"
#include "bench/harness/report.hpp"
#include "bench/measure/chunks.hpp"
#include "bench/measure/cores.hpp"
#include "bench/subjects/subject.hpp"

namespace bench {

/// Runs body(i, failed) in n threads, the i-th on processor i, from the same moment on. What the first one throws is
/// thrown here; `failed` tells the others not to wait for it.
template <class Body>
void in_threads(unsigned n, Body&& body) {
    std::atomic<unsigned> ready{0};
    std::atomic<bool> failed{false};
    std::exception_ptr error;
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < n; ++i) {
        threads.emplace_back([&, i] {
            try {
                const Pinned pinned(i);
                ready.fetch_add(1);
                while (ready.load() < n && !failed.load()) std::this_thread::yield();
                body(i, failed);
            } catch (...) {
                if (!failed.exchange(true)) error = std::current_exception();
            }
        });
    }
    for (auto& thread : threads) thread.join();
    if (error != nullptr) std::rethrow_exception(error);
}

template <class Ready>
void spin_until(const std::atomic<bool>& failed, Ready&& ready) {
    while (!ready()) {
        if (failed.load(std::memory_order_relaxed)) throw std::runtime_error("the other thread failed");
        relax();
    }
}

template <Subject S>
Figures run_threads(const Settings& settings, std::uint64_t bytes, unsigned n) {
    if (usable_cpus() < n) throw Skipped("needs a second processor");
    S subject(Shape{.item_bytes = bytes, .resident = true});
    std::vector<std::vector<Span>> spans(n);
    Distance distance;
    if (n > 1) distance.before = ping_pong_ns();
    in_threads(n, [&](unsigned i, const std::atomic<bool>&) {
        typename S::Context context(subject);
        std::vector<typename S::Handle> live(kLive);
        for (auto& handle : live) take(subject, context, bytes, handle);
        spans[i] = record_chunks(settings.seconds, [&] {
            for (unsigned k = 0; k < kChunk; ++k) pair_once(subject, context, bytes);
        });
        empty(subject, context, bytes, live);
    });
    if (n > 1) distance.after = ping_pong_ns();
    double sum = 0;
    for (unsigned i = 0; i < n; ++i) {
        std::vector<double> times;
        for (const Span& span : n > 1 ? beside(spans[i], spans[1 - i]) : spans[i])
            times.push_back((ns_between(span.begin, span.end) - clock_cost_ns()) / kChunk);
        if (times.size() < 10) throw Skipped("the threads did not run at the same time: the machine is too busy");
        sum += trimmed_mean(times);
    }
    std::string how = "time of a pair in a thread, mean of the threads; chunks of 256 pairs, slowest 5 % dropped, mean";
    if (n > 1) how = distance.text() + "; only chunks during which both threads ran; " + how;
    return {.ns = sum / n, .note = note_of<S>(how.c_str())};
}

/// Items go from a producer to a consumer through a ring of 512; ns per item, as the producer sees it.
template <class Item, class Produce, class Consume>
double time_pipe(double seconds, Produce&& produce, Consume&& consume) {
    Pipe<Item, 512> pipe;
    std::atomic<bool> done{false};
    double ns = kNone;
    in_threads(2, [&](unsigned i, const std::atomic<bool>& failed) {
        if (i == 0) {
            auto make = produce();
            ns = time_chunks(seconds, kChunk, [&] {
                for (unsigned n = 0; n < kChunk; ++n) {
                    Item* item = nullptr;
                    spin_until(failed, [&] { return (item = pipe.begin_push()) != nullptr; });
                    *item = Item{};
                    make(*item);
                    pipe.end_push();
                }
            });
            done.store(true, std::memory_order_release);  // R1: after the last item
        } else {
            auto use = consume();
            spin_until(failed, [&] {
                const bool last = done.load(std::memory_order_acquire);  // A1: pairs with R1
                while (Item* const item = pipe.begin_pop()) {
                    use(*item);
                    pipe.end_pop();
                }
                return last;
            });
        }
    });
    return ns;
}

template <Subject S>
Figures run_handoff(const Settings& settings, std::uint64_t bytes) {
    using Handle = typename S::Handle;
    S subject(Shape{.item_bytes = bytes, .resident = true});
    const double bare = time_pipe<Handle>(
        settings.seconds / 4, [] { return [](Handle&) {}; }, [] { return [](Handle& handle) { keep(handle); }; });
    // A context is of the thread that uses it.
    struct Side {
        explicit Side(S& s) : subject(s), context(s) {}
        S& subject;
        typename S::Context context;
    };
    Distance distance;
    distance.before = ping_pong_ns();
    const double ns = time_pipe<Handle>(
        settings.seconds,
        [&] {
            return [bytes, side = std::make_unique<Side>(subject)](Handle& handle) {
                take(side->subject, side->context, bytes, handle);
            };
        },
        [&] {
            return [bytes, side = std::make_unique<Side>(subject)](Handle& handle) {
                side->subject.free(side->context, handle, bytes);
            };
        });
    distance.after = ping_pong_ns();
    char text[160];
    std::snprintf(text, sizeof text, "%s; ring alone %.1f ns; chunks of 256 items, slowest 5 %% dropped, mean",
                  distance.text().c_str(), bare);
    return {.ns = ns, .value = distance.mean(), .unit = "ns ping-pong", .note = note_of<S>(text)};
}

template <Subject S>
void add_thread_cases() {
    constexpr std::uint64_t kBytes = 4096;
    add({"one_thread", S::kName, kBytes, 1}, [](const Settings& s) { return run_threads<S>(s, kBytes, 1); });
    add({"two_threads", S::kName, kBytes, 2}, [](const Settings& s) { return run_threads<S>(s, kBytes, 2); });
    add({"handoff", S::kName, kBytes, 2}, [](const Settings& s) { return run_handoff<S>(s, kBytes); });
}

}  // namespace bench
