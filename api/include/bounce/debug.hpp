// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Debugging for C++20: over the C functions of debug.h, which says what each call means.
#ifndef BOUNCE_DEBUG_HPP
#define BOUNCE_DEBUG_HPP

#include <bounce/debug.h>
#include <bounce/bounce.hpp>

namespace bounce {
inline namespace v0 {

/// What the thread maps in this scope carries a tag; afterwards nothing does.
class DebugTag {
public:
    explicit DebugTag(const char* tag) noexcept { static_cast<void>(bounce_debug_set_tag(tag)); }
    ~DebugTag() { static_cast<void>(bounce_debug_set_tag(nullptr)); }
    DebugTag(const DebugTag&) = delete;
    DebugTag& operator=(const DebugTag&) = delete;
};

inline Result<bounce_debug_stats> debug_stats(const DeviceRef& device) noexcept {
    bounce_debug_stats stats;
    if (const int status = bounce_debug_get_stats(device.handle(), &stats); status < 0) return Error(-status);
    return stats;
}

/// visit(const bounce_debug_report&), for all that is watched; how many.
template <class Visit>
Result<std::size_t> visit_watched(const DeviceRef& device, Visit&& visit) noexcept {
    using Visitor = std::remove_reference_t<Visit>;
    const auto call = [](void* user, const bounce_debug_report* report) { (*static_cast<Visitor*>(user))(*report); };
    return detail::counted<std::size_t>(bounce_debug_visit(device.handle(), call, std::addressof(visit)));
}

inline Result<std::span<const std::byte>> peek(const DeviceRef& device, std::uint64_t addr,
                                               std::size_t bytes) noexcept {
    const void* view = nullptr;
    if (const int status = bounce_device_peek(device.handle(), addr, bytes, &view); status < 0) return Error(-status);
    return std::span<const std::byte>(static_cast<const std::byte*>(view), bytes);
}

}  // namespace v0
}  // namespace bounce
#endif
