// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/trace/replay.hpp"

#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <tuple>

#include "bounce/quota.h"
#include "tools/common/failure.hpp"
#include "tools/common/signals.hpp"
#include "tools/common/units.hpp"

namespace bounce::tools {
namespace {

constexpr std::uint64_t kReplayBase = std::uint64_t{1} << 32;
constexpr std::uint64_t kAlignOfBuffer = 2u << 20;
constexpr std::uint64_t kLeastPool = 65536;
constexpr std::size_t kStepsPerLook = 4096;

void check_made(int code, const char* what) {
    if (code < 0) throw Failure(text(what, ": ", bounce_last_error()));
}

/// Of this thread: what others do meanwhile does not count.
double processor_ns() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

/// Addresses for private buffers that nobody touches.
class NoBuffer {
public:
    explicit NoBuffer(std::uint64_t bytes) : bytes_(bytes + kAlignOfBuffer) {
        memory_ = ::mmap(nullptr, bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory_ == MAP_FAILED) throw Failure(text("no address space for a request of ", bytes, " bytes"));
    }
    NoBuffer(const NoBuffer&) = delete;
    NoBuffer& operator=(const NoBuffer&) = delete;
    ~NoBuffer() { ::munmap(memory_, bytes_); }
    [[nodiscard]] void* get() const noexcept {
        return reinterpret_cast<void*>(round_up(reinterpret_cast<std::uintptr_t>(memory_), kAlignOfBuffer));
    }

private:
    std::uint64_t bytes_;
    void* memory_;
};

union Token {
    bounce_mapping mapping;
    bounce_block block;
};

class ReplayPool {
public:
    ReplayPool(const Demand& demand, const ReplayConfig& config)
        : demand_(demand), config_(config), buffer_(demand.most_bytes) {
        bounce_pool_options options{};
        options.size = sizeof options;
        options.name = "replay";
        options.region.size = sizeof options.region;
        options.region.bytes = config.size_bytes;
        options.region.base_gpa = kReplayBase;
        if (config.limit_bytes > config.size_bytes) {
            options.limit_bytes = config.limit_bytes;
            options.flags = BOUNCE_POOL_INLINE_GROWTH;
            options.low_watermark = config.low_watermark;
            options.high_watermark = config.high_watermark;
        }
        check_made(bounce_pool_create(&options, &pool_),
                   text("a pool of ", format_bytes(config.size_bytes), " for the replay").c_str());
        try {
            make_devices();
        } catch (...) {
            destroy();
            throw;
        }
    }
    ReplayPool(const ReplayPool&) = delete;
    ReplayPool& operator=(const ReplayPool&) = delete;
    ~ReplayPool() { destroy(); }

    /// 0, or -errno.
    int begin(const DemandObject& object, Token& token) {
        bounce_device* const device = devices_[device_of(object)];
        switch (object.want) {
            case Want::kMapping:
                return bounce_device_map(device, buffer_.get(), object.bytes, BOUNCE_FROM_DEVICE,
                                         BOUNCE_MAP_SKIP_SYNC | BOUNCE_MAP_NO_WARN, &token.mapping);
            case Want::kCoherent:
                return bounce_coherent_alloc(device, object.bytes, std::size_t{1} << object.align_bits, &token.block);
            default:
                return bounce_buffer_alloc(device, object.bytes, std::size_t{1} << object.align_bits, &token.block);
        }
    }
    int give(const DemandObject& object, Token& token) {
        bounce_device* const device = devices_[device_of(object)];
        switch (object.want) {
            case Want::kMapping: return bounce_device_unmap(device, &token.mapping, 0);
            case Want::kCoherent: return bounce_coherent_free(device, &token.block);
            default: return bounce_buffer_free(device, &token.block);
        }
    }
    void end(const DemandObject& object, Token& token) {
        check_made(give(object, token), "the replay gives back what it had");
    }
    [[nodiscard]] bounce_pool_stats stats() const {
        bounce_pool_stats stats{};
        check_made(bounce_pool_get_stats(pool_, &stats), "the replay's pool");
        return stats;
    }

private:
    using Key = std::pair<std::uint32_t, std::uint8_t>;

