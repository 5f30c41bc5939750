// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bounce-net loop
#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <thread>

#include "tools/bounce-net/command.hpp"
#include "tools/bounce-net/pair_loop.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/signals.hpp"
#include "tools/common/units.hpp"

namespace bounce::net {
namespace {

using tools::Failure;
using tools::text;

constexpr double kRetrySeconds = 0.05;

/// All queue pairs. However it ends, what the device has is taken back before the buffers go.
class LoopRun {
public:
    LoopRun(Context& context, Session& session);
    ~LoopRun() {
        try {
            take_back();
        } catch (const std::exception&) {
            return;  // it is told what went wrong first
        }
    }
    LoopRun(const LoopRun&) = delete;
    LoopRun& operator=(const LoopRun&) = delete;

    void run();
    /// Closes the connection and takes everything back.
    void take_back();
    [[nodiscard]] Counts counts(std::size_t pair) noexcept { return loops_[pair]->counts(); }
    [[nodiscard]] Counts counts() noexcept;
    [[nodiscard]] std::string complaint() const;
    [[nodiscard]] std::size_t pairs() const noexcept { return loops_.size(); }
    [[nodiscard]] std::uint32_t reconnects() const noexcept { return reconnects_; }

private:
    std::unique_ptr<Traffic> make_traffic(std::uint32_t pair) const;
    std::exception_ptr run_threads();
    void reconnect(const DeviceLost& lost);

