// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a pool has to offer to be measured. A subject is a type, not a base class: its calls are inlined into the loops,
// as they would be into a driver, and every subject is measured by the same source.
//
// Each subject says of itself
//   kName      its name in the results
//   kAnySize   one pool serves items of every size (else all have Shape::item_bytes)
//   kMaxItem   the largest item
//   kMinPool, kMaxPool  sizes of a pool that it can be given
//   kBulk      it has calls that take and give n items (else the harness loops)
//   kNote      what has to be known about its figures; "" when nothing has
// A Context is what a thread has of its own; it is made and ended in that thread.
#pragma once

#include <concepts>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace bench {

inline constexpr std::uint64_t kKiB = 1024;
inline constexpr std::uint64_t kMiB = 1024 * kKiB;
inline constexpr std::uint64_t kGiB = 1024 * kMiB;
inline constexpr std::uint64_t kTiB = 1024 * kGiB;

struct Shape {
    std::uint64_t pool_bytes = 128 * kMiB;
    std::uint64_t item_bytes = 4096;
    bool resident = false;  // all of the memory is there from the beginning: no page faults among the times
};

template <class S>
concept Subject = std::constructible_from<S, const Shape&> && std::constructible_from<typename S::Context, S&> &&
    requires(S& s, typename S::Context& c, typename S::Handle* h, std::uint64_t bytes) {
    { S::kName } -> std::convertible_to<const char*>;
    { S::kNote } -> std::convertible_to<const char*>;
    { S::kAnySize&& S::kBulk } -> std::same_as<bool>;
    { S::kMaxItem + S::kMinPool + S::kMaxPool } -> std::same_as<std::uint64_t>;
    { s.alloc(c, bytes, *h) } -> std::same_as<bool>;
    { s.free(c, *h, bytes) } -> std::same_as<void>;
};

/// Thrown when an item is refused where there is room.
inline void expect(bool good, const char* what) {
    if (!good) throw std::runtime_error(what);
}

// Inlined whatever the subject: else the compiler decides by how much of it is inlined already.
template <class S>
[[gnu::always_inline]] inline void take(S& subject, typename S::Context& context, std::uint64_t bytes,
                                        typename S::Handle& handle) {
    if (!subject.alloc(context, bytes, handle)) [[unlikely]]
        throw std::runtime_error("an allocation failed in a pool that has room");
}

template <class S>
void take_bulk(S& subject, typename S::Context& context, std::uint64_t bytes, typename S::Handle* handles,
               std::uint32_t n) {
    if constexpr (S::kBulk) {
        if (!subject.alloc_bulk(context, bytes, handles, n)) [[unlikely]]
            throw std::runtime_error("a bulk allocation failed in a pool that has room");
    } else {
        for (std::uint32_t i = 0; i < n; ++i) take(subject, context, bytes, handles[i]);
    }
}

template <class S>
void give_bulk(S& subject, typename S::Context& context, std::uint64_t bytes, typename S::Handle* handles,
               std::uint32_t n) {
    if constexpr (S::kBulk) {
        subject.free_bulk(context, bytes, handles, n);
    } else {
        for (std::uint32_t i = 0; i < n; ++i) subject.free(context, handles[i], bytes);
    }
}

/// Items of one size until there are no more.
template <class S>
void fill(S& subject, typename S::Context& context, std::uint64_t bytes, std::vector<typename S::Handle>& held) {
    typename S::Handle handle{};
    while (subject.alloc(context, bytes, handle)) held.push_back(handle);
}

template <class S>
void empty(S& subject, typename S::Context& context, std::uint64_t bytes, std::vector<typename S::Handle>& held) {
    for (auto& handle : held) subject.free(context, handle, bytes);
    held.clear();
}

template <class S>
std::string too_large() {
    return "its largest item has " + std::to_string(S::kMaxItem / kKiB) + " KiB";
}

template <class S>
std::string no_such_pool() {
    return "its pools here have " + std::to_string(S::kMinPool / kMiB) + " to " + std::to_string(S::kMaxPool / kMiB) +
           " MiB";
}

/// How a figure was taken, and what is special about the subject.
template <class S>
std::string note_of(const char* how) {
    return *S::kNote == '\0' ? std::string(how) : std::string(how) + "; " + S::kNote;
}

}  // namespace bench
