// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The DMA API against a reference model: random streams of everything that it can do, a device that writes random bytes
// to whatever it was given, and callers who get it wrong. After every step data, errors and accounts are what the model
// says; a difference is told with seed and step, which give it again.
//
// BOUNCE_MODEL_OPS: operations per seed. BOUNCE_MODEL_SEED: one seed instead of three.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "tests/stress/dma_model.hpp"

namespace bounce::model {
namespace {

constexpr std::uint64_t kBase = std::uint64_t{1} << 32;
constexpr std::uint64_t kFirst = 8u << 20;
constexpr std::uint64_t kLimit = 40u << 20;
constexpr std::uint64_t kAside = std::uint64_t{3} << 32;  // of a region that comes and goes by hand
constexpr std::uint64_t kMostPayload = kFirst / 4;        // mapped at a time, as a rule

class Run {
public:
    Run(std::uint64_t seed, std::uint64_t operations) : seed_(seed), operations_(operations), random_(seed) {
        bounce_pool_options options{};
        options.size = sizeof options;
        options.region.size = sizeof options.region;
        options.region.bytes = kFirst;
        options.region.base_gpa = kBase;
        options.limit_bytes = kLimit;
        options.shrink_delay_ms = 1;
        check(bounce_pool_create(&options, &pool_) == 0, "pool");
        add({});
        add({.min_align_mask = 511});
        add({.boundary = 8192, .max_segment = 6000});
        add({.min_align_mask = 4095, .boundary = 65536, .scrubbed = true});
    }
    ~Run() {
        for (bounce_device* device : devices_) bounce_device_destroy(device);
        bounce_pool_destroy(pool_);
    }
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;

    void all() {
        for (step_ = 0; step_ < operations_; ++step_) {
            one();
            if (step_ % 16 == 0) check_accounts();
        }
        while (!mapped_.empty()) end(mapped_.size() - 1);
        while (!blocks_.empty()) free_block(blocks_.size() - 1);
        for (std::size_t d = 0; d < devices_.size(); ++d) release(d);
        check_accounts();
        check(accounts_.payload == 0 && stats().used_bytes == 0 && stats().slots == 0, "something is left");
        std::printf(
            "seed %llu: %llu operations, %llu mappings, %llu found the pool full, %llu regions came, %llu went\n",
            ull(seed_), ull(operations_), ull(accounts_.maps), ull(accounts_.full), ull(stats().grows),
            ull(stats().shrinks));
    }

private:
    static unsigned long long ull(std::uint64_t value) { return value; }
    std::uint64_t below(std::uint64_t n) { return random_() % n; }
    void add(const Limits& limits) {
        bounce_device_options options{};
        options.size = sizeof options;
        options.min_align_mask = limits.min_align_mask;
        options.segment_boundary = limits.boundary;
        options.max_segment_bytes = limits.max_segment == ~std::uint64_t{0} ? 0 : limits.max_segment;
        options.scrub_at_map = limits.scrubbed ? BOUNCE_SCRUB_ALL : BOUNCE_SCRUB_NONE;
        options.scrub_at_unmap = limits.scrubbed ? BOUNCE_SCRUB_TAIL : BOUNCE_SCRUB_NONE;
        bounce_device* device = nullptr;
        check(bounce_device_create(pool_, &options, &device) == 0, "device");
        devices_.push_back(device);
        limits_.push_back(limits);
        held_.push_back(kNotHeld);
    }
    void check(bool good, const char* what) {
        if (good) return;
        char text[500];
        std::snprintf(text, sizeof text, "seed %llu, step %llu, %s: %s (last error: %s)", ull(seed_), ull(step_),
                      operation_, what, bounce_last_error());
        throw std::runtime_error(text);
    }
    void expect(int got, int code) {
        char text[100];
        std::snprintf(text, sizeof text, "returned %d, the model says %d", got, -code);
        check(code == 0 ? got >= 0 : got == -code, text);
    }
    bounce_pool_stats stats() {
        bounce_pool_stats stats;
        check(bounce_pool_get_stats(pool_, &stats) == 0, "stats");
        return stats;
    }
    std::uint8_t* seen(std::uint64_t gpa, std::uint64_t bytes) {
        void* hva = nullptr;
        check(bounce_pool_gpa_to_hva(pool_, gpa, bytes, &hva) == 0, "the device's address is not in the pool");
        return static_cast<std::uint8_t*>(hva);
    }
    std::size_t size() {
        switch (below(10)) {
            case 0: return 1 + below(64);
            case 1: return 4096 * (1 + below(4));
            case 2: return 1 + below(100000);
            case 3: return 1 + below(20000);
            default: return 1 + below(2000);
        }
    }

