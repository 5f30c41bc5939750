// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-blk/engine.hpp"

#include <sched.h>

#include <algorithm>
#include <cerrno>

#include "tools/common/failure.hpp"
#include "tools/common/units.hpp"

namespace bounce::blk {
namespace {

using tools::text;

constexpr std::uint32_t kWaitMilliseconds = 100;      // how long a stop request may go unnoticed
constexpr std::uint32_t kSharedWaitMilliseconds = 2;  // with several queues: another one may have something meanwhile
constexpr std::size_t kSubmitAtOnceBytes = 32768;     // copying this much takes longer than telling the device
constexpr std::uint32_t kPollsPerCheck = 1024;
constexpr std::chrono::milliseconds kKickAgainAfter{200};
constexpr std::size_t kBatch = 64;

}  // namespace

Engine::Engine(Session& session, std::uint32_t queue_depth)
    : session_(session),
      depth_(queue_depth),
      queues_(session.queues()),
      last_progress_(Clock::now()),
      completions_(kBatch) {
    for (std::uint32_t i = 0; i < queues_.size(); ++i) queues_[i].ring = session.ring(i);
}

void Engine::give_up() noexcept {
    if (in_flight_ == 0) return;
    bounce_frontend_disconnect(session_.frontend());
    abort_rings();
}

int Engine::try_queue(std::uint32_t index, Request& request) {
    std::size_t n_out = 0;
    std::size_t n_in = 0;
    request.build_list(session_.limits().segment_bytes, list_, n_out, n_in);
    Queue& queue = queues_[index];
    const int code = bounce_ring_add(queue.ring, list_.data(), n_out, n_in, &request);
    if (code < 0) return code;
    if (in_flight_ == 0) last_progress_ = Clock::now();
    request.in_flight = true;
    request.queue = index;
    queue.dirty = true;
    ++queue.in_flight;
    ++in_flight_;
    if (request.bytes() >= kSubmitAtOnceBytes) submit(index);
    return 0;
}

bool Engine::add(Request& request) {
    int code = -EAGAIN;
    for (std::size_t tried = 0; tried < queues_.size(); ++tried) {
        const std::uint32_t index = next_queue_;
        next_queue_ = (next_queue_ + 1) % static_cast<std::uint32_t>(queues_.size());
        if (queues_[index].in_flight >= depth_) continue;
        code = try_queue(index, request);
        if (code == 0) return true;
        if (code != -EAGAIN) break;  // the other queues share the pool
    }
    if ((code == -EAGAIN || code == -ENOSPC) && in_flight_ > 0) return false;
    fail_add(session_, code, request.bytes());
}

void Engine::submit(std::uint32_t index) {
    queues_[index].dirty = false;
    check(bounce_frontend_submit(session_.frontend(), index), "cannot submit");
}

void Engine::submit() {
    for (std::uint32_t i = 0; i < queues_.size(); ++i) {
        if (queues_[i].dirty) submit(i);
    }
}

void Engine::take(Queue& queue, std::span<const bounce_completion> completions, std::vector<Request*>& done) {
    // The books first, for all of them.
    for (const bounce_completion& completion : completions) {
        static_cast<Request*>(completion.cookie)->in_flight = false;
        --queue.in_flight;
        --in_flight_;
    }
    for (const bounce_completion& completion : completions) {
        if (completion.status < 0) {
            throw DeviceLost(text("a request was aborted: ", bounce_error_text(completion.status)));
        }
        auto* request = static_cast<Request*>(completion.cookie);
        try {
            request->check_result(completion.written);
            done.push_back(request);
        } catch (const tools::Failure&) {
            if (!failure_) failure_ = std::current_exception();
        }
    }
}

void Engine::throw_if_failed() const {
    if (failure_) std::rethrow_exception(failure_);
}

std::size_t Engine::collect(std::vector<Request*>& done) {
    std::size_t total = 0;
    for (Queue& queue : queues_) {
        if (queue.in_flight == 0) continue;
        const int count =
            check(bounce_ring_collect(queue.ring, completions_.data(), completions_.size()), "cannot collect");
        take(queue, std::span(completions_).first(static_cast<std::size_t>(count)), done);
        total += static_cast<std::size_t>(count);
    }
    if (total > 0) {
        last_progress_ = Clock::now();
        empty_polls_ = 0;
    }
    return total;
}

void Engine::check_silence() const {
    const double silent = std::chrono::duration<double>(Clock::now() - last_progress_).count();
    if (in_flight_ > 0 && silent > session_.config().timeout_seconds) {
        throw DeviceLost(text("the device is connected but has completed nothing for ", tools::format_fixed(silent, 1),
                              " s (--timeout) with ", in_flight_, " requests outstanding"));
    }
}

void Engine::wait() {
    if (in_flight_ == 0) return;
    if (session_.config().calls) {
        wait_call();
    } else {
        wait_poll();
    }
}

void Engine::wait_call() {
    // One queue is waited for, each in its turn.
    const auto count = static_cast<std::uint32_t>(queues_.size());
    do {
        wait_queue_ = (wait_queue_ + 1) % count;
    } while (queues_[wait_queue_].in_flight == 0);
    const bool alone = queues_[wait_queue_].in_flight == in_flight_;
    const int code =
        bounce_frontend_wait(session_.frontend(), wait_queue_, alone ? kWaitMilliseconds : kSharedWaitMilliseconds);
    if (code != -ETIMEDOUT && code != -EINTR) check(code, "waiting for the device");
    check_silence();
}

void Engine::wait_poll() {
    if (++empty_polls_ % kPollsPerCheck != 0) return;
    session_.check_alive();
    check_silence();
    kick_again();
    ::sched_yield();  // the back-end may need this very core
}

/// Whether a kick was wanted is the device's word; should it have been wrong, this one repairs it.
void Engine::kick_again() {
    const auto now = Clock::now();
    if (now - std::max(last_progress_, last_kick_) < kKickAgainAfter) return;
    last_kick_ = now;
    for (std::uint32_t i = 0; i < queues_.size(); ++i) {
        if (queues_[i].in_flight > 0) check(bounce_frontend_kick(session_.frontend(), i), "cannot kick the device");
    }
}

void Engine::abort_rings() noexcept {
    for (Queue& queue : queues_) {
        for (;;) {
            const int count = bounce_ring_abort(queue.ring, completions_.data(), completions_.size());
            if (count <= 0) break;
            for (int i = 0; i < count; ++i) {
                static_cast<Request*>(completions_[static_cast<std::size_t>(i)].cookie)->in_flight = false;
            }
        }
        queue.in_flight = 0;
        queue.dirty = false;
    }
    in_flight_ = 0;
}

void Engine::abandon() {
    session_.disconnect();
    abort_rings();
    for (std::uint32_t i = 0; i < queues_.size(); ++i) queues_[i].ring = session_.ring(i);
    last_progress_ = Clock::now();
    empty_polls_ = 0;
}

}  // namespace bounce::blk
