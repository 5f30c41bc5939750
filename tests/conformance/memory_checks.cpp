// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Memory that both sides see, in the form that the device wants, and memory that the device must not see.
#include <algorithm>
#include <cerrno>
#include <set>

#include "tests/conformance/private_pages.hpp"
#include "tests/conformance/runner.hpp"

namespace bounce::conformance {
namespace {

constexpr std::uint64_t kFarAway = std::uint64_t{64} << 20;  // behind the pool

}  // namespace

void Runner::encoding() {
    Guest guest(rule_);
    GuestPool pool = guest.open();
    bounce_platform platform;
    must(bounce_pool_platform(pool.pool, &platform), "platform");
    expect(platform.granule == rule_.conversion, "the platform has another granule");
    const bool needs = (platform.flags & BOUNCE_PLATFORM_NEEDS_ACCESS_PLATFORM) != 0;
    expect(needs == rule_.needs_access_platform, "the platform is wrong about ACCESS_PLATFORM");

    Bytes mine = random_bytes(3000);
    bounce_mapping mapping;
    must(bounce_device_map(pool.device, mine.data(), mine.size(), BOUNCE_TO_DEVICE, 0, &mapping), "map");
    bounce_block block;
    must(bounce_coherent_alloc(pool.device, 200, 0, &block), "coherent");
    const struct {
        const void* hva;
        std::uint64_t address;
    } handed_out[] = {{mapping.slot, mapping.addr}, {block.ptr, block.addr}};
    for (const auto& one : handed_out) {
        std::uint64_t gpa = 0;
        std::uint64_t there = 0;
        std::uint64_t back = 0;
        must(bounce_pool_hva_to_gpa(pool.pool, one.hva, 100, &gpa), "hva_to_gpa");
        expect(one.address == gpa + rule_.to_address, "an address for the device is not encoded as the platform says");
        expect_status(bounce_pool_gpa_to_address(pool.pool, gpa, 100, &there), 0, "gpa_to_address");
        expect_status(bounce_pool_address_to_gpa(pool.pool, one.address, 100, &back), 0, "address_to_gpa");
        expect(there == one.address && back == gpa, "addresses are not translated as they are handed out");
        if (rule_.wrong_form == 0) continue;
        Bytes seen(64);
        expect_status(guest.device().read(one.address + rule_.wrong_form, seen), -EFAULT, "an address in another form");
    }
    expect_status(bounce_coherent_free(pool.device, &block), 0, "coherent");
    expect_status(bounce_device_unmap(pool.device, &mapping, 0), 0, "unmap");

    bounce_frontend_options options{};
    options.size = sizeof options;
    options.socket_path = "/nonexistent/socket";
    bounce_frontend* frontend = nullptr;
    expect_status(bounce_frontend_connect(pool.pool, &options, &frontend), -ENOTSUP, "a front-end without the bit");
    expect_private_again(guest, pool);
}

void Runner::coherent() {
    Guest guest(rule_);
    GuestPool pool = guest.open();
    const Bytes zeros(300);
    std::set<std::uint64_t> before;
    bool reused = false;
    for (int round = 0; round < 8; ++round) {
        bounce_block block;
        must(bounce_coherent_alloc(pool.device, zeros.size(), 0, &block), "coherent");
        if (rule_.coherent_mask != 0)
            expect(block.addr + zeros.size() - 1 <= rule_.coherent_mask,
                   "coherent memory is above the platform's mask");
        auto* const mine = static_cast<std::byte*>(block.ptr);
        expect(std::equal(zeros.begin(), zeros.end(), mine), "coherent memory is not zeroed");
        reused = reused || !before.insert(block.addr).second;
        const Bytes out = random_bytes(zeros.size());
        std::copy(out.begin(), out.end(), mine);
        Bytes seen(zeros.size());
        expect_status(guest.device().read(block.addr, seen), 0, "the device reads coherent memory");
        expect(seen == out, "the device does not see what is written to coherent memory");
        const Bytes in = random_bytes(zeros.size());
        expect_status(guest.device().write(block.addr, in), 0, "the device writes coherent memory");
        expect(std::equal(in.begin(), in.end(), mine), "what the device writes to coherent memory is not seen");
        must(bounce_coherent_free(pool.device, &block), "coherent");
    }
    expect(reused, "no memory was reused, so this says nothing of its content");
    expect_private_again(guest, pool);
}

void Runner::ring_requests(Guest& guest, const GuestPool& pool, std::uint32_t flags, std::uint32_t exaggerate) {
    constexpr std::uint32_t kRequests = 24;
    constexpr std::size_t kBehind = 4096;
    bounce_ring_options options{};
    options.size = sizeof options;
    options.queue_size = 16;
    options.flags = flags;
    bounce_ring* ring = nullptr;
    must(bounce_ring_create(pool.device, &options, &ring), "ring");
    DeviceProcess::RingOrder order{};
    must(bounce_ring_get_layout(ring, &order.layout), "layout");
    order.event_idx = (flags & BOUNCE_RING_EVENT_IDX) != 0;
    order.requests = kRequests;
    order.exaggerate = exaggerate;
    guest.device().begin_ring(order);

    for (std::uint32_t i = 0; i < kRequests; ++i) {
        Bytes header = random_bytes(16);
        Bytes out = random_bytes(1 + 997 * i % 9000);
        const Bytes before = random_bytes(1 + 613 * i % 7000 + kBehind);
        const std::size_t in_bytes = before.size() - kBehind;
        Bytes in = before;
        std::byte end{0xff};
        const bounce_sg sg[] = {{header.data(), header.size(), 0, 0},
                                {out.data(), out.size(), 0, 0},
                                {in.data(), in_bytes, 0, 0},
                                {&end, 1, 0, 0}};
        must(bounce_ring_add(ring, sg, 2, 2, &in), "add");
        must(bounce_ring_publish(ring), "publish");
        bounce_completion done{};
        int got = 0;
        while ((got = bounce_ring_collect(ring, &done, 1)) == 0) {
            if (!guest.device().ring_ended()) continue;
            got = bounce_ring_collect(ring, &done, 1);
            break;
        }
        if (got != 1) {
            findings_.push_back("the device does not serve its ring");
            break;
        }
        Bytes read = header;
        read.insert(read.end(), out.begin(), out.end());
        Bytes wanted = before;
        for (std::size_t at = 0; at < in_bytes; ++at) wanted[at] = DeviceProcess::answer(read, at);
        expect(in == wanted, "a request of a ring came back with another content");
        expect(end == DeviceProcess::answer(read, in_bytes), "the last byte of a request came back wrong");
        expect(done.cookie == &in && done.status == 0, "a completion is not that of its request");
        expect(done.written == in_bytes + 1, "the length of a completion is not that of the request");
        expect(done.reported == in_bytes + 1 + exaggerate, "what the device reported was not told");
    }
    expect_status(guest.device().end_ring(), 0, "the device serves a ring");
    bounce_ring_stats stats;
    must(bounce_ring_get_stats(ring, &stats), "stats");
    expect(stats.violations == (exaggerate != 0 ? stats.completed : 0), "violations of the ring were miscounted");
    bounce_completion dropped[16];
    while (bounce_ring_abort(ring, dropped, 16) > 0) {
    }
    expect_status(bounce_ring_destroy(ring), 0, "ring");
}

void Runner::rings() {
    Guest guest(rule_);
    GuestPool pool = guest.open();
    for (const std::uint32_t flags : {0u, std::uint32_t{BOUNCE_RING_INDIRECT | BOUNCE_RING_EVENT_IDX}})
        ring_requests(guest, pool, flags, 0);
    expect(guest.faults().empty(), "an access that is allowed was reported");
    expect_private_again(guest, pool);
}

void Runner::lying_ring() {
    Guest guest(rule_);
    GuestPool pool = guest.open();
    ring_requests(guest, pool, 0, 100000);
    expect_private_again(guest, pool);
}

void Runner::private_memory() {
    Guest guest(rule_);
    GuestPool pool = guest.open();
    PrivatePages secret(2 * std::size_t{65536});
    // The same content all over: what looks alike tells something, too.
    const Bytes content = random_bytes(4096);
    secret.fill(content);
    const std::uint64_t gpa = rule_.base_gpa + kFarAway;
    must(bounce_emulator_add_memory(guest.emulator(), gpa, secret.data(), secret.bytes()), "memory");
    const std::uint64_t address = gpa + rule_.to_address;
    const std::size_t faults = guest.faults().size();

    Bytes seen(8192);
    expect_status(guest.device().read(address, seen), rule_.reads == Private::kFault ? -EFAULT : 0, "a private page");
    if (rule_.reads == Private::kOpen)
        expect(seen == Bytes(secret.data(), secret.data() + seen.size()), "not so plain");
    if (rule_.reads == Private::kCiphertext) {
        expect(!shows(seen, content), "the device read private content");
        expect(!std::equal(seen.begin(), seen.begin() + 4096, seen.begin() + 4096), "ciphertext tells what is alike");
    }
    constexpr std::size_t kAt = 1000;
    const Bytes from = random_bytes(20);
    const Bytes before = secret.copy();
    expect_status(guest.device().write(address + kAt, from), rule_.writes == Private::kFault ? -EFAULT : 0,
                  "a write to a private page");
    (void)guest.stats();  // orders what the emulator wrote
    const Bytes after = secret.copy();
    const bool taken = std::equal(from.begin(), from.end(), after.begin() + kAt);
    if (rule_.writes == Private::kOpen) expect(taken, "the device's write was lost");
    if (rule_.writes == Private::kFault) expect(after == before, "a write that faulted changed private memory");
    if (rule_.writes == Private::kGarbage) {
        constexpr std::ptrdiff_t kFirst = kAt / 16 * 16;
        constexpr std::ptrdiff_t kEnd = (kAt + 20 + 15) / 16 * 16;
        expect(!taken && !std::equal(after.begin() + kFirst, after.begin() + kEnd, before.begin() + kFirst),
               "a write to ciphertext did not turn into garbage");
        expect(std::equal(after.begin(), after.begin() + kFirst, before.begin()) &&
                   std::equal(after.begin() + kEnd, after.end(), before.begin() + kEnd),
               "a write to ciphertext reached beyond its blocks");
    }
    const std::size_t wanted = (rule_.reads == Private::kFault ? 1u : 0u) + (rule_.writes == Private::kFault ? 1u : 0u);
    expect(guest.faults().size() == faults + wanted, "not every fault was reported, or what is none");
    expect(guest.stats().faults == guest.faults().size(), "faults were miscounted");
    must(bounce_emulator_remove_memory(guest.emulator(), gpa), "memory");
    expect_private_again(guest, pool);
}

void Runner::outside() {
    Guest guest(rule_);
    GuestPool pool = guest.open();
    const std::uint64_t first = rule_.base_gpa + rule_.to_address;
    const std::uint64_t end = first + Guest::kPoolBytes;
    Bytes some = random_bytes(64);
    std::size_t faults = 0;
    for (const std::uint64_t address : {std::uint64_t{0}, first - 64, end, end + kFarAway, ~std::uint64_t{0} - 64}) {
        expect_status(guest.device().read(address, some), -EFAULT, "a read outside of memory");
        expect_status(guest.device().write(address, some), -EFAULT, "a write outside of memory");
        faults += 2;
    }
    expect_status(guest.device().write(end - 32, some), -EFAULT, "a write across the end of the pool");
    expect(guest.faults().size() == faults + 1, "not every fault was reported");
    expect(guest.faults().back() == end, "a fault was reported with another address");
    // A device that faults is not the pool's trouble.
    Bytes mine = random_bytes(100);
    bounce_mapping mapping;
    must(bounce_device_map(pool.device, mine.data(), mine.size(), BOUNCE_TO_DEVICE, 0, &mapping), "map");
    Bytes seen(mine.size());
    expect_status(guest.device().read(mapping.addr, seen), 0, "the device reads after its faults");
    expect(seen == mine, "the device read another content than was mapped for it");
    expect_status(bounce_device_unmap(pool.device, &mapping, 0), 0, "unmap");
    expect_private_again(guest, pool);
}

}  // namespace bounce::conformance
