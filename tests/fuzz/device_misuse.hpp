// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a host may not ask of guest memory and of queues on it: it is refused, and leaves nothing behind.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "bounce/virtio_device.h"

namespace bounce::test {

[[noreturn]] inline void found(const char* what) {
    std::fprintf(stderr, "finding: %s\n", what);
    std::abort();
}
inline void require(bool good, const char* what) {
    if (!good) found(what);
}

/// Queues that cannot be; guest memory ends at `end`.
inline void misuse_queue(bounce_guest_memory* memory, const bounce_virtqueue_options& options, std::uint64_t end,
                         unsigned which) {
    const bool packed = (options.flags & BOUNCE_VIRTQUEUE_PACKED) != 0;
    bounce_virtqueue_options other = options;
    bounce_virtqueue* queue = nullptr;
    const auto refused = [&] {
        require(bounce_virtqueue_create(memory, &other, &queue) < 0 && queue == nullptr, "an impossible queue");
        other = options;
    };
    other.queue_size = which % 2 != 0 ? 0 : 32769;
    refused();
    other.queue_size = packed ? 40000 : 3;
    refused();
    other.max_chain = which % 2 != 0 ? 1 : 40000;
    other.queue_size = 8;
    refused();
    other.desc_addr += 1 + which % 15;
    refused();
    other.driver_addr += 1;
    refused();
    other.device_addr += 1 + which % 3;
    refused();
    other.device_addr = end - 4;  // of a split one no more than the beginning is there
    other.desc_addr = packed ? end - 16 * std::uint64_t{options.queue_size} + 16 : other.desc_addr;
    refused();
    other.desc_addr = end;
    refused();
    other.avail_index = packed ? 0x7fff : 0x1000;
    refused();
    other.avail_index = 0;
    other.used_index = packed ? 0x8001 : 1;
    if (options.queue_size == 1 || !packed) refused();
}

/// Of [begin, end), which is there.
inline void misuse_memory(bounce_guest_memory* memory, std::uint64_t begin, std::uint64_t end) {
    std::array<std::byte, 64> more{};
    const auto refused = [&](const bounce_guest_region& region) {
        require(bounce_guest_memory_add(memory, &region, 1) < 0, "an impossible region");
    };
    refused({begin, 64, more.data(), 0, 0});                  // is there
    refused({0, 0, more.data(), 0, 0});                       // empty
    refused({~std::uint64_t{0} - 8, 64, more.data(), 0, 0});  // beyond the end
    refused({0, 64, more.data(), 0x80, 0});                   // unknown flags
    refused({0, 64, nullptr, 0, 0});                          // nowhere
    const bounce_guest_region twice[] = {{0, 64, more.data(), 0, 0}, {32, 64, more.data(), 0, 0}};
    require(bounce_guest_memory_add(memory, twice, 2) < 0, "two regions in one place");
    std::uint64_t ticket = 0;
    require(bounce_guest_memory_remove(memory, begin + 1, end - begin, &ticket) < 0, "half a region was taken away");
    require(bounce_guest_memory_remove(memory, 0, 64, &ticket) < 0, "what is not there was taken away");
    require(bounce_guest_memory_wait(memory, ~std::uint64_t{0}, 0) < 0, "a ticket that nobody has");
    require(bounce_guest_memory_add(memory, twice, 1) == 0, "one more region");
    require(bounce_guest_memory_remove(memory, 0, 64, &ticket) == 0, "and away with it");
    require(bounce_guest_memory_wait(memory, ticket, 100) == 0, "somebody uses it");
}

}  // namespace bounce::test
