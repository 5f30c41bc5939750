// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "bounce/trace.h"

#include "api/abi/handles.hpp"
#include "api/control/trace_view.hpp"

using namespace bounce;
using namespace bounce::abi;

struct bounce_trace {
    std::unique_ptr<TraceView> view;
};

int bounce_trace_open(int fd, bounce_trace** trace) {
    if (trace == nullptr) return negative(null_argument("trace"));
    *trace = nullptr;
    auto opened = TraceView::open(fd);
    if (!opened) return negative(opened.error());
    *trace = new (std::nothrow) bounce_trace{std::move(*opened)};
    return *trace != nullptr ? 0 : negative(fail(ENOMEM, "no memory for a trace's handle"));
}

int64_t bounce_trace_read(bounce_trace* trace, bounce_trace_record* records, size_t n) {
    if (trace == nullptr) return negative(null_argument("trace"));
    if (records == nullptr) return negative(null_argument("records"));
    const auto got = trace->view->read({records, n});
    return got ? static_cast<int64_t>(*got) : negative(got.error());
}

int bounce_trace_get_status(const bounce_trace* trace, bounce_trace_status* status) {
    if (trace == nullptr) return negative(null_argument("trace"));
    if (status == nullptr) return negative(null_argument("status"));
    *status = trace->view->status();
    return 0;
}

void bounce_trace_close(bounce_trace* trace) {
    delete trace;
}