    void check_accounts() {
        operation_ = "accounts";
        const bounce_pool_stats now = stats();
        check(now.mappings == accounts_.mappings, "mappings");
        check(now.coherent == accounts_.coherent && now.buffers == accounts_.buffers, "blocks");
        check(now.slots == accounts_.mappings + accounts_.coherent + accounts_.buffers, "slots");
        check(now.quarantined == accounts_.quarantined, "quarantined");
        check(now.maps == accounts_.maps, "mappings ever made");
        check(now.full == accounts_.full, "times full");
        check(now.used_bytes >= accounts_.payload, "fewer bytes used than are mapped");
        // A slot wastes a part of itself, and what alignment and boundary ask for; a run less than a page.
        check(now.used_bytes <= accounts_.payload * 2 + now.slots * 8192, "more bytes used than that can take");
        check(now.used_bytes + now.quarantined_bytes <= now.bytes, "more than there is");
    }

    // May the pool refuse this? Below a quarter of the first region, what fits into a few pages must always fit.
    void refused(int got, std::uint64_t bytes) {
        expect(got, ENOSPC);
        ++accounts_.full;
        const std::uint64_t out = stats().used_bytes + stats().quarantined_bytes;
        check(out + bytes > kFirst / 2 || bytes > 64u << 10, "the pool is not so full");
    }

    Mapped make(std::size_t pieces) {
        Mapped made;
        made.device = below(devices_.size());
        made.direction = static_cast<int>(below(3));
        const std::uint64_t flags = below(8);
        made.flags = flags == 0 ? BOUNCE_MAP_SKIP_SYNC : flags == 1 ? BOUNCE_MAP_PRESERVE : 0;
        if (below(4) == 0) made.flags |= BOUNCE_MAP_NO_WARN;
        for (std::size_t i = 0; i < pieces; ++i) {
            const std::size_t bytes = pieces == 1 ? size() : 1 + below(3000);
            const std::size_t shift = below(4096);
            made.sizes.push_back(bytes);
            made.storage.emplace_back(new std::uint8_t[bytes + shift]);
            made.buffers.push_back(made.storage.back().get() + shift);
            Bytes content(bytes);
            for (auto& byte : content) byte = static_cast<std::uint8_t>(random_());
            std::memcpy(made.buffers.back(), content.data(), bytes);
            made.privately.push_back(std::move(content));
        }
        made.side = Side(made.total(), limits_[made.device].scrubbed);
        if (copies_in(made.direction, made.flags)) made.to_device(0, made.total());
        return made;
    }
    void keep(Mapped&& made, std::uint64_t slots) {
        accounts_.maps += slots;
        accounts_.mappings += slots;
        accounts_.payload += made.total();
        check_device(made);
        mapped_.push_back(std::move(made));
    }
    std::uint64_t address(const Mapped& made, std::size_t i) const {
        return reinterpret_cast<std::uintptr_t>(made.buffers[i]);
    }

