// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The control of a session's pool (bounce/control.h), so that bouncectl sees and tunes it. The threads of a session are
// busy with their rings, so it has a thread of its own, which sleeps until somebody asks.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "bounce/control.h"
#include "tools/common/descriptor.hpp"

namespace bounce::blk {

class ControlThread {
public:
    /// where: "auto" (the default path; without one there is no control), "off", or a path. Throws tools::Failure when
    /// that path cannot be had.
    ControlThread(bounce_pool* pool, const std::string& where);
    ~ControlThread();
    ControlThread(const ControlThread&) = delete;
    ControlThread& operator=(const ControlThread&) = delete;

    /// Of its socket; "" without a control.
    [[nodiscard]] std::string path() const;

private:
    struct Deleter {
        void operator()(bounce_control* control) const noexcept { bounce_control_destroy(control); }
    };
    void run() const;

    std::unique_ptr<bounce_control, Deleter> control_;
    tools::Descriptor stop_;
    std::thread thread_;
};

}  // namespace bounce::blk
