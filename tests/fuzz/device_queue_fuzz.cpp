// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A driver that writes whatever it likes into its memory, and a queue from the device side. The input is the features,
// then the memory. Every segment that is popped must be guest memory; the sanitizers see the rest.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "bounce/virtio_device.h"

namespace {

constexpr std::uint64_t kGpa = 0x1000;
constexpr std::size_t kBytes = 2048;
constexpr std::uint64_t kEnd = ~std::uint64_t{0} - 255;

void require(bool good) {
    if (!good) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 4) return 0;
    alignas(64) static std::array<std::byte, kBytes> low;
    alignas(64) static std::array<std::byte, 256> high;
    low.fill(std::byte{0});
    high.fill(std::byte{0});
    const std::size_t n = size - 4 < low.size() ? size - 4 : low.size();
    std::memcpy(low.data(), data + 4, n);
    bounce_guest_memory* memory = nullptr;
    require(bounce_guest_memory_create(&memory) == 0);
    // Two regions that meet in guest memory, and one up to its end.
    const bounce_guest_region regions[] = {{kGpa, kBytes / 2, low.data(), 0, 0},
                                           {kGpa + kBytes / 2, kBytes / 2, low.data() + kBytes / 2, 0, 0},
                                           {kEnd, 256, high.data(), data[3] & 1U, 0}};
    require(bounce_guest_memory_add(memory, regions, 3) == 0);
    bounce_virtqueue_options options{};
    options.size = sizeof options;
    options.flags = data[0] & 15U;
    options.queue_size = (options.flags & BOUNCE_VIRTQUEUE_PACKED) != 0 ? 1U + data[1] % 9U : 2U << data[1] % 3U;
    if ((options.flags & BOUNCE_VIRTQUEUE_INDIRECT) != 0) options.max_chain = options.queue_size + data[2] % 8U;
    options.desc_addr = kGpa;
    options.driver_addr = kGpa + 160;
    options.device_addr = kGpa + 192;
    if ((options.flags & BOUNCE_VIRTQUEUE_PACKED) != 0) options.avail_index = options.used_index = 0x8000;
    bounce_virtqueue* queue = nullptr;
    require(bounce_virtqueue_create(memory, &options, &queue) == 0);
    std::array<bounce_element, 12> elements{};
    std::array<std::array<bounce_element_segment, 8>, 12> segments;
    std::size_t out = 0;
    for (int step = 0; step < 40 && out < elements.size(); ++step) {
        bounce_element& element = elements[out];
        element.segments = segments[out].data();
        element.max_segments = 8;
        if (bounce_virtqueue_pop(queue, &element) != 1) break;
        ++out;
        for (std::uint32_t i = 0; i < element.n_out + element.n_in; ++i) {
            const bounce_element_segment& one = element.segments[i];
            const bool below = one.gpa >= kGpa && one.gpa - kGpa < kBytes && one.bytes <= kBytes - (one.gpa - kGpa);
            const bool above = one.gpa >= kEnd && one.bytes <= 256 - (one.gpa - kEnd);
            require(one.bytes != 0 && (below || above));
            std::byte first{};
            std::memcpy(&first, one.hva, 1);
            if (i >= element.n_out) std::memset(one.hva, std::to_integer<int>(first) + 1, one.bytes);
        }
        // Some stay out for a while: ids come again, and the order is another one.
        if (step % 3 == 2 && out > 0) {
            --out;
            const auto all = static_cast<std::uint32_t>(elements[out].in_bytes);
            (void)bounce_virtqueue_complete(queue, &elements[out], all);
        }
        if (step % 5 == 4) (void)bounce_virtqueue_needs_call(queue);
        if (step % 7 == 6) (void)bounce_virtqueue_enable_kicks(queue);
    }
    while (out > 0) (void)bounce_virtqueue_push(queue, &elements[--out], 0);
    (void)bounce_virtqueue_flush(queue);
    require(bounce_virtqueue_reset(queue, nullptr) == 0);
    require(bounce_virtqueue_destroy(queue) == 0);
    require(bounce_guest_memory_destroy(memory) == 0);
    return 0;
}
