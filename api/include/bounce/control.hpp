// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// libbounce for C++20: a control of a pool, over bounce/control.h, which says what each call means. Header-only; it
// throws nothing and works with -fno-exceptions.
#ifndef BOUNCE_CONTROL_HPP
#define BOUNCE_CONTROL_HPP

#include <bounce/control.h>
#include <bounce/stats.h>
#include <bounce/bounce.hpp>

namespace bounce {
inline namespace v0 {

/// Ends with its owner, which has to be before the pool's end.
class Control {
public:
    /// A default-made `options` will do.
    [[nodiscard]] static Result<Control> create(const Pool& pool, bounce_control_options options = {}) noexcept {
        options.size = sizeof options;
        bounce_control* control = nullptr;
        if (const int status = bounce_control_create(pool.handle(), &options, &control); status < 0)
            return Error(-status);
        return Control(control);
    }
    Control(Control&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Control& operator=(Control&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~Control() { bounce_control_destroy(handle_); }

    /// To be polled.
    [[nodiscard]] int fd() const noexcept { return bounce_control_fd(handle_); }
    /// True: there is more to do at once.
    Result<bool> process() noexcept { return detail::counted<bool>(bounce_control_process(handle_)); }
    Result<void> publish() noexcept { return detail::checked(bounce_control_publish(handle_)); }
    [[nodiscard]] int stats_fd() const noexcept { return bounce_control_stats_fd(handle_); }
    [[nodiscard]] const char* path() const noexcept { return bounce_control_path(handle_); }
    [[nodiscard]] bounce_control* handle() const noexcept { return handle_; }

private:
    explicit Control(bounce_control* handle) noexcept : handle_(handle) {}
    bounce_control* handle_;
};

}  // namespace v0
}  // namespace bounce
#endif