    void map() {
        operation_ = "map";
        Mapped made = make(1);
        made.tokens.resize(1);
        const Limits& limits = limits_[made.device];
        int code = limits.refusal(address(made, 0), made.sizes[0]);
        if (code == 0 && held_[made.device] != kNotHeld) code = EPROTO;
        const std::uint64_t align = std::uint64_t{1} << below(14);
        const bool with = below(4) == 0;
        const bounce_map_options options{sizeof options, with ? align : 0, made.flags, 0};
        const int got = with ? bounce_device_map_with(devices_[made.device], made.buffers[0], made.sizes[0],
                                                      made.direction, &options, made.tokens.data())
                             : bounce_device_map(devices_[made.device], made.buffers[0], made.sizes[0], made.direction,
                                                 made.flags, made.tokens.data());
        if (got == -ENOSPC && code == 0) return refused(got, made.sizes[0] + 4096);
        expect(got, code);
        if (code != 0) return;
        const bounce_mapping& token = made.tokens[0];
        check(limits.kept_by(token.addr, token.bytes, address(made, 0)), "the device's limits are not kept");
        if (with)
            check((token.addr - (address(made, 0) & limits.min_align_mask)) % align == 0, "the alignment is not kept");
        made.segments = {{token.addr, token.bytes}};
        keep(std::move(made), 1);
    }
    void map_sg() {
        operation_ = "map_sg";
        Mapped made = make(1 + below(12));
        made.kind = Mapped::Kind::kSg;
        made.tokens.resize(made.sizes.size());
        std::vector<bounce_sg> sg;
        int code = 0;
        for (std::size_t i = 0; i < made.sizes.size(); ++i) {
            sg.push_back({made.buffers[i], made.sizes[i], 0, 0});
            if (code == 0) code = limits_[made.device].refusal(address(made, i), made.sizes[i]);
        }
        const bool held = held_[made.device] != kNotHeld;
        const int got = bounce_device_map_sg(devices_[made.device], sg.data(), sg.size(), made.direction, made.flags,
                                             made.tokens.data());
        if (held) return check(got == -EPROTO || got == -EDOM || got == -E2BIG, "a device in quarantine was served");
        if (got == -ENOSPC && code == 0) return refused(got, made.total() + made.sizes.size() * 4096);
        if (code != 0) {
            // The pieces before the one that is refused were made and taken back: those are counted.
            accounts_.maps = stats().maps;
        }
        expect(got, code);
        if (code != 0) return;
        for (std::size_t i = 0; i < sg.size(); ++i) {
            made.segments.push_back({made.tokens[i].addr, made.tokens[i].bytes});
            check(limits_[made.device].kept_by(made.tokens[i].addr, made.sizes[i], address(made, i)), "limits");
        }
        keep(std::move(made), sg.size());
    }
    void map_list() {
        operation_ = "map_list";
        Mapped made = make(1 + below(8));
        made.kind = Mapped::Kind::kList;
        std::vector<bounce_sg> sg;
        for (std::size_t i = 0; i < made.sizes.size(); ++i) sg.push_back({made.buffers[i], made.sizes[i], 0, 0});
        const std::size_t most = 1 + below(64);
        made.tokens.resize(sg.size() + most);
        made.segments.resize(most);
        made.list = {sizeof(bounce_list), made.tokens.data(), made.tokens.size(), made.segments.data(), most, 0, 0, 0};
        const bounce_map_options options{sizeof options, 0, made.flags, 0};
        const std::uint64_t before = stats().mappings;
        const std::uint64_t maps = stats().maps;
        const int got =
            bounce_device_map_list(devices_[made.device], sg.data(), sg.size(), made.direction, &options, &made.list);
        const std::uint64_t slots = stats().mappings - before;
        if (got < 0) {
            check(slots == 0 && made.list.n_mappings == 0, "something is left of a list that failed");
            accounts_.maps += stats().maps - maps;  // what was taken and given back
            if (held_[made.device] != kNotHeld) return expect(got, EPROTO);
            if (got == -ENOSPC) return refused(got, made.total() + sg.size() * 4096);
            // With the segments that the model cannot do without, the limits would have been kept.
            return check(got == -E2BIG && most < fewest_segments(made) + sg.size() + made.total() / 2048,
                         "a list was refused that the limits allow");
        }
        check(held_[made.device] == kNotHeld, "a device in quarantine was served");
        check(static_cast<std::size_t>(got) == made.list.n_segments && made.list.n_segments <= most, "segments");
        check(made.list.bytes == made.total(), "bytes");
        made.segments.resize(made.list.n_segments);
        made.list.segments = made.segments.data();
        std::uint64_t sum = 0;
        for (const bounce_segment& segment : made.segments) {
            const Limits& limits = limits_[made.device];
            check(segment.bytes <= limits.max_segment, "a segment is too long");
            check(limits.boundary == 0 ||
                      segment.addr / limits.boundary == (segment.addr + segment.bytes - 1) / limits.boundary,
                  "a segment crosses the boundary");
            sum += segment.bytes;
        }
        check(sum == made.total(), "the segments do not add up");
        for (std::size_t i = 0; i < made.list.n_mappings; ++i)
            check(((made.tokens[i].addr ^ reinterpret_cast<std::uintptr_t>(made.tokens[i].orig)) &
                   limits_[made.device].min_align_mask) == 0,
                  "the low bits of an address are not kept");
        keep(std::move(made), slots);
    }
    std::size_t fewest_segments(const Mapped& made) const {
        const Limits& limits = limits_[made.device];
        const std::uint64_t most =
            std::min(limits.max_segment, limits.boundary == 0 ? ~std::uint64_t{0} : limits.boundary);
        return 1 + made.total() / most;
    }

