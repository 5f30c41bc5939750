// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A round of the bench: one subject, one connection, a thread for each queue.
#include <exception>
#include <memory>
#include <thread>

#include "tools/bounce-blk/bare.hpp"
#include "tools/bounce-blk/bench.hpp"

namespace bounce::blk {
namespace {

LoadConfig load_of(const Options& options, const Case& what) {
    LoadConfig load;
    load.write = is_write(what.op);
    load.block_bytes = what.block_bytes;
    load.depth = what.depth;
    load.seed = options.seed;
    return load;
}

SessionConfig session_of(const Options& options, const Case& what) {
    SessionConfig config = SessionConfig::make(options, what.block_bytes, what.depth);
    config.calls = options.wait == Wait::kCall;
    config.prefault = true;
    config.refused_features =
        (options.no_indirect ? feature(kIndirectDesc) : 0) | (options.no_event_idx ? feature(kEventIdx) : 0);
    return config;
}

/// The part of the device that belongs to one queue.
LoopConfig loop_of(const Options& options, const Case& what, std::uint32_t queue, double seconds) {
    LoopConfig loop;
    loop.depth = what.depth;
    loop.seconds = seconds;
    loop.warm_up_seconds = std::min(0.1, seconds / 5);
    loop.timeout_seconds = options.timeout_seconds;
    loop.blocks = std::max<std::uint64_t>(1, what.blocks / what.queues);
    loop.first_block = std::min(queue * loop.blocks, what.blocks - loop.blocks);
    loop.sectors_per_block = what.block_bytes / kSectorBytes;
    loop.random = is_random(what.op);
    loop.seed = options.seed + queue;
    return loop;
}

/// One thread a queue; the first failure is thrown when all have ended.
template <class S>
Round run_threads(const Options& options, const tools::Ticks& ticks, const Case& what, double seconds,
                  const std::vector<std::unique_ptr<S>>& subjects) {
    std::vector<LoopResult> results(subjects.size());
    std::vector<std::exception_ptr> failures(subjects.size());
    const auto run = [&](std::uint32_t queue) {
        try {
            results[queue] = Loop<S>(*subjects[queue], loop_of(options, what, queue, seconds), ticks).run();
        } catch (...) {
            failures[queue] = std::current_exception();
        }
    };
    {
        std::vector<std::jthread> threads;
        for (std::uint32_t queue = 1; queue < subjects.size(); ++queue) threads.emplace_back(run, queue);
        run(0);
    }
    for (const auto& failure : failures) {
        if (failure) std::rethrow_exception(failure);
    }
    Round round;
    for (const LoopResult& result : results) {
        round.iops += result.seconds > 0 ? static_cast<double>(result.operations) / result.seconds : 0;
        round.seconds = std::max(round.seconds, result.seconds);
        round.operations += result.operations;
        round.completed += result.completed;
        round.latencies.merge(result.latencies);
    }
    return round;
}

/// A session and its subjects; whatever is outstanding is taken back before their memory goes.
class RingBench {
public:
    RingBench(const Context& context, const Case& what, bool bounced) : session_(session_of(context.options, what)) {
        const LoadConfig load = load_of(context.options, what);
        for (std::uint32_t queue = 0; queue < session_.queues(); ++queue) {
            subjects_.push_back(
                std::make_unique<RingSubject>(session_, queue, load, bounced ? &context.canary : nullptr));
        }
    }
    ~RingBench() {
        std::uint32_t outstanding = 0;
        for (const auto& subject : subjects_) outstanding += subject->outstanding();
        if (outstanding == 0) return;
        bounce_frontend_disconnect(session_.frontend());
        for (const auto& subject : subjects_) subject->abort();
    }
    RingBench(const RingBench&) = delete;
    RingBench& operator=(const RingBench&) = delete;

    Round run(const Context& context, const tools::Ticks& ticks, const Case& what, double seconds) {
        Round round = run_threads(context.options, ticks, what, seconds, subjects_);
        for (const auto& subject : subjects_) subject->check_canaries();
        return round;
    }
    [[nodiscard]] const Session& session() const noexcept { return session_; }

private:
    Session session_;
    std::vector<std::unique_ptr<RingSubject>> subjects_;
};

Round run_bare(const Context& context, const tools::Ticks& ticks, const Case& what, double seconds) {
    const Options& options = context.options;
    const SessionConfig config = session_of(options, what);
    const LoadConfig load = load_of(options, what);
    const std::uint64_t step = BareSubject::bytes_needed(config.queue_size, load);
    const BareMemory memory("bounce-blk-bare", step * what.queues, config.hugepages);
    BareConnection connection(config.socket, config.timeout_seconds, feature(kEventIdx) & ~config.refused_features,
                              what.queues);
    connection.share_memory(memory.fd(), memory.data(), memory.size(), config.base_gpa);
    std::vector<std::unique_ptr<BareSubject>> subjects;
    for (std::uint32_t queue = 0; queue < what.queues; ++queue) {
        subjects.push_back(std::make_unique<BareSubject>(connection, queue, config.queue_size, load,
                                                         memory.data() + step * queue, config.base_gpa + step * queue,
                                                         !config.calls));
    }
    return run_threads(options, ticks, what, seconds, subjects);
}

}  // namespace

Round run_round(const Context& context, const tools::Ticks& ticks, const Case& what, Subject subject, double seconds) {
    if (subject == Subject::kBare) return run_bare(context, ticks, what, seconds);
    return RingBench(context, what, subject == Subject::kBounced).run(context, ticks, what, seconds);
}

void hold_bounced(Context& context, const tools::Ticks& ticks, const Case& what) {
    RingBench bench(context, what, true);
    const Round round = bench.run(context, ticks, what, 0.2);
    // For who compares: all that went through the pool that is held.
    context.report.json()["held_requests"] = round.completed;
    context.report.json()["held_bytes"] = round.completed * what.block_bytes;
    finish(context, bench.session());
}

}  // namespace bounce::blk
