// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-blk/transfer.hpp"

#include <algorithm>
#include <chrono>

#include "tools/common/failure.hpp"
#include "tools/common/signals.hpp"
#include "tools/common/units.hpp"

namespace bounce::blk {

using tools::Failure;
using tools::text;
using Clock = std::chrono::steady_clock;

namespace {

constexpr int kIssuesPerStep = 8;                     // then completions are looked at
constexpr std::uint32_t kMaxFruitlessReconnects = 5;  // a device that dies of our very request is not asked for ever
constexpr double kReconnectPause = 0.1;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

std::uint64_t fit_request_bytes(const Session& session, std::uint64_t wanted) {
    const Limits& limits = session.limits();
    if (wanted % limits.block_bytes != 0) {
        throw Failure(text("--bs ", wanted, " is not a multiple of the device's block size, ", limits.block_bytes));
    }
    // Header and status take two descriptors of the queue.
    const std::uint64_t descriptors = session.info().queue_size > 2 ? session.info().queue_size - 2 : 1;
    const std::uint64_t segments =
        std::min<std::uint64_t>(limits.segments != 0 ? limits.segments : descriptors, descriptors);
    if (limits.segment_bytes == 0) return wanted;
    const std::uint64_t most = segments * limits.segment_bytes / limits.block_bytes * limits.block_bytes;
    if (most == 0) {
        throw Failure(text("the device takes at most ", segments * limits.segment_bytes,
                           " bytes a request, less than its block size, ", limits.block_bytes));
    }
    return std::min(wanted, most);
}

Transfer::Transfer(Session& session, const TransferConfig& config, const tools::Canary& canary, tools::Report& report,
                   tools::Progress& progress)
    : session_(session),
      config_(config),
      canary_(canary),
      report_(report),
      progress_(progress),
      engine_(session, config.queue_depth) {}

std::unique_ptr<Transfer::Chunk> Transfer::take_chunk() {
    if (free_.empty()) return std::make_unique<Chunk>(canary_, static_cast<std::size_t>(config_.request_bytes));
    auto chunk = std::move(free_.back());
    free_.pop_back();
    chunk->state = Chunk::State::kReady;
    return chunk;
}

void Transfer::pop_front() {
    free_.push_back(std::move(window_.front()));
    window_.pop_front();
    if (next_ready_ > 0) --next_ready_;
}

void Transfer::run() {
    // The requests are members here and further down; nothing of them may be in flight when run() ends, however it
    // does.
    const std::unique_ptr<Engine, void (*)(Engine*)> at_end(&engine_, [](Engine* engine) { engine->give_up(); });
    const auto start = Clock::now();
    try {
        while (!finished()) {
            try {
                step();
            } catch (const DeviceLost& device_lost) {
                recover(device_lost.what());
            }
        }
    } catch (const Failure& failure) {
        if (connected_) wind_up();
        seconds_ = seconds_since(start);
        progress_.clear();
        throw Failure(text(failure.what(), ". ", state_sentence()));
    }
    seconds_ = seconds_since(start);
    progress_.clear();
}

void Transfer::step() {
    tools::throw_if_stopped();
    bool moved = issue();
    engine_.submit();
    moved = take_completed() > 0 || moved;
    retire();
    engine_.throw_if_failed();
    progress_.update(bytes());
    if (moved || finished()) return;
    if (engine_.in_flight() > 0) {
        engine_.wait();
    } else {
        session_.check_alive();  // nobody else looks while nothing is asked of it
        wait_for_input();
    }
}

std::size_t Transfer::take_completed() {
    done_.clear();
    const std::size_t count = engine_.collect(done_);
    for (Request* request : done_) {
        fruitless_reconnects_ = 0;
        if (request->owner == nullptr) {
            extra_done(*request);
        } else {
            static_cast<Chunk*>(request->owner)->state = Chunk::State::kDone;
        }
    }
    return count;
}

void Transfer::drain(Clock::time_point deadline) {
    while (engine_.in_flight() > 0 && Clock::now() < deadline) {
        engine_.submit();
        if (take_completed() == 0) engine_.wait();
    }
}

/// So that the state is told as it is, and not as it was when the failure was noticed.
void Transfer::wind_up() noexcept {
    const auto patience = std::chrono::duration<double>(session_.config().timeout_seconds);
    const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(patience);
    try {
        drain(deadline);
        if (engine_.in_flight() == 0 && add_last()) drain(deadline);
    } catch (const std::exception&) {
        return;  // one failure is to be told already
    }
}

bool Transfer::issue() {
    bool moved = add_extra();
    for (int i = 0; i < kIssuesPerStep && engine_.has_room(); ++i) {
        Chunk* chunk = next_to_issue();
        if (chunk == nullptr || !engine_.add(chunk->request)) break;
        chunk->state = Chunk::State::kInFlight;
        moved = true;
    }
    return moved;
}

Transfer::Chunk* Transfer::next_to_issue() {
    while (next_ready_ < window_.size() && window_[next_ready_]->state != Chunk::State::kReady) ++next_ready_;
    if (next_ready_ == window_.size()) {
        if (window_full()) return nullptr;
        auto chunk = produce();
        if (!chunk) return nullptr;
        window_.push_back(std::move(chunk));
    }
    return window_[next_ready_].get();
}

void Transfer::recover(const std::string& reason) {
    connected_ = false;
    engine_.abandon();
    lost();
    next_ready_ = 0;
    if (!config_.reconnect_seconds) throw Failure(text("the device is gone: ", reason));
    if (++fruitless_reconnects_ > kMaxFruitlessReconnects) {
        throw Failure(text("the device is gone again, with nothing done since ", kMaxFruitlessReconnects,
                           " reconnects: ", reason));
    }
    progress_.clear();
    report_.line(text("the device is gone (", reason, "); waiting up to ",
                      tools::format_number(*config_.reconnect_seconds), " s for it to come back"));
    const auto start = Clock::now();
    for (std::string why; !session_.reconnect(why);) {
        if (seconds_since(start) > *config_.reconnect_seconds) {
            throw Failure(text("the device did not come back within ", tools::format_number(*config_.reconnect_seconds),
                               " s: ", why));
        }
        if (!tools::sleep_unless_stopped(kReconnectPause)) tools::throw_if_stopped();
    }
    const std::uint64_t most = fit_request_bytes(session_, config_.request_bytes);
    if (most < config_.request_bytes) {
        throw Failure(text("the device that came back is another one: it takes at most ", most,
                           " bytes a request; those to go on with have ", config_.request_bytes));
    }
    connected_ = true;
    ++reconnects_;
    engine_.restart_timeout();
    report_.line("the device is back; going on");
}

void Transfer::describe(tools::Json& json) const {
    json["offset"] = config_.offset;
    json["bytes"] = bytes();
    json["seconds"] = seconds_;
    json["mib_per_s"] = tools::mib_per_second(bytes(), seconds_);
    json["request_bytes"] = config_.request_bytes;
    json["reconnects"] = reconnects_;
}

}  // namespace bounce::blk