    /// What the device finds is what the model says.
    void check_device(const Mapped& mapped) {
        Bytes there;
        for (const bounce_segment& segment : mapped.segments) {
            const std::uint8_t* from = seen(segment.addr, segment.bytes);
            there.insert(there.end(), from, from + segment.bytes);
        }
        check(there.size() == mapped.side.bytes.size() && mapped.side.is(there.data()), "the device sees other bytes");
    }
    void device_writes() {
        operation_ = "device writes";
        if (mapped_.empty()) return;
        Mapped& mapped = mapped_[below(mapped_.size())];
        check_device(mapped);
        const std::size_t total = mapped.total();
        const std::size_t at = below(total);
        const std::size_t n = 1 + below(total - at);
        Bytes bytes(n);
        for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random_());
        std::size_t start = 0;
        for (const bounce_segment& segment : mapped.segments) {
            const std::size_t from = std::max(at, start);
            const std::size_t until = std::min(at + n, start + segment.bytes);
            if (from < until)
                std::memcpy(seen(segment.addr, segment.bytes) + (from - start), bytes.data() + (from - at),
                            until - from);
            start += segment.bytes;
        }
        mapped.side.put(at, bytes.data(), n);
    }

    void sync() {
        operation_ = "sync";
        if (mapped_.empty()) return;
        Mapped& mapped = mapped_[below(mapped_.size())];
        if (mapped.kind == Mapped::Kind::kSg) return;
        const std::size_t total = mapped.total();
        const std::size_t at = below(total);
        const std::size_t n = below(20) == 0 ? total - at + 1 : 1 + below(total - at);
        const int direction = below(4) == 0 ? static_cast<int>(below(3)) : mapped.direction;
        const bool cpu = below(2) == 0;
        if (!cpu) {  // the CPU had it, and wrote
            mapped.for_range(at, std::min(n, total - at),
                             [&](std::size_t i, std::size_t offset, std::size_t, std::size_t bytes) {
                                 for (std::size_t b = 0; b < bytes; ++b)
                                     mapped.buffers[i][offset + b] = mapped.privately[i][offset + b] =
                                         static_cast<std::uint8_t>(random_());
                             });
        }
        int code = 0;
        if (at + n > total)
            code = EINVAL;
        else if (mapped.direction != BOUNCE_BIDIRECTIONAL && direction != mapped.direction)
            code = EPERM;
        else if (mapped.stale)
            code = ESTALE;
        bounce_device* device = devices_[mapped.device];
        int got = 0;
        if (mapped.kind == Mapped::Kind::kList)
            got = cpu ? bounce_device_sync_list_for_cpu(device, &mapped.list, at, n, direction)
                      : bounce_device_sync_list_for_device(device, &mapped.list, at, n, direction);
        else
            got = cpu ? bounce_device_sync_for_cpu(device, mapped.tokens.data(), at, n, direction)
                      : bounce_device_sync_for_device(device, mapped.tokens.data(), at, n, direction);
        expect(got, code);
        if (code == 0 && cpu && direction != BOUNCE_TO_DEVICE) mapped.to_cpu(at, n);
        if (code == 0 && !cpu && direction != BOUNCE_FROM_DEVICE) mapped.to_device(at, n);
        check(mapped.private_is_right(), "the private side has other bytes");
    }

