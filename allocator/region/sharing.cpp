// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/region/sharing.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

namespace bounce {
namespace {

constexpr int kMaxErrno = 4095;

/// A positive errno value for what a hook returned instead of 0.
int code_of(int returned) noexcept {
    return returned < 0 && returned >= -kMaxErrno ? -returned : EIO;
}

}  // namespace

Result<Sharing> Sharing::create(const ShareHooks& hooks, std::uint32_t chunks) noexcept {
    if (!hooks.any()) return Sharing(hooks, PrivateMemory());
    auto states = PrivateMemory::create(chunks);
    if (!states) return states.error();
    return Sharing(hooks, std::move(*states));
}

Result<void> Sharing::share(std::uint32_t chunk, Gpa gpa, std::byte* hva, std::uint64_t bytes) noexcept {
    if (!hooks_.any() || state(chunk) == State::kShared) return {};
    // Before: what was private stays so. After: what came into being by the conversion is nobody's content.
    std::memset(hva, 0, bytes);
    if (const int returned = hooks_.share(hooks_.user, gpa.value, hva, bytes); returned != 0) {
        return fail(code_of(returned),
                    "the chunk of %llu bytes at GPA 0x%llx cannot be shared (the hook returned %lld)", bytes, gpa.value,
                    static_cast<std::uint64_t>(returned));
    }
    become(chunk, State::kShared);
    std::memset(hva, 0, bytes);
    return {};
}

Result<void> Sharing::unshare(std::uint32_t chunk, Gpa gpa, std::byte* hva, std::uint64_t bytes) noexcept {
    if (!hooks_.any() || state(chunk) != State::kShared) return {};
    // Before: a chunk that stays visible for ever has nothing in it. After: what the device side left is not ours.
    std::memset(hva, 0, bytes);
    if (const int returned = hooks_.unshare(hooks_.user, gpa.value, hva, bytes); returned != 0) {
        become(chunk, State::kLost);
        return fail(code_of(returned),
                    "the chunk of %llu bytes at GPA 0x%llx cannot be unshared (the hook returned %lld): it stays "
                    "mapped and is never used again",
                    bytes, gpa.value, static_cast<std::uint64_t>(returned));
    }
    become(chunk, State::kPrivate);
    std::memset(hva, 0, bytes);
    return {};
}

}  // namespace bounce
