// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Streaming mappings: what may get through, in which direction, and how much.
#include <algorithm>
#include <cerrno>

#include "tests/conformance/runner.hpp"

namespace bounce::conformance {
namespace {

constexpr std::size_t kSizes[] = {1, 63, 64, 1500, 4096, 5000, 70000, 300000};

bool begins_with(const Bytes& all, const Bytes& part, std::size_t n) {
    return std::equal(part.begin(), part.begin() + static_cast<std::ptrdiff_t>(n), all.begin());
}

}  // namespace

void Runner::to_device() {
    Guest guest(rule_);
    GuestPool pool = guest.open();
    for (const std::size_t bytes : kSizes) {
        Bytes mine = random_bytes(bytes);
        const Bytes before = mine;
        bounce_mapping mapping;
        must(bounce_device_map(pool.device, mine.data(), bytes, BOUNCE_TO_DEVICE, 0, &mapping), "map");
        Bytes seen(bytes);
        expect_status(guest.device().read(mapping.addr, seen), 0, "the device reads what was mapped for it");
        expect(seen == before, "the device read another content than was mapped for it");
        // The slot is shared, so it can write; that must not come back.
        expect_status(guest.device().write(mapping.addr, random_bytes(bytes)), 0, "the device writes into the slot");
        expect_status(bounce_device_unmap(pool.device, &mapping, bytes), 0, "unmap");
        expect(mine == before, "what the device wrote into a to_device mapping came back");
    }
    expect(guest.faults().empty(), "an access that is allowed was reported");
    expect_private_again(guest, pool);
}

void Runner::from_device() {
    Guest guest(rule_);
    GuestPool pool = guest.open();
    constexpr std::size_t kBehind = 20000;
    for (const std::size_t bytes : kSizes) {
        // The buffer is a part of something larger.
        Bytes mine = random_bytes(bytes + kBehind);
        const Bytes before = mine;
        const Bytes from = random_bytes(bytes);
        for (const std::size_t written : {std::size_t{0}, bytes / 2, bytes, bytes + kBehind}) {
            mine = before;
            bounce_mapping mapping;
            must(bounce_device_map(pool.device, mine.data(), bytes, BOUNCE_FROM_DEVICE, 0, &mapping), "map");
            expect_status(guest.device().write(mapping.addr, from), 0, "the device writes what it is asked for");
            expect(mine == before, "the private buffer changed before it was unmapped");
            expect_status(bounce_device_unmap(pool.device, &mapping, written), 0, "unmap");
            const std::size_t copied = std::min(written, bytes);
            expect(begins_with(mine, from, copied), "what the device wrote did not come back");
            expect(std::equal(mine.begin() + static_cast<std::ptrdiff_t>(copied), mine.end(),
                              before.begin() + static_cast<std::ptrdiff_t>(copied)),
                   "more came back than the device wrote, or than was mapped");
        }
    }
    expect_private_again(guest, pool);
}

void Runner::bidirectional() {
    Guest guest(rule_);
    GuestPool pool = guest.open();
    constexpr std::size_t kBytes = 8000;
    constexpr std::size_t kAt = 1000;
    constexpr std::size_t kPart = 500;
    Bytes mine = random_bytes(kBytes);
    bounce_mapping mapping;
    must(bounce_device_map(pool.device, mine.data(), kBytes, BOUNCE_BIDIRECTIONAL, 0, &mapping), "map");
    Bytes seen(kBytes);
    expect_status(guest.device().read(mapping.addr, seen), 0, "the device reads");
    expect(seen == mine, "the device read another content than was mapped for it");
    // A part goes to the CPU, and another one back.
    const Bytes part = random_bytes(kPart);
    expect_status(guest.device().write(mapping.addr + kAt, part), 0, "the device writes a part");
    expect_status(bounce_device_sync_for_cpu(pool.device, &mapping, kAt, kPart, BOUNCE_BIDIRECTIONAL), 0, "sync");
    expect(std::equal(part.begin(), part.end(), mine.begin() + kAt), "a part that was synced did not come");
    std::fill_n(mine.begin() + 4000, kPart, std::byte{7});
    expect_status(bounce_device_sync_for_device(pool.device, &mapping, 4000, kPart, BOUNCE_BIDIRECTIONAL), 0, "sync");
    expect_status(guest.device().read(mapping.addr, seen), 0, "the device reads");
    expect(seen == mine, "the device did not get what was synced for it");
    expect_status(bounce_device_unmap(pool.device, &mapping, kBytes), 0, "unmap");
    expect_private_again(guest, pool);
}

void Runner::scatter() {
    Guest guest(rule_);
    GuestPool pool = guest.open();
    Bytes parts[] = {random_bytes(100), random_bytes(9000), random_bytes(64)};
    const Bytes before[] = {parts[0], parts[1], parts[2]};
    const Bytes from[] = {random_bytes(100), random_bytes(9000), random_bytes(64)};
    bounce_sg sg[3];
    for (std::size_t i = 0; i < 3; ++i) sg[i] = {parts[i].data(), parts[i].size(), 0, 0};
    bounce_mapping mappings[3];
    must(bounce_device_map_sg(pool.device, sg, 3, BOUNCE_BIDIRECTIONAL, 0, mappings), "map_sg");
    for (std::size_t i = 0; i < 3; ++i) {
        Bytes seen(parts[i].size());
        expect_status(guest.device().read(mappings[i].addr, seen), 0, "the device reads a segment");
        expect(seen == before[i], "the device read another content than was mapped for it");
        expect_status(guest.device().write(mappings[i].addr, from[i]), 0, "the device writes a segment");
    }
    constexpr std::size_t kWritten = 100 + 50;
    expect_status(bounce_device_unmap_sg(pool.device, mappings, 3, kWritten), 0, "unmap_sg");
    expect(parts[0] == from[0] && begins_with(parts[1], from[1], 50), "what the device wrote did not come back");
    expect(parts[2] == before[2] && std::equal(parts[1].begin() + 50, parts[1].end(), before[1].begin() + 50),
           "more came back than the device wrote");
    expect_private_again(guest, pool);
}

void Runner::stale_token() {
    Guest guest(rule_);
    GuestPool pool = guest.open();
    Bytes mine(2000, std::byte{1});
    Bytes other(2000, std::byte{2});
    bounce_mapping mapping;
    must(bounce_device_map(pool.device, mine.data(), mine.size(), BOUNCE_FROM_DEVICE, 0, &mapping), "map");
    bounce_mapping copy = mapping;
    must(bounce_device_unmap(pool.device, &mapping, 0), "unmap");
    expect(bounce_device_unmap(pool.device, &copy, mine.size()) < 0, "a mapping was ended twice");
    // The slot's next holder must not lose it to a token of before.
    bounce_mapping next;
    must(bounce_device_map(pool.device, other.data(), other.size(), BOUNCE_FROM_DEVICE, 0, &next), "map");
    expect(next.addr == mapping.addr, "the slot was not reused, so this says nothing");
    expect(bounce_device_unmap(pool.device, &copy, mine.size()) < 0, "a token of before ended a mapping of now");
    expect(mine == Bytes(2000, std::byte{1}), "a token of before copied something back");
    const Bytes from = random_bytes(2000);
    expect_status(guest.device().write(next.addr, from), 0, "the device writes");
    expect_status(bounce_device_unmap(pool.device, &next, other.size()), 0, "unmap");
    expect(other == from, "what the device wrote did not come back");
    expect_private_again(guest, pool);
}

void Runner::masks() {
    Guest guest(rule_);
    const std::uint64_t first = rule_.base_gpa + rule_.to_address;
    const std::uint64_t last = first + Guest::kPoolBytes - 1;
    bounce_device_options options = guest.device_options();
    options.dma_mask = options.coherent_dma_mask = last;
    GuestPool pool = guest.open(guest.pool_options(), options);
    const auto above = guest.region_options(rule_.base_gpa + 4 * Guest::kPoolBytes, Guest::kPoolBytes);
    must(bounce_pool_add_region(pool.pool, &above), "region");

    // A device with the mask fills what is below it and gets nothing else.
    constexpr std::size_t kBytes = 128 * 1024;
    Bytes mine(kBytes);
    std::vector<bounce_mapping> mappings;
    for (bounce_mapping mapping;
         bounce_device_map(pool.device, mine.data(), kBytes, BOUNCE_TO_DEVICE, 0, &mapping) == 0;)
        mappings.push_back(mapping);
    expect(!mappings.empty(), "nothing could be mapped below the mask");
    for (bounce_mapping& mapping : mappings) {
        expect(mapping.addr <= last && kBytes - 1 <= last - mapping.addr, "a mapping is above the device's mask");
        expect_status(bounce_device_unmap(pool.device, &mapping, 0), 0, "unmap");
    }
    bounce_block block;
    must(bounce_coherent_alloc(pool.device, 100, 0, &block), "coherent");
    expect(block.addr + 99 <= last, "coherent memory is above the device's mask");
    must(bounce_coherent_free(pool.device, &block), "coherent");

    // One whose mask ends before the pool begins gets nothing at all.
    options.dma_mask = options.coherent_dma_mask = first - 1;
    bounce_device* low = nullptr;
    must(bounce_device_create(pool.pool, &options, &low), "device");
    bounce_mapping none;
    expect_status(bounce_device_map(low, mine.data(), 100, BOUNCE_TO_DEVICE, 0, &none), -ERANGE, "map below the mask");
    if (none.bytes != 0) (void)bounce_device_unmap(low, &none, 0);
    expect_status(bounce_coherent_alloc(low, 100, 0, &block), -ERANGE, "coherent below the mask");
    if (block.bytes != 0) (void)bounce_coherent_free(low, &block);
    expect_status(bounce_device_destroy(low), 0, "device");
    expect_private_again(guest, pool);
}

}  // namespace bounce::conformance
