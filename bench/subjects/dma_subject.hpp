// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What maps and unmaps buffers: the streaming side of a subject. Conventions as in subject.hpp.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

#include "bench/subjects/subject.hpp"

namespace bench {

enum class Direction { kToDevice, kFromDevice };

/// After map() with kToDevice the device can read the bytes at slot(token); after unmap() with kFromDevice the buffer
/// holds what the device has written there.
template <class D>
concept DmaSubject = std::constructible_from<D, const Shape&> && std::constructible_from<typename D::Context, D&> &&
    requires(D& d, typename D::Context& c, typename D::Token& t, std::byte* buf, std::uint64_t bytes) {
    { D::kName } -> std::convertible_to<const char*>;
    { D::kNote } -> std::convertible_to<const char*>;
    { D::kMaxItem } -> std::convertible_to<std::uint64_t>;
    { d.map(c, buf, bytes, Direction::kToDevice, t) } -> std::same_as<bool>;
    { d.unmap(c, t) } -> std::same_as<bool>;
    { d.slot(t) } -> std::same_as<std::byte*>;
};

}  // namespace bench
