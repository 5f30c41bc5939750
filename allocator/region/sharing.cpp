// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/region/sharing.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

#include "allocator/base/mutation.hpp"

namespace bounce {
namespace {

constexpr int kMaxErrno = 4095;

/// A positive errno value for what a hook returned instead of 0.
int code_of(int returned) noexcept {
    return returned < 0 && returned >= -kMaxErrno ? -returned : EIO;
}

void scrub(std::byte* hva, std::uint64_t bytes) noexcept {
    if (!BOUNCE_MUTATED(kScrubAtConversion)) std::memset(hva, 0, bytes);
}

}  // namespace

Result<Sharing> Sharing::create(const ShareHooks& hooks, std::uint32_t chunks) noexcept {
    if (!hooks.any()) return Sharing(hooks, PrivateMemory());
    auto states = PrivateMemory::create(chunks);
    if (!states) return states.error();
    return Sharing(hooks, std::move(*states));
}

// Both without a hook of the kind: nothing is to be done.

int Sharing::convert(const Place& at, bool to_shared) const noexcept {
    const ShareHooks::Hook hook = to_shared ? hooks_.share : hooks_.unshare;
    if (hook == nullptr) return 0;
    if (BOUNCE_MUTATED(kShareBeforeUse) && to_shared) return 0;
    if (BOUNCE_MUTATED(kUnshareAfter) && !to_shared) return 0;
    return hook(hooks_.user, at.gpa.value, at.hva, at.bytes);
}

int Sharing::enter_tables(const Place& at) const noexcept {
    if (hooks_.map == nullptr || BOUNCE_MUTATED(kShareBeforeUse)) return 0;
    return hooks_.map(hooks_.user, at.address.value, at.gpa.value, at.hva, at.bytes);
}

int Sharing::leave_tables(const Place& at) const noexcept {
    if (hooks_.unmap == nullptr || BOUNCE_MUTATED(kUnshareAfter)) return 0;
    return hooks_.unmap(hooks_.user, at.address.value, at.gpa.value, at.hva, at.bytes);
}

Result<void> Sharing::share(std::uint32_t chunk, const Place& at) noexcept {
    if (!hooks_.any() || state(chunk) == State::kShared) return {};
    // Before: what was private stays so. After: what came into being by the conversion is nobody's content.
    scrub(at.hva, at.bytes);
    int returned = convert(at, true);
    bool undone = returned == 0 || code_of(returned) != ENOTRECOVERABLE;
    if (returned == 0) {
        returned = enter_tables(at);
        if (returned != 0) undone = code_of(returned) != ENOTRECOVERABLE && convert(at, false) == 0;
    }
    if (returned != 0) {
        if (!undone) become(chunk, State::kLost);
        return fail(code_of(returned),
                    undone
                        ? "the chunk of %llu bytes at GPA 0x%llx cannot be shared (the hook returned %lld)"
                        : "the chunk of %llu bytes at GPA 0x%llx cannot be shared (the hook returned %lld), nor made "
                          "private again: it stays mapped and is never used",
                    at.bytes, at.gpa.value, static_cast<std::uint64_t>(returned));
    }
    become(chunk, State::kShared);
    scrub(at.hva, at.bytes);
    return {};
}

Result<void> Sharing::unshare(std::uint32_t chunk, const Place& at) noexcept {
    if (!hooks_.any() || state(chunk) != State::kShared) return {};
    // Before: a chunk that stays visible for ever has nothing in it. After: what the device side left is not ours.
    scrub(at.hva, at.bytes);
    int returned = leave_tables(at);
    if (returned == 0) returned = convert(at, false);
    if (returned != 0) {
        become(chunk, State::kLost);
        return fail(code_of(returned),
                    "the chunk of %llu bytes at GPA 0x%llx cannot be unshared (the hook returned %lld): it stays "
                    "mapped and is never used again",
                    at.bytes, at.gpa.value, static_cast<std::uint64_t>(returned));
    }
    become(chunk, State::kPrivate);
    scrub(at.hva, at.bytes);
    return {};
}

}  // namespace bounce
