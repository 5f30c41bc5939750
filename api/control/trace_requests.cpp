// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// BOUNCE_CONTROL_TRACE: a trace begins and ends. One at a time; it belongs to the client that asked.
#include <cerrno>

#include "api/control/requests.hpp"
#include "api/dma/device.hpp"
#include "api/dma/trace.hpp"

namespace bounce {

Result<void> ControlRequests::trace(ControlPeer& peer, const Asked& asked, Reply& reply) noexcept {
    if (asked.head.arg[0] > 1)
        return fail(EINVAL, "a trace is asked for with %llu, expected 1 (begin) or 0 (end)", asked.head.arg[0]);
    if (asked.head.arg[0] == 0) {
        if (!peer.traces) return fail(EINVAL, "a trace is ended that this client has not begun");
        stop_trace(peer);
        return {};
    }
    if (settings_.read_only) return fail(EPERM, "this control is read-only");
    if (traced_) return fail(EBUSY, "a trace of this pool is being recorded already, expected none");
    Telemetry& telemetry = callbacks_.telemetry();
    const auto made = telemetry.make_trace();
    if (!made) return made.error();
    Trace* const trace = *made;
    trace->start();
    peer.traces = traced_ = true;
    telemetry.want_trace(trace);
    telemetry.visit([trace](Device& device) { device.set_trace(trace); });
    telemetry.event(BOUNCE_EVENT_TRACE, "", 1, 0, peer.uid);
    reply.trace_fd = trace->fd();
    return {};
}

void ControlRequests::stop_trace(ControlPeer& peer) noexcept {
    if (!peer.traces) return;
    peer.traces = traced_ = false;
    Telemetry& telemetry = callbacks_.telemetry();
    Trace* const trace = telemetry.wanted_trace();
    telemetry.want_trace(nullptr);
    telemetry.visit([](Device& device) { device.set_trace(nullptr); });
    if (trace != nullptr) trace->stop();
    telemetry.event(BOUNCE_EVENT_TRACE, "", 0, 0, peer.uid);
}

}  // namespace bounce