    Context& context_;
    Session& session_;
    std::unique_ptr<CaptureWriter> out_;
    std::vector<std::unique_ptr<Traffic>> traffic_;
    // Relaxed: it publishes nothing but itself.
    std::atomic<bool> stop_{false};
    tools::Progress progress_;
    std::vector<std::unique_ptr<PairLoop>> loops_;
    std::uint32_t reconnects_ = 0;
    bool connected_ = true;
};

std::unique_ptr<Traffic> LoopRun::make_traffic(std::uint32_t pair) const {
    const Options& o = context_.options;
    if (!o.in.empty()) return std::make_unique<CapturedTraffic>(read_capture(o.in, o.sizes.back()));
    return std::make_unique<GeneratedTraffic>(GeneratedConfig{o.count, o.sizes.front(), o.sizes.back(), o.protocol,
                                                              static_cast<std::uint16_t>(pair), o.seed,
                                                              session_.offloads()});
}

bool progress_wanted(const Options& options) {
    return !options.quiet && !options.no_progress;
}

LoopRun::LoopRun(Context& context, Session& session)
    : context_(context),
      session_(session),
      progress_("loop", context.options.count, progress_wanted(context.options), tools::Progress::Unit::kPackets) {
    const Options& o = context.options;
    if (!o.out.empty()) out_ = std::make_unique<CaptureWriter>(o.out);
    for (std::uint32_t pair = 0; pair < o.pairs; ++pair) {
        traffic_.push_back(make_traffic(pair));
        PairConfig config;
        config.pair = pair;
        config.window = o.window;
        config.queue_size = o.queue_size;
        config.rx_buffer = o.rx_buffer;
        config.frame_bytes = o.sizes.back();
        config.canary = o.born_shared ? nullptr : &context.canary;
        config.out = out_.get();
        config.progress = pair == 0 ? &progress_ : nullptr;
        config.stop = &stop_;
        config.control = pair == 0;
        loops_.push_back(std::make_unique<PairLoop>(session, *traffic_.back(), config));
    }
}

/// A thread for each pair but the first; the first failure.
std::exception_ptr LoopRun::run_threads() {
    std::vector<std::exception_ptr> failures(loops_.size());
    const auto run = [&](std::size_t pair) {
        try {
            loops_[pair]->run();
        } catch (...) {
            failures[pair] = std::current_exception();
            stop_.store(true, std::memory_order_relaxed);
        }
    };
    stop_.store(false, std::memory_order_relaxed);
    {
        std::vector<std::jthread> threads;
        for (std::size_t pair = 1; pair < loops_.size(); ++pair) threads.emplace_back(run, pair);
        run(0);
    }
    const auto first = std::find_if(failures.begin(), failures.end(), [](const auto& it) { return it != nullptr; });
    return first == failures.end() ? nullptr : *first;
}

void LoopRun::run() {
    for (;;) {
        const std::exception_ptr failure = run_threads();
        if (!failure) break;
        try {
            std::rethrow_exception(failure);
        } catch (const DeviceLost& lost) {
            reconnect(lost);
        }
    }
    progress_.clear();
    take_back();
    for (const auto& loop : loops_) loop->check_canaries();
    if (out_) out_->finish();
}

void LoopRun::take_back() {
    if (!connected_) return;
    connected_ = false;
    session_.disconnect();
    for (const auto& loop : loops_) loop->abort();
}

void LoopRun::reconnect(const DeviceLost& lost) {
    take_back();
    const Options& o = context_.options;
    if (!o.reconnect_seconds) throw Failure(lost.what());
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(*o.reconnect_seconds);
    std::string why;
    while (!session_.reconnect(why)) {
        tools::throw_if_stopped();
        if (std::chrono::steady_clock::now() >= end)
            throw Failure(text(lost.what(), "; it did not come back within ",
                               tools::format_number(*o.reconnect_seconds), " s: ", why));
        tools::sleep_unless_stopped(kRetrySeconds);
    }
    connected_ = true;
    ++reconnects_;
}

Counts LoopRun::counts() noexcept {
    Counts all;
    for (const auto& loop : loops_) all.add(loop->counts());
    return all;
}

std::string LoopRun::complaint() const {
    for (const auto& traffic : traffic_) {
        if (!traffic->complaint().empty()) return traffic->complaint();
    }
    return {};
}

tools::Json counts_json(const Counts& counts) {
    tools::Json json;
    json["sent"] = counts.sent;
    json["received"] = counts.received;
    json["bytes"] = counts.bytes;
    json["lost"] = counts.lost;
    json["gone_with_connection"] = counts.gone;
    json["corrupted"] = counts.corrupted;
    json["duplicated"] = counts.duplicated;
    json["reordered"] = counts.reordered;
    json["foreign"] = counts.foreign;
    json["malformed"] = counts.malformed;
    json["of_several_buffers"] = counts.spanning;
    return json;
}

/// When all buffers are back, nothing of them is in the pool.
void check_leaks(Context& context, const Session& session) {
    bounce_pool_stats stats{};
    check(bounce_pool_get_stats(session.pool(), &stats), "cannot ask the pool");
    context.report.json()["left_in_pool"] = {{"mappings", stats.mappings}, {"buffers", stats.buffers}};
    if (stats.mappings + stats.buffers != 0)
        throw Failure(text(stats.mappings, " mappings and ", stats.buffers, " buffers are left in the pool"));
}

void report_counts(Context& context, LoopRun& run, double seconds) {
    const Counts all = run.counts();
    tools::Json& json = context.report.json();
    json.update(counts_json(all));
    json["seconds"] = seconds;
    json["reconnects"] = run.reconnects();
    json["pairs"] = tools::Json::array();
    for (std::size_t pair = 0; pair < run.pairs(); ++pair) json["pairs"].push_back(counts_json(run.counts(pair)));
    const double rate = seconds > 0 ? static_cast<double>(all.received) / seconds : 0;
    const double bits = seconds > 0 ? static_cast<double>(all.bytes) * 8 / seconds : 0;
    json["packets_per_s"] = rate;
    json["bits_per_s"] = bits;
    context.report.line(text(all.sent, " packets sent, ", all.received, " came back as they were in ",
                             tools::format_fixed(seconds, 2), " s: ", tools::format_fixed(rate / 1e6, 3),
                             " million a second, ", tools::format_fixed(bits / 1e9, 3), " Gbit/s"));
    context.report.line(text("  lost ", all.lost, ", corrupted ", all.corrupted, ", duplicated ", all.duplicated,
                             ", reordered ", all.reordered, ", foreign ", all.foreign, ", malformed ", all.malformed));
    if (all.spanning != 0) context.report.line(text("  of several buffers: ", all.spanning));
    if (run.reconnects() != 0)
        context.report.line(text("  reconnects: ", run.reconnects(), "; under way at that time: ", all.gone));
}

}  // namespace

int run_loop(Context& context) {
    Session session(SessionConfig::make(context.options));
    Counts counts;
    std::string complaint;
    std::exception_ptr failure;
    {
        LoopRun run(context, session);
        const auto begin = std::chrono::steady_clock::now();
        try {
            run.run();
        } catch (const std::exception&) {
            failure = std::current_exception();  // what is known until then is reported, too
            run.take_back();
        }
        report_counts(context, run, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
        counts = run.counts();
        complaint = run.complaint();
    }
    report_session(context, session);
    check_leaks(context, session);
    if (failure) std::rethrow_exception(failure);
    if (!counts.good()) {
        throw Failure(text("of ", counts.sent, " packets ", counts.lost, " were lost, ", counts.corrupted,
                           " corrupted, ", counts.duplicated, " duplicated, ", counts.foreign, " foreign, ",
                           counts.malformed, " malformed", complaint.empty() ? "" : "; the first: ", complaint));
    }
    context.report.write_json();
    return tools::kExitOk;
}

}  // namespace bounce::net
