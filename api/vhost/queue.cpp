// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/vhost/queue.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

#include <cerrno>

#include "allocator/base/descriptor.hpp"
#include "api/vhost/deadline.hpp"

namespace bounce::vhost {
namespace {

/// How long a wait goes on before it kicks again.
constexpr int kRepairMilliseconds = 1000;

}  // namespace

Result<void> FrontendQueue::create(Device& device, const QueueConfig& config) noexcept {
    auto ring = Virtqueue::create(device, config);
    if (!ring) return ring.error();
    ring_ = std::move(*ring);
    return {};
}

Result<void> FrontendQueue::open_events() noexcept {
    call_ = Fd(above_stdio(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
    if (call_) kick_ = Fd(above_stdio(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
    if (call_ && kick_) return {};
    const int code = errno;
    close_events();
    return fail_text(code, "no eventfd could be made: errno %d", code);
}

void FrontendQueue::close_events() noexcept {
    call_.reset();
    kick_.reset();
}

Result<void> FrontendQueue::submit() noexcept {
    return ring_->publish() ? kick() : Result<void>();
}

Result<void> FrontendQueue::kick() noexcept {
    const std::uint64_t one = 1;
    for (;;) {
        if (::write(kick_.get(), &one, sizeof one) == sizeof one) return {};
        if (errno == EAGAIN) return {};  // the counter is full: the back-end has been kicked often enough
        if (errno != EINTR) return fail_text(errno, "the kick failed: errno %d", errno);
    }
}

void FrontendQueue::drain_calls() noexcept {
    std::uint64_t count = 0;
    iovec part{&count, sizeof count};
    if (::preadv2(call_.get(), &part, 1, -1, RWF_NOWAIT) >= 0 || errno == EAGAIN) return;
    // A kernel (or emulator) that cannot: read only when something is there.
    pollfd entry{call_.get(), POLLIN, 0};
    if (::poll(&entry, 1, 0) == 1 && (entry.revents & POLLIN) != 0) {
        [[maybe_unused]] const ssize_t n = ::read(call_.get(), &count, sizeof count);
    }
}

Result<void> FrontendQueue::wait(int socket, std::uint32_t timeout_ms) noexcept {
    const Deadline deadline(timeout_ms);
    // Calls of before mean nothing; a completion that came before arm() is told by arm(), one that comes later calls.
    drain_calls();
    if (ring_->arm()) {
        ring_->disarm();
        return {};
    }
    pollfd entries[2] = {{call_.get(), POLLIN, 0}, {socket, POLLRDHUP, 0}};
    int ready = 0;
    for (;;) {
        const int left = deadline.remaining();
        const int step = left < 0 || left > kRepairMilliseconds ? kRepairMilliseconds : left;
        ready = ::poll(entries, 2, step);
        if (ready > 0 || (ready < 0 && errno != EINTR)) break;
        if (ready == 0) {
            repair();
            if (step == left || ring_->arm()) break;
        }
    }
    const int code = ready < 0 ? errno : 0;
    // What a back-end completed before it went away, or without a call, is worth collecting all the same.
    const bool there = (entries[0].revents & POLLIN) != 0 || ring_->arm();
    ring_->disarm();
    if (there) return {};
    if (ready < 0) return fail_text(code, "waiting for a call failed: errno %d", code);
    if (ready > 0) return fail(ECONNRESET, "the back-end closed the connection");
    return fail(ETIMEDOUT, "no completion within %llu ms", timeout_ms);
}

// Whether a kick was wanted is the back-end's word. Should one have been lost by that, this one repairs it.
void FrontendQueue::repair() noexcept {
    if (ring_->outstanding() != 0) (void)kick();
}

}  // namespace bounce::vhost
