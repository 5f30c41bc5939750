// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A virtio entropy device: what a VMM does for a queue when it is kicked. The guest is played by a pool and a ring of
// the library, in this process; a VMM has its guest's memory and the addresses that the driver wrote into the
// transport.
#include <bounce/virtio_device.hpp>

#include <array>
#include <cstdio>
#include <random>

namespace {

/// Fills what is there; true: the driver wants an interrupt.
bounce::Result<bool> serve(bounce::Virtqueue& queue) {
    std::random_device random;
    bounce::Element<16> element;
    for (;;) {
        const auto popped = queue.pop(element);
        if (!popped) return popped.error();
        if (!*popped) {
            // Nothing left: ask for a kick, but for what came at this moment.
            const auto more = queue.enable_kicks();
            if (!more) return more.error();
            if (!*more) break;
            continue;
        }
        for (const bounce_element_segment& segment : element.writable()) {
            auto* const bytes = static_cast<unsigned char*>(segment.hva);
            for (std::uint64_t i = 0; i < segment.bytes; ++i) bytes[i] = static_cast<unsigned char>(random());
        }
        if (auto done = queue.push(element, static_cast<std::uint32_t>(element.writable_bytes())); !done)
            return done.error();
    }
    return queue.needs_call();
}

int failed(const char* what) {
    std::fprintf(stderr, "device_side: %s: %s\n", what, bounce_last_error());
    return 1;
}

}  // namespace

int main() {
    // The guest: its memory, and a driver with a ring.
    auto pool =
        bounce::Pool::create({.name = "guest", .region = {.bytes = std::uint64_t{4} << 20, .base_gpa = 0x1'0000'0000}});
    if (!pool) return failed("pool");
    auto driver = pool->create_device({.name = "virtio-rng"});
    if (!driver) return failed("driver");
    auto ring = driver->create_ring({.queue_size = 64, .flags = BOUNCE_RING_EVENT_IDX});
    if (!ring) return failed("ring");
    const auto layout = ring->layout();
    const auto region = pool->region(0);
    if (!layout || !region) return failed("layout");

    // The VMM: the same memory from its side, and the queue.
    auto memory = bounce::GuestMemory::create();
    if (!memory) return failed("memory");
    if (!memory->add({region->base_gpa, region->bytes, region->hva, 0, 0})) return failed("add");
    bounce_virtqueue_options options{};
    options.name = "rng0";
    options.queue_size = layout->queue_size;
    options.flags = BOUNCE_VIRTQUEUE_EVENT_IDX;
    options.desc_addr = layout->desc_addr;
    options.driver_addr = layout->avail_addr;
    options.device_addr = layout->used_addr;
    auto queue = bounce::Virtqueue::create(*memory, options);
    if (!queue) return failed("queue");

    // The driver asks for 32 bytes, the device answers.
    std::array<std::byte, 32> entropy{};
    const bounce_sg want{entropy.data(), entropy.size(), 0, 0};
    if (!ring->add(std::span(&want, 1), 0, &entropy)) return failed("driver: add");
    const auto kick = ring->publish();
    const auto waits = ring->arm();
    if (!kick || !waits) return failed("driver: publish");
    const auto call = serve(*queue);
    if (!call) return failed("serve");
    bounce_completion completion{};
    const auto n = ring->collect(std::span(&completion, 1));
    if (!n || *n != 1) return failed("driver: collect");
    std::printf("kick wanted: %d, call wanted: %d, %u bytes of entropy:", *kick, *call, completion.written);
    for (const std::byte byte : entropy) std::printf(" %02x", std::to_integer<unsigned>(byte));
    std::printf("\n");
    return *kick && *call && completion.written == entropy.size() ? 0 : 1;
}
