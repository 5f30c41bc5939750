// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "bounce/stats.h"

#include "api/abi/handles.hpp"
#include "api/control/stats_view.hpp"

using namespace bounce;
using namespace bounce::abi;

struct bounce_stats_view {
    std::unique_ptr<StatsView> view;
};

namespace {

int make(Result<std::unique_ptr<StatsView>> opened, bounce_stats_view** view) noexcept {
    if (!opened) return negative(opened.error());
    *view = new (std::nothrow) bounce_stats_view{std::move(*opened)};
    return *view != nullptr ? 0 : negative(fail(ENOMEM, "no memory for a view's handle"));
}

}  // namespace

int bounce_stats_open(int fd, bounce_stats_view** view) {
    if (view == nullptr) return negative(null_argument("view"));
    *view = nullptr;
    return make(StatsView::open(fd), view);
}

int bounce_stats_parse(const void* bytes, size_t n, bounce_stats_view** view) {
    if (view == nullptr) return negative(null_argument("view"));
    *view = nullptr;
    if (bytes == nullptr) return negative(null_argument("bytes"));
    return make(StatsView::parse(bytes, n), view);
}

int bounce_stats_refresh(bounce_stats_view* view) {
    if (view == nullptr) return negative(null_argument("view"));
    const auto torn = view->view->refresh();
    return torn ? (*torn ? 1 : 0) : negative(torn.error());
}

int bounce_stats_get_header(const bounce_stats_view* view, bounce_stats_header* header) {
    if (view == nullptr) return negative(null_argument("view"));
    if (header == nullptr) return negative(null_argument("header"));
    *header = view->view->header();
    return 0;
}

int64_t bounce_stats_count(const bounce_stats_view* view, int table) {
    return view != nullptr ? static_cast<int64_t>(view->view->count(table)) : negative(null_argument("view"));
}

int bounce_stats_record(const bounce_stats_view* view, int table, uint64_t index, void* record, size_t bytes) {
    if (view == nullptr) return negative(null_argument("view"));
    if (record == nullptr) return negative(null_argument("record"));
    const auto whole = view->view->record(table, index, record, bytes);
    return whole ? (*whole ? 0 : 1) : negative(whole.error());
}

const void* bounce_stats_bytes(const bounce_stats_view* view, size_t* n) {
    if (view == nullptr || n == nullptr) return nullptr;
    return view->view->bytes(*n);
}

void bounce_stats_close(bounce_stats_view* view) {
    delete view;
}