    int end_tokens(std::size_t d, Mapped& mapped, std::size_t written, std::vector<bounce_mapping>& tokens) {
        bounce_device* device = devices_[d];
        switch (mapped.kind) {
            case Mapped::Kind::kOne: return bounce_device_unmap(device, tokens.data(), written);
            case Mapped::Kind::kSg: return bounce_device_unmap_sg(device, tokens.data(), tokens.size(), written);
            default:
                mapped.list.mappings = tokens.data();
                return bounce_device_unmap_list(device, &mapped.list, written);
        }
    }
    void end(std::size_t index) {
        operation_ = "unmap";
        Mapped& mapped = mapped_[index];
        check_device(mapped);
        const std::size_t total = mapped.total();
        const std::size_t written = below(3) == 0 ? SIZE_MAX : below(total + 2);
        const std::uint64_t slots = stats().mappings;
        if (below(16) == 0) {  // of another device, it changes nothing
            std::vector<bounce_mapping> copies = mapped.tokens;
            expect(end_tokens((mapped.device + 1) % devices_.size(), mapped, written, copies), EXDEV);
            mapped.list.mappings = mapped.tokens.data();
        }
        std::vector<bounce_mapping> copies = mapped.tokens;
        const bool copies_back = mapped.direction != BOUNCE_TO_DEVICE;
        expect(end_tokens(mapped.device, mapped, written, mapped.tokens), mapped.stale && copies_back ? ESTALE : 0);
        const std::uint64_t ended = slots - stats().mappings;
        if (copies_back && !mapped.stale && (mapped.flags & BOUNCE_MAP_SKIP_SYNC) == 0)
            mapped.to_cpu(0, std::min(written, total));
        check(mapped.private_is_right(), "the private side has other bytes");
        // Twice, by the same token and by a copy.
        expect(end_tokens(mapped.device, mapped, written, mapped.tokens), EALREADY);
        const int again = end_tokens(mapped.device, mapped, written, copies);
        check(again == -EALREADY || again == -ESTALE, "a copy of an ended token is good");
        check(mapped.private_is_right() && stats().mappings == slots - ended, "a second end did something");
        check(ended == (mapped.kind == Mapped::Kind::kList ? ended : mapped.tokens.size()) && ended != 0, "slots");
        accounts_.mappings -= ended;
        accounts_.payload -= total;
        note_held(mapped.device, ended);
        std::swap(mapped_[index], mapped_.back());
        mapped_.pop_back();
    }

    void alloc_block() {
        operation_ = "alloc";
        Block made;
        made.device = below(devices_.size());
        made.coherent = below(2) == 0;
        const std::size_t bytes = size();
        const std::size_t align = below(2) == 0 ? 0 : std::size_t{1} << below(14);
        const int got = (made.coherent ? bounce_coherent_alloc : bounce_buffer_alloc)(devices_[made.device], bytes,
                                                                                      align, &made.block);
        if (held_[made.device] != kNotHeld) return expect(got, EPROTO);
        if (got == -ENOSPC) return refused(got, bytes + std::max<std::size_t>(align, 4096));
        expect(got, 0);
        check(made.block.addr % std::max<std::size_t>(align, 64) == 0, "the alignment is not kept");
        made.side = Side(bytes, made.coherent);
        check(made.side.is(seen(made.block.addr, bytes)), "coherent memory is not zeroed");
        (made.coherent ? accounts_.coherent : accounts_.buffers) += 1;
        accounts_.payload += bytes;
        blocks_.push_back(std::move(made));
    }
    void use_block() {
        operation_ = "block";
        if (blocks_.empty()) return;
        Block& block = blocks_[below(blocks_.size())];
        const std::size_t total = block.side.bytes.size();
        auto* const mine = static_cast<std::uint8_t*>(block.block.ptr);
        check(block.side.is(mine) && block.side.is(seen(block.block.addr, total)), "the two sides see other bytes");
        const std::size_t at = below(total);
        Bytes bytes(1 + below(std::min<std::size_t>(total - at, 4096)));
        for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random_());
        std::memcpy((below(2) == 0 ? mine : seen(block.block.addr, total)) + at, bytes.data(), bytes.size());
        block.side.put(at, bytes.data(), bytes.size());
    }
    void free_block(std::size_t index) {
        operation_ = "free";
        Block& block = blocks_[index];
        bounce_device* device = devices_[block.device];
        const auto free_it = block.coherent ? bounce_coherent_free : bounce_buffer_free;
        expect((block.coherent ? bounce_buffer_free : bounce_coherent_free)(device, &block.block), EPERM);
        bounce_block copy = block.block;
        expect(free_it(device, &block.block), 0);
        expect(free_it(device, &block.block), EALREADY);
        const int again = free_it(device, &copy);
        check(again == -EALREADY || again == -ESTALE, "a copy of a freed block is good");
        (block.coherent ? accounts_.coherent : accounts_.buffers) -= 1;
        accounts_.payload -= block.side.bytes.size();
        note_held(block.device, 1);
        std::swap(blocks_[index], blocks_.back());
        blocks_.pop_back();
    }