    /// A device has one alignment for its mappings: where it was recorded with several there are several here.
    [[nodiscard]] std::size_t device_of(const DemandObject& object) const {
        return object.want == Want::kMapping && object.align_bits != 0 ? aligned_.at({object.device, object.align_bits})
                                                                       : object.device;
    }

    void make_devices() {
        for (std::uint32_t i = 0; i < demand_.devices.size(); ++i) devices_.push_back(make_device(i, 0));
        for (const DemandObject& object : demand_.objects) {
            if (object.want != Want::kMapping || object.align_bits == 0) continue;
            const Key key{object.device, object.align_bits};
            if (!aligned_.emplace(key, devices_.size()).second) continue;
            devices_.push_back(make_device(object.device, object.align_bits));
        }
        if (config_.reserve_bytes != 0)
            check_made(bounce_pool_set_reserve(pool_, config_.reserve_bytes), "the reserve of the replay");
    }

    bounce_device* make_device(std::uint32_t index, std::uint8_t align_bits) {
        const std::uint32_t id = demand_.devices[index].id;
        const std::string name = text("device ", id);
        bounce_device_options options{};
        options.size = sizeof options;
        options.name = name.c_str();
        options.copy_policy = BOUNCE_COPY_MEMCPY;
        options.reuse_policy = config_.reuse_policy;
        options.reuse_window_bytes = config_.reuse_window_bytes;
        options.min_align_mask = (std::uint64_t{1} << std::min<std::uint8_t>(align_bits, 20)) - 1;
        bounce_device* device = nullptr;
        check_made(bounce_device_create(pool_, &options, &device), "a device of the replay");
        made_.push_back(device);
        const auto quota = config_.quotas.find(id);
        if (quota == config_.quotas.end()) return device;
        const ReplayQuota& of = quota->second;
        if (of.floor_bytes != 0 || of.ceiling_bytes != 0)
            check_made(bounce_device_set_quota(device, of.floor_bytes, of.ceiling_bytes), "the quota of the replay");
        if (of.priority) check_made(bounce_device_set_priority(device, 1), "the priority of the replay");
        return device;
    }

    void destroy() noexcept {
        for (bounce_device* const device : made_) static_cast<void>(bounce_device_destroy(device));
        static_cast<void>(bounce_pool_destroy(pool_));
    }

    const Demand& demand_;
    const ReplayConfig& config_;
    NoBuffer buffer_;
    bounce_pool* pool_ = nullptr;
    std::vector<bounce_device*> devices_;
    std::vector<bounce_device*> made_;  // all of them
    std::map<Key, std::size_t> aligned_;
};

/// One pass over the demand, and what is left of it given back.
class ReplayRun {
public:
    ReplayRun(const Demand& demand, const ReplayConfig& config)
        : demand_(demand), pool_(demand, config), tokens_(demand.seats), live_(demand.seats, kEmpty) {}
    ReplayRun(const ReplayRun&) = delete;
    ReplayRun& operator=(const ReplayRun&) = delete;
    ~ReplayRun() {
        for (std::size_t seat = 0; seat < live_.size(); ++seat) {
            if (live_[seat] != kEmpty) static_cast<void>(pool_.give(demand_.objects[live_[seat]], tokens_[seat]));
        }
    }

