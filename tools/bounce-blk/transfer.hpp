// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Moves a stretch of bytes between the device and this process: a window of chunks, in flight out of order, taken in
// and given out in order; and what to do when the device goes away in the middle.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tools/bounce-blk/engine.hpp"
#include "tools/bounce-blk/request.hpp"
#include "tools/bounce-blk/session.hpp"
#include "tools/common/canary.hpp"
#include "tools/common/json.hpp"
#include "tools/common/progress.hpp"
#include "tools/common/report.hpp"

namespace bounce::blk {

struct TransferConfig {
    std::uint64_t offset = 0;         // on the device
    std::uint64_t request_bytes = 0;  // of one request
    std::uint32_t queue_depth = 32;
    std::optional<double> reconnect_seconds;
};

class Transfer {
public:
    Transfer(Session& session, const TransferConfig& config, const tools::Canary& canary, tools::Report& report,
             tools::Progress& progress);
    virtual ~Transfer() = default;
    Transfer(const Transfer&) = delete;
    Transfer& operator=(const Transfer&) = delete;

    /// All of it. Throws tools::Failure; the sentence says how far it came and how to go on. When the device is still
    /// there, what is in flight comes home before that.
    void run();

    /// bytes, seconds, mib_per_s, reconnects; also of a run that failed.
    virtual void describe(tools::Json& json) const;
    [[nodiscard]] double seconds() const noexcept { return seconds_; }
    [[nodiscard]] std::uint32_t reconnects() const noexcept { return reconnects_; }
    /// Bytes that went through, in order.
    [[nodiscard]] virtual std::uint64_t bytes() const = 0;

protected:
    struct Chunk {
        enum class State { kReady, kInFlight, kDone };
        Chunk(const tools::Canary& canary, std::size_t bytes) : request(canary, bytes) { request.owner = this; }
        Request request;
        State state = State::kReady;
    };

    /// The next chunk, prepared; null: none now.
    virtual std::unique_ptr<Chunk> produce() = 0;
    /// Chunks may be done: take what is in order from the front of the window.
    virtual void retire() = 0;
    /// A request other than a chunk's, when one is due (flush). True: one was added.
    virtual bool add_extra() { return false; }
    /// The same after a failure with the device still there, when nothing is in flight any more.
    virtual bool add_last() { return false; }
    /// A request other than a chunk's has completed.
    virtual void extra_done(Request& /*request*/) {}
    /// The connection is lost, nothing is in flight any more; chunks of the window that are to be done again become
    /// ready.
    virtual void lost() = 0;
    [[nodiscard]] virtual bool finished() const = 0;
    [[nodiscard]] virtual bool window_full() const = 0;
    /// Nothing to do but to wait for input.
    virtual void wait_for_input() {}
    /// How far it came and how to go on.
    [[nodiscard]] virtual std::string state_sentence() const = 0;

    std::unique_ptr<Chunk> take_chunk();
    /// The first chunk of the window goes.
    void pop_front();
    [[nodiscard]] std::size_t total_depth() const noexcept {
        return std::size_t{config_.queue_depth} * session_.queues();
    }

    Session& session_;
    const TransferConfig config_;
    const tools::Canary& canary_;
    tools::Report& report_;
    tools::Progress& progress_;
    Engine engine_;
    std::deque<std::unique_ptr<Chunk>> window_;
    std::size_t next_ready_ = 0;  // chunks of the window before this one are not ready

private:
    void step();
    bool issue();
    Chunk* next_to_issue();
    std::size_t take_completed();
    void drain(std::chrono::steady_clock::time_point deadline);
    void wind_up() noexcept;
    void recover(const std::string& reason);

    std::vector<std::unique_ptr<Chunk>> free_;
    std::vector<Request*> done_;
    bool connected_ = true;
    double seconds_ = 0;
    std::uint32_t reconnects_ = 0;
    std::uint32_t fruitless_reconnects_ = 0;
};

/// Of the request size that was asked for, what the device takes in one request. Throws tools::Failure when that cannot
/// be.
std::uint64_t fit_request_bytes(const Session& session, std::uint64_t wanted);

}  // namespace bounce::blk
