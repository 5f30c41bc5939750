// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A round of the bench: one subject, one connection, a thread for each queue pair.
#include <algorithm>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

#include "tools/bounce-net/bench_bare.hpp"
#include "tools/bounce-net/bench_loop.hpp"
#include "tools/bounce-net/bench_ring.hpp"

namespace bounce::net {
namespace {

SessionConfig session_of(const Options& options) {
    SessionConfig config = SessionConfig::make(options);
    config.calls = options.wait == Wait::kCall;
    config.prefault = true;
    return config;
}

/// One thread a pair; the first failure is thrown when all have ended.
template <class S>
Round run_threads(const Options& options, const tools::Ticks& ticks, const Case& what, double seconds,
                  const std::vector<std::unique_ptr<S>>& subjects) {
    LoopConfig loop;
    loop.window = what.window;
    loop.seconds = seconds;
    loop.warm_up_seconds = std::min(0.1, seconds / 5);
    loop.timeout_seconds = options.timeout_seconds;
    std::vector<LoopResult> results(subjects.size());
    std::vector<std::exception_ptr> failures(subjects.size());
    const auto run = [&](std::size_t pair) {
        try {
            results[pair] = PacketLoop<S>(*subjects[pair], loop, ticks).run();
        } catch (...) {
            failures[pair] = std::current_exception();
        }
    };
    {
        std::vector<std::jthread> threads;
        for (std::size_t pair = 1; pair < subjects.size(); ++pair) threads.emplace_back(run, pair);
        run(0);
    }
    for (const auto& failure : failures) {
        if (failure) std::rethrow_exception(failure);
    }
    Round round;
    for (const LoopResult& result : results) {
        round.packets_per_s += result.seconds > 0 ? static_cast<double>(result.packets) / result.seconds : 0;
        round.seconds = std::max(round.seconds, result.seconds);
        round.packets += result.packets;
        round.lost += result.lost;
    }
    return round;
}

/// A session and its subjects; whatever is outstanding is taken back before their memory goes.
class RingBench {
public:
    RingBench(const Context& context, const Case& what, bool bounced) : session_(session_of(context.options)) {
        const Options& o = context.options;
        for (std::uint32_t pair = 0; pair < what.pairs; ++pair) {
            subjects_.push_back(std::make_unique<RingSubject>(session_, pair, what, o.queue_size, o.rx_buffer,
                                                              bounced ? &context.canary : nullptr,
                                                              pair == 0 && o.iommu));
        }
    }
    ~RingBench() {
        bounce_frontend_disconnect(session_.frontend());
        for (const auto& subject : subjects_) subject->abort();
    }
    RingBench(const RingBench&) = delete;
    RingBench& operator=(const RingBench&) = delete;

    Round run(const Context& context, const tools::Ticks& ticks, const Case& what, double seconds) {
        const Round round = run_threads(context.options, ticks, what, seconds, subjects_);
        for (const auto& subject : subjects_) subject->check_canaries();
        return round;
    }

private:
    Session session_;
    std::vector<std::unique_ptr<RingSubject>> subjects_;
};

Round run_bare(const Context& context, const tools::Ticks& ticks, const Case& what, double seconds) {
    const Options& options = context.options;
    const SessionConfig config = session_of(options);
    const std::uint64_t step = BareSubject::bytes_needed(config.queue_size, options.rx_buffer, what);
    const tools::BareMemory memory("bounce-net-bare", step * what.pairs, config.hugepages);
    const std::uint64_t wanted =
        (feature(kEventIdx) | config.wanted_features | config.required_features) &
        ~(config.refused_features | feature(kRingPacked) | feature(kInOrder));  // its ring is a split one
    tools::BareConnection connection(config.socket, config.timeout_seconds, wanted, 2 * what.pairs);
    connection.share_memory(memory.fd(), memory.data(), memory.size(), config.base_gpa);
    std::vector<std::unique_ptr<BareSubject>> subjects;
    for (std::uint32_t pair = 0; pair < what.pairs; ++pair) {
        subjects.push_back(std::make_unique<BareSubject>(connection, pair, config.queue_size, options.rx_buffer, what,
                                                         memory.data() + step * pair, config.base_gpa + step * pair,
                                                         !config.calls));
    }
    return run_threads(options, ticks, what, seconds, subjects);
}

}  // namespace

Round run_round(const Context& context, const tools::Ticks& ticks, const Case& what, Subject subject, double seconds) {
    if (subject == Subject::kBare) return run_bare(context, ticks, what, seconds);
    return RingBench(context, what, subject == Subject::kBounced).run(context, ticks, what, seconds);
}

}  // namespace bounce::net