    void wrong() {
        operation_ = "misuse";
        bounce_mapping token;
        std::uint8_t byte[8] = {};
        bounce_device* device = devices_[0];
        expect(bounce_device_map(device, nullptr, 8, 0, 0, &token), EINVAL);
        expect(bounce_device_map(device, byte, 0, 0, 0, &token), EINVAL);
        expect(bounce_device_map(device, byte, 8, 3, 0, &token), EINVAL);
        expect(bounce_device_map(device, byte, 8, 0, 3, &token), EINVAL);
        expect(bounce_device_unmap(device, &token, 0), EALREADY);
        std::vector<std::uint8_t> big;
        if (held_[0] == kNotHeld)
            expect(bounce_device_map(device, byte, kLimit * 2, BOUNCE_FROM_DEVICE, BOUNCE_MAP_NO_WARN, &token), E2BIG);
        if (mapped_.empty() || mapped_.back().kind != Mapped::Kind::kOne) return;
        token = mapped_.back().tokens[0];
        token.addr += 8;
        check(bounce_device_unmap(devices_[mapped_.back().device], &token, 8) == -EFAULT, "a damaged token is good");
    }

    // ---- The pool
    void serve() {
        operation_ = "service";
        for (int i = 0; i < 20; ++i) {
            const int more = bounce_pool_service(pool_);
            check(more >= 0, "service");
            if (more == 0) break;
        }
    }
    void region() {
        operation_ = "region";
        if (aside_ < 0) {
            bounce_region_options options{};
            options.size = sizeof options;
            options.bytes = 1u << 20;
            options.base_gpa = kAside;
            aside_ = bounce_pool_add_region(pool_, &options);
            check(aside_ >= 0, "a region cannot be added");
            draining_ = false;
        } else if (!draining_) {
            expect(bounce_pool_remove_region(pool_, static_cast<std::uint32_t>(aside_)), EBUSY);
            expect(below(2) == 0 ? bounce_pool_drain_region(pool_, static_cast<std::uint32_t>(aside_))
                                 : bounce_pool_retire_region(pool_, static_cast<std::uint32_t>(aside_)),
                   0);
            // What was held back there may have gone home, where nobody gets it.
            const std::uint64_t now = stats().quarantined;
            check(now <= accounts_.quarantined, "more in quarantine");
            accounts_.quarantined = now;
            draining_ = true;
        } else {
            const int got = bounce_pool_remove_region(pool_, static_cast<std::uint32_t>(aside_));
            check(got == 0 || got == -EBUSY, "a region cannot be removed");
            if (got == 0) aside_ = -1;
        }
    }
    void renew() {
        operation_ = "renew";
        const int got = bounce_pool_renew(pool_);
        check(got == 0, "the pool cannot be renewed");
        for (Mapped& mapped : mapped_) {
            bool all = true;
            for (const bounce_segment& segment : mapped.segments) all = all && !in_retired(segment.addr);
            if (!all) continue;
            mapped.stale = true;
            mapped.side.renew();
        }
        for (Block& block : blocks_)
            if (!in_retired(block.block.addr)) block.side.renew();
    }
    // Retired memory is not renewed. (A list may lie in both: those are ended before.)
    bool in_retired(std::uint64_t gpa) const { return gpa >= kAside; }
    bool anything_aside() const {
        for (const Mapped& mapped : mapped_)
            for (const bounce_segment& segment : mapped.segments)
                if (in_retired(segment.addr)) return true;
        for (const Block& block : blocks_)
            if (in_retired(block.block.addr)) return true;
        return false;
    }

