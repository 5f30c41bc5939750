// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-blk/control_thread.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

#include "tools/common/failure.hpp"

namespace bounce::blk {

using tools::Failure;
using tools::text;

ControlThread::ControlThread(bounce_pool* pool, const std::string& where) {
    if (where == "off") return;
    bounce_control_options options{};
    options.size = sizeof options;
    options.path = where == "auto" ? nullptr : where.c_str();
    bounce_control* control = nullptr;
    if (const int code = bounce_control_create(pool, &options, &control); code < 0) {
        if (where == "auto") return;  // no folder for sockets here: one does without
        throw Failure(text("--control: ", bounce_last_error()));
    }
    control_.reset(control);
    stop_ = tools::Descriptor(::eventfd(0, EFD_CLOEXEC));
    if (!stop_) throw Failure(text("an eventfd: ", tools::errno_text(errno)));
    thread_ = std::thread([this] { run(); });
}

ControlThread::~ControlThread() {
    if (!thread_.joinable()) return;
    const std::uint64_t one = 1;
    (void)!::write(stop_.get(), &one, sizeof one);
    thread_.join();
}

void ControlThread::run() const {
    pollfd waits[] = {{bounce_control_fd(control_.get()), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    for (;;) {
        if (::poll(waits, 2, -1) < 0 && errno != EINTR) return;
        if (waits[1].revents != 0) return;
        while (bounce_control_process(control_.get()) == 1) {
        }
    }
}

std::string ControlThread::path() const {
    return control_ != nullptr ? bounce_control_path(control_.get()) : "";
}

}  // namespace bounce::blk
