// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/call_site.hpp"

namespace bounce {
namespace {

thread_local CallSite t_call;
thread_local const char* t_tag = nullptr;

}  // namespace

const CallSite& call_site() noexcept {
    return t_call;
}

const char* call_tag() noexcept {
    return t_tag;
}

void set_call_tag(const char* tag) noexcept {
    t_tag = tag;
}

CallSiteScope::CallSiteScope(const void* at, const char* function) noexcept {
    t_call = {at, function};
}

CallSiteScope::~CallSiteScope() {
    t_call = {};
}

}  // namespace bounce
