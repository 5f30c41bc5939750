// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a device may have, and what it leaves: its boundary, its ceiling, its scrubbing, and quarantine.
#include <algorithm>
#include <cerrno>
#include <set>

#include "bounce/quarantine.h"
#include "bounce/quota.h"
#include "bounce/streaming.h"
#include "tests/conformance/runner.hpp"

namespace bounce::conformance {

void Runner::boundary() {
    constexpr std::uint64_t kBoundary = 8192;
    constexpr std::size_t kBytes = 5000;
    Guest guest(rule_);
    bounce_device_options options = guest.device_options();
    options.segment_boundary = kBoundary;
    GuestPool pool = guest.open(guest.pool_options(), options);
    std::vector<Bytes> mine;
    std::vector<bounce_mapping> mappings(64);
    for (bounce_mapping& mapping : mappings) {
        mine.push_back(random_bytes(kBytes));
        must(bounce_device_map(pool.device, mine.back().data(), kBytes, BOUNCE_TO_DEVICE, 0, &mapping), "map");
        expect(mapping.addr / kBoundary == (mapping.addr + kBytes - 1) / kBoundary,
               "a mapping crosses the device's boundary");
        Bytes seen(kBytes);
        expect_status(guest.device().read(mapping.addr, seen), 0, "the device reads what was mapped for it");
        expect(seen == mine.back(), "the device read another content than was mapped for it");
    }
    for (bounce_mapping& mapping : mappings) expect_status(bounce_device_unmap(pool.device, &mapping, 0), 0, "unmap");
    bounce_mapping never;
    Bytes long_one(kBoundary + 1);
    expect_status(bounce_device_map(pool.device, long_one.data(), long_one.size(), BOUNCE_TO_DEVICE, 0, &never), -EDOM,
                  "a mapping that is longer than the boundary");
    expect_private_again(guest, pool);
}

void Runner::ceiling() {
    constexpr std::uint64_t kCeiling = 256 << 10;
    Guest guest(rule_);
    GuestPool pool = guest.open();
    must(bounce_device_set_quota(pool.device, 0, kCeiling), "quota");
    Bytes mine = random_bytes(4096);
    std::vector<bounce_mapping> mappings(kCeiling / 4096);
    for (bounce_mapping& mapping : mappings)
        must(bounce_device_map(pool.device, mine.data(), mine.size(), BOUNCE_TO_DEVICE, 0, &mapping), "map");
    bounce_mapping more;
    expect_status(bounce_device_map(pool.device, mine.data(), mine.size(), BOUNCE_TO_DEVICE, 0, &more), -EDQUOT,
                  "a mapping beyond the ceiling");
    for (bounce_mapping& mapping : mappings) expect_status(bounce_device_unmap(pool.device, &mapping, 0), 0, "unmap");
    expect_private_again(guest, pool);
}

// A slot that the device wrote, and another device's bytes, are not there for the next one to read.
void Runner::scrubbing() {
    Guest guest(rule_);
    bounce_device_options options = guest.device_options();
    options.scrub_at_map = BOUNCE_SCRUB_ALL;
    GuestPool pool = guest.open(guest.pool_options(), options);
    std::set<std::uint64_t> before;
    bool reused = false;
    for (int round = 0; round < 8; ++round) {
        Bytes secret = random_bytes(1500);
        bounce_mapping mapping;
        must(bounce_device_map(pool.device, secret.data(), secret.size(), BOUNCE_TO_DEVICE, 0, &mapping), "map");
        before.insert(mapping.addr);
        must(bounce_device_unmap(pool.device, &mapping, 0), "unmap");
        Bytes mine(1500);
        must(bounce_device_map(pool.device, mine.data(), mine.size(), BOUNCE_FROM_DEVICE, 0, &mapping), "map");
        reused = reused || before.count(mapping.addr) != 0;
        Bytes seen(1500);
        expect_status(guest.device().read(mapping.addr, seen), 0, "the device reads a slot that it is to write");
        expect(seen == Bytes(1500), "a slot shows what was mapped in it before");
        must(bounce_device_unmap(pool.device, &mapping, 0), "unmap");
    }
    expect(reused, "no slot was reused, so this says nothing of its content");
    expect_private_again(guest, pool);
}

// What an unreset device may still write is nobody else's.
void Runner::quarantine() {
    Guest guest(rule_);
    GuestPool pool = guest.open();
    const bounce_device_options options = guest.device_options();
    bounce_device* other = nullptr;
    must(bounce_device_create(pool.pool, &options, &other), "device");
    std::set<std::uint64_t> held;
    std::vector<bounce_mapping> mappings(32);
    Bytes mine = random_bytes(1500);
    for (bounce_mapping& mapping : mappings) {
        must(bounce_device_map(pool.device, mine.data(), mine.size(), BOUNCE_FROM_DEVICE, 0, &mapping), "map");
        held.insert(mapping.addr);
    }
    must(bounce_device_quarantine(pool.device), "quarantine");
    for (bounce_mapping& mapping : mappings)
        expect_status(bounce_device_unmap(pool.device, &mapping, 0), 0, "unmap in quarantine");
    bounce_mapping refused;
    expect_status(bounce_device_map(pool.device, mine.data(), mine.size(), BOUNCE_FROM_DEVICE, 0, &refused), -EPROTO,
                  "a mapping of a device in quarantine");
    // All that is left of the pool, and none of it is what the device may write.
    std::vector<bounce_mapping> theirs;
    for (;;) {
        bounce_mapping mapping;
        if (bounce_device_map(other, mine.data(), mine.size(), BOUNCE_TO_DEVICE, 0, &mapping) != 0) break;
        expect(held.count(mapping.addr) == 0, "a slot in quarantine was handed out");
        theirs.push_back(mapping);
    }
    for (const std::uint64_t address : held)
        expect_status(guest.device().write(address, random_bytes(1500)), 0, "the device goes on writing");
    for (bounce_mapping& mapping : theirs) {
        Bytes seen(mine.size());
        if (&mapping == &theirs.front() || &mapping == &theirs.back()) {
            expect_status(guest.device().read(mapping.addr, seen), 0, "the other device reads");
            expect(seen == mine, "what a device in quarantine writes is in the slot of another");
        }
        expect_status(bounce_device_unmap(other, &mapping, 0), 0, "unmap");
    }
    expect_status(bounce_device_release(pool.device), static_cast<int>(mappings.size()), "what was held back");
    must(bounce_device_map(pool.device, mine.data(), mine.size(), BOUNCE_FROM_DEVICE, 0, &refused), "map");
    must(bounce_device_unmap(pool.device, &refused, 0), "unmap");
    must(bounce_device_destroy(other), "device");
    expect_private_again(guest, pool);
}

}  // namespace bounce::conformance