    // ---- Quarantine
    static constexpr std::uint64_t kNotHeld = ~std::uint64_t{0};
    void note_held(std::size_t device, std::uint64_t slots) {
        if (held_[device] == kNotHeld) return;
        // In a retired region they are home.
        const std::uint64_t now = stats().quarantined;
        check(now == accounts_.quarantined + slots || aside_ >= 0, "what came back is not held back");
        accounts_.quarantined = now;
    }
    void quarantine() {
        operation_ = "quarantine";
        const std::size_t d = below(devices_.size());
        if (held_[d] != kNotHeld) return release(d);
        expect(bounce_device_quarantine(devices_[d]), 0);
        held_[d] = 0;
    }
    void release(std::size_t d) {
        operation_ = "release";
        const int got = bounce_device_release(devices_[d]);
        check(got >= 0 && static_cast<std::uint64_t>(got) <= accounts_.quarantined, "released");
        check(held_[d] != kNotHeld || got == 0, "released what was not held");
        accounts_.quarantined -= static_cast<std::uint64_t>(got);
        held_[d] = kNotHeld;
    }

    void one() {
        const bool much = accounts_.payload > kMostPayload && below(50) != 0;
        switch (below(100)) {
            case 0: return serve();
            case 1: return below(40) == 0 ? quarantine() : wrong();
            case 2: return below(20) == 0 ? region() : device_writes();
            case 3:
                if (below(200) == 0 && !anything_aside()) return renew();
                return sync();
            case 4: return wrong();
            // Quotas that change under way belong here.
            default: break;
        }
        switch (below(12)) {
            case 0: return sync();
            case 1: return sync();
            case 2: return device_writes();
            case 3: return use_block();
            case 4: return much ? drop() : alloc_block();
            case 5: return blocks_.empty() ? alloc_block() : free_block(below(blocks_.size()));
            case 6: return much ? drop() : map_sg();
            case 7: return much ? drop() : map_list();
            case 8:
            case 9: return much ? drop() : map();
            default: return drop();
        }
    }
    void drop() {
        if (!mapped_.empty()) end(below(mapped_.size()));
    }

    const std::uint64_t seed_;
    const std::uint64_t operations_;
    std::mt19937_64 random_;
    std::uint64_t step_ = 0;
    const char* operation_ = "";
    bounce_pool* pool_ = nullptr;
    std::vector<bounce_device*> devices_;
    std::vector<Limits> limits_;
    std::vector<std::uint64_t> held_;  // kNotHeld: not in quarantine
    std::vector<Mapped> mapped_;
    std::vector<Block> blocks_;
    Accounts accounts_;
    int aside_ = -1;
    bool draining_ = false;
};

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
    const char* const given = std::getenv(name);
    return given != nullptr ? std::strtoull(given, nullptr, 0) : otherwise;
}

TEST(DmaModel, NoDifferenceInDataErrorsOrAccounts) {
    const std::uint64_t operations = from_environment("BOUNCE_MODEL_OPS", 20000);
    const std::uint64_t only = from_environment("BOUNCE_MODEL_SEED", 0);
    for (std::uint64_t seed = only != 0 ? only : 1; seed <= (only != 0 ? only : 3); ++seed) {
        Run run(seed, operations);
        try {
            run.all();
        } catch (const std::exception& difference) {
            FAIL() << difference.what();
        }
    }
}

}  // namespace
}  // namespace bounce::model
