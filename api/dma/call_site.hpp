// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Who called the library, for reports: the C functions say so before they go the long way of a device that is watched,
// and only then.
#pragma once

namespace bounce {

struct CallSite {
    const void* at = nullptr;   // return address into the caller
    const char* function = "";  // of the C ABI
};

/// Of the call that this thread is in.
const CallSite& call_site() noexcept;
/// Of bounce_debug_set_tag(); may be nullptr.
const char* call_tag() noexcept;
void set_call_tag(const char* tag) noexcept;

/// For the time of a call.
class CallSiteScope {
public:
    CallSiteScope(const void* at, const char* function) noexcept;
    ~CallSiteScope();
    CallSiteScope(const CallSiteScope&) = delete;
    CallSiteScope& operator=(const CallSiteScope&) = delete;
};

}  // namespace bounce
