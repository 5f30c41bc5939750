// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Memory that changes hands: what is in it then, that it comes back, and conversions that fail.
#include <time.h>

#include <algorithm>
#include <cerrno>

#include "tests/conformance/private_pages.hpp"
#include "tests/conformance/runner.hpp"

namespace bounce::conformance {
namespace {

bool all_zero(const std::byte* data, std::size_t bytes) {
    return std::all_of(data, data + bytes, [](std::byte one) { return one == std::byte{0}; });
}

bounce_failure failure_of(bounce_conversion conversion, std::uint64_t gpa, std::uint64_t bytes) {
    bounce_failure failure{};
    failure.size = sizeof failure;
    failure.conversion = static_cast<std::uint32_t>(conversion);
    failure.gpa = gpa;
    failure.bytes = bytes;
    return failure;
}

bounce_region_info info_of(const GuestPool& pool, std::uint32_t region) {
    bounce_region_info info;
    must(bounce_pool_region(pool.pool, region, &info), "region");
    return info;
}

/// Maps until the pool is full; every mapping is from_device.
std::vector<bounce_mapping> fill(const GuestPool& pool, Bytes& buffer) {
    std::vector<bounce_mapping> mappings;
    for (bounce_mapping mapping;
         bounce_device_map(pool.device, buffer.data(), buffer.size(), BOUNCE_FROM_DEVICE, 0, &mapping) == 0;)
        mappings.push_back(mapping);
    return mappings;
}

void drain(const GuestPool& pool, std::vector<bounce_mapping>& mappings) {
    for (bounce_mapping& mapping : mappings) must(bounce_device_unmap(pool.device, &mapping, 0), "unmap");
    mappings.clear();
}

}  // namespace

// The emulator itself is as the table says: only so does it show what the library forgets.
void Runner::content() {
    Guest guest(rule_);
    const bounce_platform platform = guest.platform();
    PrivatePages pages(65536);
    const Bytes before = random_bytes(pages.bytes());
    const Bytes zeros(pages.bytes());
    bounce_range range{rule_.base_gpa, 0, pages.data(), pages.bytes()};
    for (const bool sharing : {true, false}) {
        pages.fill(before);
        const auto convert = sharing ? platform.share : platform.unshare;
        expect_status(convert(platform.user, &range, &platform.audience), 0, "conversion");
        const Bytes after = pages.copy();
        if (rule_.content == Content::kKept) expect(after == before, "content was not kept");
        if (rule_.content == Content::kZeroed) expect(after == zeros, "content was not zeroed");
        if (rule_.content == Content::kGarbled)
            expect(after != before && after != zeros && !shows(after, before), "content was not garbled");
    }
}

void Runner::secrets() {
    Guest guest(rule_);
    PrivatePages pages(Guest::kPoolBytes);
    pages.fill(random_bytes(65536));
    bounce_pool_options options = guest.pool_options();
    options.region.hva = pages.data();
    GuestPool pool = guest.open(options, guest.device_options());
    const std::uint64_t first = rule_.base_gpa + rule_.to_address;
    std::uint64_t nonzero = 0;
    expect_status(guest.device().scan(first, pages.bytes(), nonzero), 0, "the device reads all of the pool");
    expect(nonzero == 0, "the device sees " + std::to_string(nonzero) + " bytes that nobody put into the pool");

    // What it leaves there is not ours afterwards.
    const Bytes junk = random_bytes(DeviceProcess::kMostBytes);
    for (std::uint64_t at = 0; at < pages.bytes(); at += 16 * junk.size())
        expect_status(guest.device().write(first + at, junk), 0, "the device writes into the pool");
    expect_private_again(guest, pool);
    expect(all_zero(pages.data(), pages.bytes()), "something of the device's, or a secret, came back with the memory");
    expect_private(guest, first, 64, "what was the pool's");
}

void Runner::unsharing() {
    Guest guest(rule_);
    GuestPool pool = guest.open();
    const std::uint64_t gpa = rule_.base_gpa + 2 * Guest::kPoolBytes;
    const auto second = guest.region_options(gpa, Guest::kPoolBytes);
    must(bounce_pool_add_region(pool.pool, &second), "region");
    expect(guest.stats().shared_bytes == 2 * Guest::kPoolBytes, "not all of the pool is shared");
    Bytes mine(65536);
    auto mappings = fill(pool, mine);
    for (const bounce_mapping& mapping : mappings)
        expect_status(guest.device().write(mapping.addr, random_bytes(256)), 0, "the device writes into a slot");
    drain(pool, mappings);
    must(bounce_pool_drain_region(pool.pool, 1), "drain");
    must(bounce_pool_remove_region(pool.pool, 1), "remove");
    expect(guest.stats().shared_bytes == Guest::kPoolBytes, "a region that is gone is still shared");
    expect_private(guest, gpa + rule_.to_address, 64, "a region that is gone");
    // The other one is as it was.
    mappings = fill(pool, mine);
    expect(!mappings.empty(), "nothing can be mapped any more");
    for (const bounce_mapping& mapping : mappings)
        expect_status(guest.device().write(mapping.addr, random_bytes(256)), 0, "the device writes into a slot");
    drain(pool, mappings);
    expect_private_again(guest, pool);
}

void Runner::growth() {
    Guest guest(rule_);
    bounce_pool_options options = guest.pool_options();
    options.limit_bytes = 4 * Guest::kPoolBytes;
    options.flags = BOUNCE_POOL_INLINE_GROWTH;
    options.shrink_delay_ms = 1;
    options.low_watermark = 65536;
    options.high_watermark = Guest::kPoolBytes;
    GuestPool pool = guest.open(options, guest.device_options());
    Bytes mine = random_bytes(200000);
    std::vector<bounce_mapping> mappings;
    for (bounce_mapping mapping;
         bounce_device_map(pool.device, mine.data(), mine.size(), BOUNCE_TO_DEVICE, 0, &mapping) == 0;)
        mappings.push_back(mapping);
    expect(guest.stats().shared_bytes > Guest::kPoolBytes, "the pool did not grow");
    // Whatever was handed out is shared, and holds what was mapped and nothing else.
    for (const bounce_mapping& mapping : mappings) {
        Bytes seen(mine.size());
        expect_status(guest.device().read(mapping.addr, seen), 0, "the device reads what was mapped for it");
        expect(seen == mine, "the device read another content than was mapped for it");
    }
    drain(pool, mappings);
    for (int i = 0; i < 1000 && guest.stats().shared_bytes != Guest::kPoolBytes; ++i) {
        must(bounce_pool_service(pool.pool), "service");
        const timespec little{0, 2'000'000};
        ::nanosleep(&little, nullptr);
    }
    expect(guest.stats().shared_bytes == Guest::kPoolBytes, "the pool shrank and is still shared");
    expect_private_again(guest, pool);
}

void Runner::failing_share() {
    Guest guest(rule_);
    const std::uint64_t refused = rule_.base_gpa + Guest::kChunk;
    const bounce_failure failure = failure_of(BOUNCE_SHARE, refused, Guest::kChunk);
    must(bounce_emulator_fail(guest.emulator(), &failure), "fail");
    GuestPool pool = guest.open();
    expect(info_of(pool, 0).refused_bytes == Guest::kChunk, "a chunk that could not be shared was not counted");
    Bytes mine(4096);
    auto mappings = fill(pool, mine);
    expect(!mappings.empty(), "the chunk that could be shared is not used");
    for (const bounce_mapping& mapping : mappings)
        expect(pool.gpa_of(mapping.addr) + mine.size() <= refused, "a chunk that could not be shared is used");
    drain(pool, mappings);
    expect_private_again(guest, pool);

    bounce_failure all = failure_of(BOUNCE_SHARE, 0, 0);
    all.error = ENXIO;
    must(bounce_emulator_fail(guest.emulator(), &all), "fail");
    const bounce_platform platform = guest.platform();
    const bounce_pool_options options = guest.pool_options();
    bounce_pool* none = nullptr;
    expect_status(bounce_pool_create_on(&platform, &options, &none), -ENXIO, "a pool of which nothing is shared");
    if (none != nullptr) (void)bounce_pool_destroy(none);
    // The second conversion alone.
    bounce_failure second = failure_of(BOUNCE_SHARE, 0, 0);
    second.nth = 2;
    must(bounce_emulator_fail(guest.emulator(), &second), "fail");
    GuestPool again = guest.open();
    expect(info_of(again, 0).refused_bytes == Guest::kChunk, "a chunk that could not be shared was not counted");
    expect_private_again(guest, again);
}

void Runner::failing_halfway() {
    Guest guest(rule_);
    const std::uint64_t refused = rule_.base_gpa + Guest::kChunk;
    bounce_failure failure = failure_of(BOUNCE_SHARE, refused, Guest::kChunk);
    failure.flags = BOUNCE_FAIL_HALFWAY;
    must(bounce_emulator_fail(guest.emulator(), &failure), "fail");
    GuestPool pool = guest.open();
    auto* const lost = static_cast<std::byte*>(info_of(pool, 0).hva) + Guest::kChunk;
    Bytes mine(4096);
    auto mappings = fill(pool, mine);
    for (const bounce_mapping& mapping : mappings)
        expect(pool.gpa_of(mapping.addr) + mine.size() <= refused, "a chunk that is half shared is used");
    drain(pool, mappings);
    expect_private_again(guest, pool, Guest::kChunk / 2);
    // It stays mapped: were the pages given back, somebody else's secrets would be shared.
    expect(::msync(lost, Guest::kChunk, MS_ASYNC) == 0, "a chunk that is half shared was given back to the kernel");
}

void Runner::failing_unshare() {
    Guest guest(rule_);
    GuestPool pool = guest.open();
    const std::uint64_t gpa = rule_.base_gpa + 2 * Guest::kPoolBytes;
    const auto second = guest.region_options(gpa, Guest::kPoolBytes);
    must(bounce_pool_add_region(pool.pool, &second), "region");
    Bytes mine(16384);
    auto mappings = fill(pool, mine);
    for (const bounce_mapping& mapping : mappings)
        expect_status(guest.device().write(mapping.addr, random_bytes(256)), 0, "the device writes into a slot");
    drain(pool, mappings);
    const bounce_failure failure = failure_of(BOUNCE_UNSHARE, gpa, Guest::kChunk);
    must(bounce_emulator_fail(guest.emulator(), &failure), "fail");
    must(bounce_pool_drain_region(pool.pool, 1), "drain");
    expect_status(bounce_pool_remove_region(pool.pool, 1), -EIO, "removing what cannot be unshared");
    must(bounce_emulator_fail(guest.emulator(), nullptr), "fail");
    const bounce_region_info info = info_of(pool, 1);
    expect(info.state == BOUNCE_REGION_REMOVED && info.refused_bytes == Guest::kChunk, "the loss was not counted");
    if (rule_.model != BOUNCE_EMULATED_IOMMU && rule_.model != BOUNCE_EMULATED_S390_ZPCI) {
        std::uint64_t nonzero = 0;
        expect_status(guest.device().scan(gpa + rule_.to_address, Guest::kChunk, nonzero), 0, "what stays shared");
        expect(nonzero == 0, "something is left in what stays shared for ever");
    }
    // The region comes back without what is lost.
    must(bounce_pool_add_region(pool.pool, &second), "region");
    mappings = fill(pool, mine);
    bool used = false;
    for (const bounce_mapping& mapping : mappings) {
        const std::uint64_t at = pool.gpa_of(mapping.addr);
        expect(at + mine.size() <= gpa || at >= gpa + Guest::kChunk, "what could not be unshared is used again");
        used = used || at >= gpa + Guest::kChunk;
        expect_status(guest.device().write(mapping.addr, random_bytes(16)), 0, "the device writes into a slot");
    }
    expect(used, "the rest of the region is not used again");
    drain(pool, mappings);
    expect_private_again(guest, pool, Guest::kChunk);
}

void Runner::failing_iommu() {
    if (rule_.model != BOUNCE_EMULATED_IOMMU && rule_.model != BOUNCE_EMULATED_S390_ZPCI) return;
    Guest guest(rule_);
    const std::uint64_t refused = rule_.base_gpa + Guest::kChunk;
    const bounce_failure failure = failure_of(BOUNCE_IOMMU_MAP, refused, Guest::kChunk);
    must(bounce_emulator_fail(guest.emulator(), &failure), "fail");
    GuestPool pool = guest.open();
    bounce_emulator_stats stats = guest.stats();
    expect(stats.shared_bytes == Guest::kChunk && stats.mapped_bytes == Guest::kChunk,
           "what could not be mapped stays shared");
    Bytes mine(4096);
    auto mappings = fill(pool, mine);
    for (const bounce_mapping& mapping : mappings)
        expect(pool.gpa_of(mapping.addr) + mine.size() <= refused, "a chunk that could not be mapped is used");
    drain(pool, mappings);
    expect_private_again(guest, pool);

    // Who cannot be taken out of the tables is seen for ever: not one byte of it becomes private.
    const bounce_failure stuck = failure_of(BOUNCE_IOMMU_UNMAP, rule_.base_gpa, Guest::kChunk);
    must(bounce_emulator_fail(guest.emulator(), nullptr), "fail");
    must(bounce_emulator_fail(guest.emulator(), &stuck), "fail");
    GuestPool again = guest.open();
    expect_private_again(guest, again, Guest::kChunk);
}

void Runner::granules() {
    Guest guest(rule_);
    bounce_pool_options options = guest.pool_options();
    const bounce_platform platform = guest.platform();
    bounce_pool* pool = nullptr;
    options.region.bytes = 65536 + 4096;
    const bool fits = rule_.conversion == 4096;
    expect_status(bounce_pool_create_on(&platform, &options, &pool), fits ? 0 : -EINVAL, "a region off the granule");
    expect(guest.stats().shared_bytes == (fits ? options.region.bytes : 0), "another size is shared than was made");
    if (pool != nullptr) expect_status(bounce_pool_destroy(pool), 0, "pool");
    options.region.bytes = 2 * std::uint64_t{65536};
    options.region.base_gpa += 65536;
    GuestPool good = guest.open(options, guest.device_options());
    expect(guest.stats().shared_bytes == options.region.bytes, "another size is shared than was made");
    expect_private_again(guest, good);
}

void Runner::audiences() {
    const bounce_audience one{BOUNCE_AUDIENCE_DOMAIN, 0, 1};
    const bounce_audience two{BOUNCE_AUDIENCE_PROCESS, 0, 2};
    Guest guest(rule_, {one, two});
    bounce_pool_options options = guest.pool_options();
    GuestPool of_one = guest.open(options, guest.device_options(), one);
    options.region.base_gpa = rule_.base_gpa + 4 * Guest::kPoolBytes;
    GuestPool of_two = guest.open(options, guest.device_options(), two);
    options.region.base_gpa = rule_.base_gpa + 8 * Guest::kPoolBytes;
    GuestPool of_all = guest.open(options, guest.device_options());

    Bytes mine = random_bytes(500);
    const struct {
        GuestPool& pool;
        bool seen[2];
    } sights[] = {{of_one, {true, false}}, {of_two, {false, true}}, {of_all, {true, true}}};
    std::size_t faults = 0;
    for (const auto& sight : sights) {
        bounce_mapping mapping;
        must(bounce_device_map(sight.pool.device, mine.data(), mine.size(), BOUNCE_TO_DEVICE, 0, &mapping), "map");
        for (std::size_t i = 0; i < 2; ++i) {
            Bytes seen(mine.size());
            expect_status(guest.device(i).read(mapping.addr, seen), sight.seen[i] ? 0 : -EFAULT, "somebody's memory");
            expect(!sight.seen[i] || seen == mine, "the device read another content than was mapped for it");
            faults += sight.seen[i] ? 0 : 1;
        }
        must(bounce_device_unmap(sight.pool.device, &mapping, 0), "unmap");
    }
    expect(guest.faults().size() == faults, "not every fault was reported");
    expect_status(of_one.close(), 0, "pool");
    expect_status(of_two.close(), 0, "pool");
    expect_private_again(guest, of_all);
}

}  // namespace bounce::conformance
