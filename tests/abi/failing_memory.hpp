// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Memory that runs out at will. The linker sends every request for memory of this program and of the library in it here
// (--wrap); requests of the thread that asked for it fail from the chosen one on, or once.
#pragma once

#include <cstdint>

namespace bounce::test {

enum class Fail { kNever, kOnce, kFromThenOn };

/// From now on this thread's requests are counted and its memory is accounted for.
void watch_this_thread();
/// The n-th request from now (1 is the next) fails.
void fail_request(Fail how, std::uint64_t n);
/// Requests that were made to fail since.
std::uint64_t failed_requests();
/// By watched threads: blocks not yet freed, bytes not yet unmapped.
std::int64_t live_blocks();
std::int64_t live_mapped_bytes();

}  // namespace bounce::test