    ReplayResult run(bool stop) {
        ReplayResult result;
        result.devices.resize(demand_.devices.size());
        const double begin = processor_ns();
        std::size_t until_look = kStepsPerLook;
        for (const DemandStep& step : demand_.steps) {
            if (--until_look == 0) {
                throw_if_stopped();
                until_look = kStepsPerLook;
            }
            const DemandObject& object = demand_.objects[step.object];
            std::uint32_t& live = live_[step.seat];
            if (step.ends) {
                if (live == kEmpty) continue;  // it got nothing
                live = kEmpty;
                ++result.operations;
                pool_.end(object, tokens_[step.seat]);
                continue;
            }
            ++result.operations;
            ++result.requests;
            ++result.devices[object.device].requests;
            const int code = pool_.begin(object, tokens_[step.seat]);
            if (code == 0) {
                live = step.object;
                continue;
            }
            note(result, step, object, -code);
            if (stop) break;
        }
        const double passed = processor_ns() - begin;
        result.ns_per_operation = result.operations != 0 ? passed / static_cast<double>(result.operations) : 0;
        const bounce_pool_stats stats = pool_.stats();
        result.peak_bytes = stats.used_bytes_hiwater;
        result.pool_bytes = stats.bytes;
        result.grows = stats.grows;
        return result;
    }

private:
    static constexpr std::uint32_t kEmpty = UINT32_MAX;

    void note(ReplayResult& result, const DemandStep& step, const DemandObject& object, int code) {
        if (code != ENOSPC && code != EDQUOT && code != E2BIG)
            throw Failure(text("a request of ", object.bytes, " bytes in the replay: ", bounce_last_error()));
        ++result.failed;
        ++result.devices[object.device].failed;
        if (!result.first)
            result.first =
                ReplayFailure{step.ns, demand_.devices[object.device].id, object.bytes, code, bounce_last_error()};
    }

    const Demand& demand_;
    ReplayPool pool_;
    std::vector<Token> tokens_;
    std::vector<std::uint32_t> live_;  // by seat: the object that has it
};

}  // namespace

ReplayConfig ReplayConfig::of(const TraceConfig& config) {
    ReplayConfig made;
    made.size_bytes = std::max(config.limit_bytes != 0 ? config.first_region_bytes : config.bytes, kLeastPool);
    made.limit_bytes = config.limit_bytes;
    made.low_watermark = config.low_watermark;
    made.high_watermark = config.high_watermark;
    made.reserve_bytes = config.reserve_bytes;
    for (const TraceDevice& device : config.devices) {
        if (device.floor_bytes != 0) made.size_bytes = std::max(made.size_bytes, config.bytes);  // or it cannot be kept
        if (device.floor_bytes != 0 || device.ceiling_bytes != 0 || device.priority)
            made.quotas[device.id] = {device.floor_bytes, device.ceiling_bytes, device.priority};
    }
    return made;
}

ReplayConfig ReplayConfig::with_limit(std::uint64_t bytes) const {
    ReplayConfig made = *this;
    if (limit_bytes == 0) {
        made.size_bytes = bytes;
    } else {
        made.size_bytes = std::min(size_bytes, bytes);
        made.limit_bytes = bytes;
    }
    return made;
}

ReplayResult replay(const Demand& demand, const ReplayConfig& config, bool stop) {
    return ReplayRun(demand, config).run(stop);
}

std::vector<std::uint64_t> slot_bytes_of(const Demand& demand) {
    ReplayConfig config;
    config.size_bytes = round_up(demand.most_bytes, kAlignOfBuffer) + 4 * kAlignOfBuffer;
    ReplayPool pool(demand, config);
    using Shape = std::tuple<std::uint64_t, Want, std::uint8_t>;
    std::map<Shape, std::uint64_t> known;
    std::vector<std::uint64_t> all;
    all.reserve(demand.objects.size());
    for (const DemandObject& object : demand.objects) {
        const auto [found, is_new] = known.try_emplace({object.bytes, object.want, object.align_bits}, object.bytes);
        if (is_new) {
            Token token;
            const std::uint64_t before = pool.stats().used_bytes;
            if (pool.begin(object, token) == 0) {
                found->second = pool.stats().used_bytes - before;
                pool.end(object, token);
            }
        }
        all.push_back(found->second);
    }
    return all;
}

}  // namespace bounce::tools
