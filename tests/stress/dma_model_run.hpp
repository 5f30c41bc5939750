// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// One run of the DMA API beside its model: what happens to the pool, to blocks and in quarantines. Mappings are in
// dma_model_streams.cpp, quotas in dma_model_quota.cpp.
#pragma once

#include <cerrno>
#include <cstdio>
#include <stdexcept>

#include "tests/stress/dma_model.hpp"

namespace bounce::model {

inline constexpr std::uint64_t kBase = std::uint64_t{1} << 32;
inline constexpr std::uint64_t kFirst = 2u << 20;
inline constexpr std::uint64_t kLimit = 8u << 20;
inline constexpr std::uint64_t kAside = std::uint64_t{3} << 32;  // of a region that comes and goes by hand
// Mapped at a time, as a rule: times of little and times of so much that the pool is full and grows.
inline constexpr std::uint64_t kLittle = 200u << 10;
inline constexpr std::uint64_t kMuch = 7u << 20;
inline constexpr std::uint64_t kTimes = 4096;  // steps of each
// What one slot may take beyond twice its bytes: where pages are promised to others it may be one of a larger class,
// and there is what alignment and boundary ask for. A run takes less.
inline constexpr std::uint64_t kSlotMost = 20480 + 4096;

class ModelRun {
public:
    ModelRun(std::uint64_t seed, std::uint64_t operations) : seed_(seed), operations_(operations), random_(seed) {
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
    ~ModelRun() {
        for (bounce_device* device : devices_) bounce_device_destroy(device);
        bounce_pool_destroy(pool_);
    }
    ModelRun(const ModelRun&) = delete;
    ModelRun& operator=(const ModelRun&) = delete;

    void all() {
        for (step_ = 0; step_ < operations_; ++step_) {
            one();
            if (step_ % 16 == 0) check_accounts();
        }
        lift_quotas();
        while (!mapped_.empty()) end(mapped_.size() - 1);
        while (!blocks_.empty()) free_block(blocks_.size() - 1);
        for (std::size_t d = 0; d < devices_.size(); ++d) release(d);
        check_accounts();
        check(accounts_.payload == 0 && stats().used_bytes == 0 && stats().slots == 0, "something is left");
        std::printf(
            "seed %llu: %llu operations, %llu mappings, %llu found the pool full, %llu their ceiling, %llu "
            "quotas were set and %llu refused, %llu regions came, %llu went\n",
            ull(seed_), ull(operations_), ull(accounts_.maps), ull(accounts_.full), ull(accounts_.over),
            ull(accounts_.quotas), ull(accounts_.no_quota), ull(stats().grows), ull(stats().shrinks));
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
        quotas_.push_back({});
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
        check(now.used_bytes <= accounts_.payload * 2 + now.slots * kSlotMost, "more bytes used than that can take");
        check(now.used_bytes + now.quarantined_bytes <= now.bytes, "more than there is");
    }

    /// Of regions that slots are taken from.
    std::uint64_t active() {
        std::uint64_t bytes = 0;
        bounce_region_info info;
        for (std::uint32_t i = 0; bounce_pool_region(pool_, i, &info) == 0; ++i)
            if (info.state == BOUNCE_REGION_ACTIVE) bytes += info.bytes;
        return bytes;
    }
    // dma_model_quota.cpp
    struct Quota {
        std::uint64_t floor = 0;
        std::uint64_t ceiling = 0;
        bool sure = false;  // nobody had of the floor when it was set, nor has anything been taken from it since
    };
    static bool is_refusal(int got) { return got == -ENOSPC || got == -EDQUOT; }
    void refused(std::size_t d, int got, std::uint64_t bytes);
    void served(std::size_t d);
    std::uint64_t floors() const;
    std::uint64_t most_used(std::size_t d) const;
    void set_quota();
    void set_reserve();
    void note_promises();
    void lift_quotas();

    // dma_model_streams.cpp
    Mapped make(std::size_t pieces);
    void keep(Mapped&& made, std::uint64_t slots);
    std::uint64_t address(const Mapped& made, std::size_t i) const;
    void map();
    void map_sg();
    void map_list();
    std::size_t fewest_segments(const Mapped& made) const;
    void check_device(const Mapped& mapped);
    void device_writes();
    void sync();
    int end_tokens(std::size_t d, Mapped& mapped, std::size_t written, std::vector<bounce_mapping>& tokens);
    void end(std::size_t index);

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
        if (is_refusal(got)) return refused(made.device, got, bytes + std::max<std::size_t>(align, 4096));
        expect(got, 0);
        check(made.block.addr % (align == 0 ? 64 : align) == 0, "the alignment is not kept");
        made.side = Side(bytes, made.coherent);
        check(made.side.is(seen(made.block.addr, bytes)), "coherent memory is not zeroed");
        (made.coherent ? accounts_.coherent : accounts_.buffers) += 1;
        accounts_.payload += bytes;
        blocks_.push_back(std::move(made));
        served(blocks_.back().device);
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
            expect(bounce_device_map(device, byte, kLimit * 2, BOUNCE_FROM_DEVICE, BOUNCE_MAP_NO_WARN, &token),
                   quotas_[0].ceiling != 0 ? EDQUOT : E2BIG);
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
            check(bounce_pool_add_region(pool_, &options) == 0, "a region cannot be added");
            bounce_region_info info;
            for (aside_ = 0; bounce_pool_region(pool_, static_cast<std::uint32_t>(aside_), &info) == 0; ++aside_)
                if (info.base_gpa == kAside) break;
            check(info.base_gpa == kAside && info.state == BOUNCE_REGION_ACTIVE, "the region is not there");
            draining_ = false;
        } else if (!draining_) {
            expect(bounce_pool_remove_region(pool_, static_cast<std::uint32_t>(aside_)), EBUSY);
            expect(below(2) == 0 ? bounce_pool_drain_region(pool_, static_cast<std::uint32_t>(aside_))
                                 : bounce_pool_retire_region(pool_, static_cast<std::uint32_t>(aside_)),
                   0);
            for (Quota& quota : quotas_) quota.sure = false;
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
        for (Quota& quota : quotas_) quota.sure = false;
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
        const bool much = accounts_.payload > (step_ / kTimes % 2 == 0 ? kLittle : kMuch) && below(50) != 0;
        switch (below(100)) {
            case 0: return serve();
            case 1: return below(40) == 0 ? quarantine() : wrong();
            case 2: return below(20) == 0 ? region() : device_writes();
            case 3:
                if (below(200) == 0 && !anything_aside()) return renew();
                return sync();
            case 4:
                switch (below(6)) {
                    case 0: return set_quota();
                    case 1: return set_reserve();
                    default: return wrong();
                }
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
            default: return !much && step_ / kTimes % 2 != 0 && below(3) != 0 ? map() : drop();
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
    std::vector<Quota> quotas_;
    std::uint64_t reserve_ = 0;
    std::vector<Mapped> mapped_;
    std::vector<Block> blocks_;
    Accounts accounts_;
    int aside_ = -1;
    bool draining_ = false;
};

}  // namespace bounce::model
