// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A device: who maps, with which limits. The streaming and the coherent API over a pool. The tokens are those of the
// public header; what they mean is written there.
//
// A mapping ends in three steps, as Pool::begin_free() and finish_free() say. One compare-exchange decides: of several
// holders of copies of a token exactly one wins. The winner copies back while the slot is still out of reach of
// alloc(), then the slot goes to the context or home. So a loser touches neither the slot nor the private buffer.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "allocator/pool/pool.hpp"
#include "api/dma/calibration.hpp"
#include "api/dma/direct.hpp"
#include "api/dma/limits.hpp"
#include "api/dma/policy.hpp"
#include "api/dma/shared_maps.hpp"
#include "api/dma/waiters.hpp"
#include "bounce/bounce.h"
#include "bounce/streaming.h"

struct bounce_record;  // bounce/records.h

namespace bounce {

class Callbacks;  // api/dma/callbacks.hpp: rate-limited log and violation reports of a pool
class Sampler;    // api/dma/sampler.hpp
class Debug;      // api/dma/debug.hpp
class Records;    // api/dma/records.hpp
class Trace;      // api/dma/trace.hpp
struct DebugConfig;
enum class DebugApi : std::uint8_t;

enum class Direction : std::uint8_t {
    kBidirectional = BOUNCE_BIDIRECTIONAL,
    kToDevice = BOUNCE_TO_DEVICE,
    kFromDevice = BOUNCE_FROM_DEVICE,
};

struct DeviceConfig {
    const char* name = "device";  // copied; at most 63 bytes
    std::uint64_t dma_mask = ~std::uint64_t{0};
    std::uint64_t coherent_dma_mask = ~std::uint64_t{0};
    std::uint64_t max_segment_bytes = DeviceLimits::kNone;
    CopyPolicy copy = CopyPolicy::kAuto;
    ReusePolicy reuse = ReusePolicy::kAuto;
    std::uint64_t reuse_window_bytes = 0;     // with kAuto and kWindow; 0: the default
    NodeId node = kAnyNode;                   // where the device is
    std::optional<NumaPolicy> numa_policy{};  // none: the pool's
    DirectConfig direct{};                    // without translate: all bounces
    DeviceLimits limits{};                    // but for max_segment_bytes, which is above
    Records* records = nullptr;               // of the pool, which it has then; outlives the device
    const DebugConfig* debug = nullptr;       // its use is watched
    RegionMask regions = 0;                   // its trust domain: restricted regions; 0: all that are open
};

/// Memory that lives long.
struct BlockRequest {
    std::uint64_t bytes = 0;     // > 0
    std::uint64_t align = 0;     // power of two up to 2 MiB; 0: 64
    std::uint64_t boundary = 0;  // as in AllocRequest
};

/// Are these the flags of a mapping without a slot?
bool asks_for_shared(std::uint32_t flags) noexcept;
/// What is to be mapped, and how; flags with BOUNCE_WAIT_PRIORITY, too.
struct MapRequest {
    void* buf = nullptr;
    std::size_t bytes = 0;
    Direction direction{};
    std::uint32_t flags = 0;
};

/// A map that waits without blocking.
struct Wait {
    Waiter waiter;
    MapRequest request;
    bool direct = false;        // it needs no memory, for the buffer goes as it is:
    std::uint64_t address = 0;  // its address, which is taken
};

/// Of all regions of the pool.
std::uint64_t shared_bytes(const Pool& pool) noexcept;

class Device {
public:
    /// pool and callbacks must outlive the device. EINVAL when the machine has no such node; as Pool::join_domain().
    static Result<std::unique_ptr<Device>> create(Pool& pool, Callbacks& callbacks,
                                                  const DeviceConfig& config) noexcept;
    ~Device();
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    /// A context of the pool for a queue, which one thread at a time uses, in place of the thread's own; nullptr when
    /// there is none to be had.
    Context* open_context() noexcept { return pool_.open_context(group_); }
    void close_context(Context* context) noexcept { pool_.close_context(context); }
    /// That of the calling thread.
    [[nodiscard]] Context* context() noexcept;
    /// The same, inlined. In device_fast.hpp.
    [[nodiscard]] Context* context_here() noexcept;

    /// On failure the token is zeroed: not live.
    Result<void> map(Context* context, void* buf, std::size_t bytes, Direction direction, std::uint32_t flags,
                     bounce_mapping& mapping) noexcept;
    /// map() as one of many: when `streamed` has become true, fence_streams() has to follow before the device is told,
    /// and before a slot of them is given back.
    Result<void> map_unfenced(Context* context, void* buf, std::size_t bytes, Direction direction, std::uint32_t flags,
                              bounce_mapping& mapping, bool& streamed) noexcept;
    Result<void> unmap(Context* context, bounce_mapping& mapping, std::size_t written) noexcept;
    /// Ends the mapping and copies nothing, whatever its direction (aborted requests).
    Result<void> discard(Context* context, bounce_mapping& mapping) noexcept;
    Result<void> map(void* buf, std::size_t bytes, Direction direction, std::uint32_t flags,
                     bounce_mapping& mapping) noexcept {
        return map(context(), buf, bytes, direction, flags, mapping);
    }
    /// unmap(), inlined. In device_fast.hpp.
    Result<void> end(Context* context, bounce_mapping& mapping, std::size_t written) noexcept;
    /// Its halves.
    [[nodiscard]] bool good_token(const bounce_mapping& mapping) const noexcept;
    Result<void> end_good(Context* context, bounce_mapping& mapping, std::size_t written) noexcept;
    Result<void> unmap(bounce_mapping& mapping, std::size_t written) noexcept {
        return unmap(context(), mapping, written);
    }
    Result<void> discard(bounce_mapping& mapping) noexcept { return discard(context(), mapping); }
    Result<void> sync_for_cpu(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                              Direction direction) noexcept;
    Result<void> sync_for_device(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                                 Direction direction) noexcept;
    Result<void> map_sg(std::span<const bounce_sg> sg, Direction direction, std::uint32_t flags,
                        bounce_mapping* mappings) noexcept;
    Result<void> unmap_sg(std::span<bounce_mapping> mappings, std::size_t written) noexcept;

    /// device_wait.cpp. As bounce/waiting.h says.
    Result<void> map_wait(const MapRequest& request, std::uint32_t timeout_ms, bounce_mapping& mapping) noexcept;
    /// request, and in waiter whom to tell, are filled in; the rest is new. True: it is ready already.
    Result<bool> begin_wait(Wait& wait) noexcept;
    /// EAGAIN: not ready. Any other result ends it.
    Result<void> finish_wait(Wait& wait, bounce_mapping& mapping) noexcept;
    void cancel_wait(Wait& wait) noexcept;
    std::uint64_t cancel_waits() noexcept;
    [[nodiscard]] bounce_wait_stats waits() noexcept;
    /// ns that requests waited, of those that were served.
    [[nodiscard]] const Log2Histogram& waited() const noexcept { return line_.waited; }

    /// As bounce/quota.h says.
    Result<void> set_quota(std::uint64_t floor, std::uint64_t ceiling) noexcept {
        return pool_.set_quota(group_, floor, ceiling);
    }
    [[nodiscard]] QuotaState quota() const noexcept { return pool_.quota(group_); }
    void set_priority(bool priority) noexcept { group_.priority.store(priority, std::memory_order_relaxed); }
    /// device_special.cpp. map() with an alignment of its own, of the slot's start and of its size: a power of two up
    /// to 2 MiB.
    Result<void> map_aligned(void* buf, std::size_t bytes, Direction direction, std::uint32_t flags,
                             std::uint64_t align, bounce_mapping& mapping) noexcept;
    /// The longest mapping of a buffer wherever it lies.
    [[nodiscard]] std::uint64_t max_mapping() const noexcept;
    /// Each by what was written of it, independent of each other. All are unmapped; the first error.
    Result<void> unmap_bulk(std::span<bounce_mapping> mappings, const std::size_t* written) noexcept;

    /// list.cpp: any pieces of private memory as few segments. A list's tokens end and are synced together.
    Result<void> map_list(std::span<const bounce_sg> sg, Direction direction, std::uint32_t flags, std::uint64_t align,
                          bounce_list& list) noexcept;
    Result<void> unmap_list(bounce_list& list, std::size_t written) noexcept;
    Result<void> sync_list(const bounce_list& list, std::size_t offset, std::size_t bytes, Direction direction,
                           bool for_cpu) noexcept;

    /// The device may still write to what it has: Pool::quarantine(). And it was reset: how many slots went home.
    Result<void> quarantine() noexcept;
    std::uint64_t release() noexcept { return pool_.release(group_); }
    [[nodiscard]] bool quarantined() const noexcept {
        return group_.quarantine.load(std::memory_order_relaxed) != nullptr;
    }

    /// kind: kCoherent (zeroed) or kBuffer. EBUSY: a buffer that this device has mapped is not freed.
    Result<void> alloc_block(SlotKind kind, const BlockRequest& request, bounce_block& block) noexcept;
    Result<void> alloc_block(SlotKind kind, std::size_t bytes, std::size_t align, bounce_block& block) noexcept {
        return alloc_block(kind, BlockRequest{.bytes = bytes, .align = align}, block);
    }
    Result<void> free_block(SlotKind kind, bounce_block& block) noexcept;
    /// All or nothing; on failure all blocks are zeroed.
    Result<void> alloc_blocks(SlotKind kind, const BlockRequest& request, std::span<bounce_block> blocks) noexcept;
    /// All that can be freed are; the first error.
    Result<void> free_blocks(SlotKind kind, std::span<bounce_block> blocks) noexcept;
    /// Has other memory taken the place of this live block's?
    [[nodiscard]] bool renewed(const bounce_block& block) const noexcept {
        return region_of(block).renewed_under_copy(block.epoch);
    }
    /// The block is used anew, whatever it holds now.
    void refresh(bounce_block& block) const noexcept { block.epoch = region_of(block).epoch(); }

    /// Of a device with records: by address alone. bytes 0 and no direction: not stated; else EINVAL, EPERM when they
    /// do not fit. Errors as in bounce/records.h.
    Result<void> unmap_addr(Gpa addr, std::size_t bytes, std::optional<Direction> direction,
                            std::size_t written) noexcept;
    /// The token of a mapping of this device around an address; zeroed, and true, when something else with a record is
    /// there.
    Result<void> lookup(Gpa addr, bounce_record& record, bounce_mapping& mapping) noexcept;
    /// A slot of another life (api/dma/save.hpp) is this device's from now on. The token or block knows its slot.
    Result<void> adopt(bounce_mapping& mapping, void* buf, std::size_t bytes, Direction direction,
                       std::uint32_t flags) noexcept;
    Result<void> adopt(SlotKind kind, std::size_t bytes, bounce_block& block) noexcept;
    /// The CPU's view of something of the pool that is no mapping.
    Result<const std::byte*> peek(Gpa addr, std::size_t bytes) noexcept;
    /// map() of a device that is watched; apart, so that map() has one caller and is inlined there.
    Result<void> map_watching(void* buf, std::size_t bytes, Direction direction, std::uint32_t flags,
                              bounce_mapping& mapping) noexcept;
    /// Has it records or debugging?
    [[nodiscard]] bool watched() const noexcept { return watched_; }
    [[nodiscard]] Debug* debug() const noexcept { return debug_.get(); }
    [[nodiscard]] Records* records() const noexcept { return records_; }

    /// The address of [ptr, ptr + bytes) for the device, when that lies in one live buffer (or block of coherent
    /// memory) of the pool; else EFAULT, or EPERM in a slot of another kind, or EXDEV when the device does not see it.
    Result<std::uint64_t> shared_address(const void* ptr, std::size_t bytes, SlotKind kind = SlotKind::kBuffer,
                                         RegionId* where = nullptr) const noexcept;
    /// The same of a buffer or of coherent memory, faster when it is in the region where the one before was. In
    /// device_fast.hpp.
    Result<std::uint64_t> shared_address_near(RegionId& region, const void* ptr, std::size_t bytes) const noexcept;
    /// That of [offset, offset + bytes) of a live mapping of this device, for a transfer in this direction. EINVAL,
    /// EPERM, EALREADY, ESTALE. In device_fast.hpp.
    Result<std::uint64_t> mapped_address(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                                         Direction direction) const noexcept;

    /// Mappings, blocks that exist now: a device with any cannot be destroyed.
    [[nodiscard]] std::uint64_t outstanding() const noexcept;
    [[nodiscard]] std::uint64_t outstanding_mappings() const noexcept;
    [[nodiscard]] std::uint64_t outstanding_blocks() const noexcept;
    /// Waits that have not ended; outstanding() has them, too.
    [[nodiscard]] std::uint64_t outstanding_waits() const noexcept {
        return line_.open.load(std::memory_order_relaxed);
    }
    [[nodiscard]] Pool& pool() const noexcept { return pool_; }
    [[nodiscard]] Callbacks& callbacks() const noexcept { return callbacks_; }
    [[nodiscard]] const char* name() const noexcept { return name_; }
    /// In force at this moment.
    [[nodiscard]] CopyPolicy copy_policy() const noexcept;
    [[nodiscard]] ReusePolicy reuse_policy() const noexcept;
    /// A trial or a probe is being made.
    [[nodiscard]] bool calibrating() const noexcept;
    /// device_observed.cpp. Mappings are tagged (telemetry.hpp); one in `sample` is counted in histograms, a power of
    /// two up to Sampler::kMostSample, 0: none. ENOMEM. Thread-safe, as all of these.
    Result<void> set_observed(bool tags, std::uint32_t sample) noexcept;
    [[nodiscard]] bool observed() const noexcept {
        return tags_.load(std::memory_order_relaxed) || sampled_or_traced();
    }
    [[nodiscard]] bool sampled_or_traced() const noexcept;
    /// What it asks for is recorded there (trace.hpp), from now on and by those threads that see it; nullptr: no more.
    void set_trace(Trace* trace) noexcept;
    /// Empty until the first sample was asked for.
    [[nodiscard]] const Sampler* sampler() const noexcept { return sampler_.load(std::memory_order_acquire); }  // O1
    /// What the device may choose from, as in its config. A new choice begins at once.
    struct Tuned {
        CopyPolicy copy = CopyPolicy::kAuto;
        ReusePolicy reuse = ReusePolicy::kAuto;
        std::uint64_t window_bytes = 0;
    };
    Result<void> set_policy(const Tuned& tuned) noexcept;
    [[nodiscard]] Tuned policy() noexcept;
    /// In every token of the device.
    [[nodiscard]] std::uint32_t id() const noexcept { return id_; }
    /// In tags; 0: it has none.
    [[nodiscard]] std::uint32_t number() const noexcept { return number_; }
    [[nodiscard]] RegionMask domain() const noexcept { return group_.domain; }
    [[nodiscard]] Pool::GroupCounts counts() const noexcept { return pool_.count(group_); }
    /// For Telemetry, under its lock.
    [[nodiscard]] Device* next_device() const noexcept { return next_device_; }
    void set_next_device(Device* next) noexcept { next_device_ = next; }

    /// The highest address that streaming mappings may have.
    [[nodiscard]] std::uint64_t dma_mask() const noexcept { return dma_mask_; }
    [[nodiscard]] const DeviceLimits& limits() const noexcept { return limits_; }
    /// Of mappings that are made from now on. device_special.cpp. Thread-safe.
    void set_scrub(Scrub at_map, Scrub at_unmap) noexcept;
    [[nodiscard]] Scrub scrub_at_map() const noexcept { return scrub_at_map_.load(std::memory_order_relaxed); }
    [[nodiscard]] Scrub scrub_at_unmap() const noexcept { return scrub_at_unmap_.load(std::memory_order_relaxed); }
    /// Has it any limit beyond a length, or a scrub policy? Then mappings go by device_special.cpp.
    [[nodiscard]] bool special() const noexcept {
        return limits_.placed() || scrub_at_map() != Scrub::kNone || scrub_at_unmap() != Scrub::kNone;
    }
    [[nodiscard]] NumaRule numa() const noexcept { return group_.rule(); }
    void set_numa_policy(NumaPolicy policy) noexcept { pool_.set_numa_policy(group_, policy); }
    /// Whose buffers may go as they are: nullptr when all bounces.
    [[nodiscard]] const DirectPath* direct() const noexcept { return direct_.get(); }
    [[nodiscard]] const Region& region_of(const bounce_block& block) const noexcept {
        return pool_.region(SlotHandle(block.handle).region());
    }

private:
    Device(Pool& pool, Callbacks& callbacks, const DeviceConfig& config) noexcept;
    static DeviceLimits limits_of(const DeviceConfig& config) noexcept;
    /// map_limit_ and list_limit_.
    void set_short_ways(bool direct) noexcept;
    [[nodiscard]] static bool good_map(const void* buf, std::size_t bytes, std::uint32_t flags,
                                       std::uint64_t limit) noexcept;
    [[nodiscard]] Error why_not_map(const void* buf, std::size_t bytes, std::uint32_t flags) const noexcept;
    Result<void> map_one(Context* context, void* buf, std::size_t bytes, Direction direction, std::uint32_t flags,
                         bounce_mapping& mapping, bool& streamed) noexcept;
    bool copy_in(std::uint32_t mode, std::byte* slot, const void* buf, std::size_t bytes) noexcept;
    bool fill(bounce_mapping& mapping, std::byte* slot, void* buf, std::size_t bytes, Direction direction,
              std::uint32_t flags, bool first = true) noexcept;
    Result<Wish> wish_of(const MapRequest& request) const noexcept;
    Result<std::uint64_t> take_direct(const MapRequest& request) noexcept;
    Result<void> take_now(const Wish& wish, Slot& slot) noexcept;
    Result<void> map_taken(const MapRequest& request, const Wish& wish, const Slot& slot,
                           bounce_mapping& mapping) noexcept;
    Result<void> check_sg(std::span<const bounce_sg> sg, std::uint32_t flags) const noexcept;
    Result<void> check_token(const bounce_mapping& mapping) const noexcept;
    Result<void> check_sync(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                            Direction direction) const noexcept;
    Result<void> sync_out(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                          Direction direction) noexcept;
    Result<void> sync_in(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                         Direction direction) noexcept;
    static Result<void> check_sync_range(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                                         Direction direction) noexcept;
    Result<void> check_fresh(const Slot& slot) const noexcept;
    bool copy_out(const bounce_mapping& mapping, std::size_t written, bool& copied) noexcept;
    bool copy_back(const bounce_mapping& mapping, std::size_t written) noexcept;
    bool copy_back_timed(std::uint32_t mode, const bounce_mapping& mapping, std::size_t written) noexcept;
    Result<void> unmap_slow(Context* context, bounce_mapping& mapping, const std::size_t* written,
                            Pool::Begun why) noexcept;
    static Error lost(const bounce_mapping& mapping) noexcept;
    static Error not_live(const bounce_mapping& mapping) noexcept;

    // device_special.cpp
    [[nodiscard]] bool can_map(const void* buf, std::size_t bytes, std::uint32_t flags) const noexcept;
    [[nodiscard]] Slot whole_slot(const bounce_mapping& mapping) const noexcept;
    Result<void> check_live(const bounce_mapping& mapping) const noexcept;
    Result<Wish> wish_for(std::uint64_t padding, std::uint64_t bytes, std::uint64_t align) const noexcept;
    /// The rest of a mapping in a slot that was got for so many bytes. True: it was streamed.
    bool fill_special(const Slot& slot, std::uint64_t wanted, const MapRequest& request,
                      bounce_mapping& mapping) noexcept;
    void fill_direct(std::uint64_t address, const MapRequest& request, bounce_mapping& mapping) noexcept;
    Result<void> map_special(Context* context, void* buf, std::size_t bytes, Direction direction, std::uint32_t flags,
                             std::uint64_t align, bounce_mapping& mapping, bool& streamed) noexcept;
    void scrub_mapped(std::byte* slot, std::uint64_t room, std::uint64_t padding, std::uint64_t bytes,
                      bool copied) const noexcept;
    void scrub_ended(const Pool::Ending& ending, std::uint64_t padding, std::uint64_t bytes) const noexcept;
    Result<void> end_special(Context* context, bounce_mapping& mapping, const std::size_t* written) noexcept;
    Error no_slot(Error error, const void* buf, std::uint64_t bytes, std::uint32_t flags) noexcept;
    // list.cpp
    class ListBuilder;
    static constexpr std::uint64_t kMostListBytes = std::uint64_t{1} << 43;  // as much as the largest region
    Result<void> end_of_list(std::span<bounce_mapping> tokens, std::size_t written) noexcept;
    Result<void> check_head(const bounce_mapping& head, bool good_group) const noexcept;
    Result<void> check_group(const bounce_mapping& head, bool good_group, std::uint64_t bytes,
                             Direction direction) const noexcept;
    void sync_pieces(std::span<const bounce_mapping> tokens, std::uint64_t at, std::uint64_t offset,
                     std::uint64_t bytes, bool for_cpu, bool& streamed) noexcept;
    // scatter.cpp
    template <class WrittenOf>
    Result<void> unmap_many(std::span<bounce_mapping> mappings, WrittenOf&& written_of) noexcept;

    // watched.cpp: the long way, for what the short one refuses: devices that are watched or have limits, and errors
    Result<void> init_watch(const DeviceConfig& config) noexcept;
    Result<void> map_long(Context* context, void* buf, std::size_t bytes, Direction direction, std::uint32_t flags,
                          std::uint64_t align, bounce_mapping& mapping, bool& streamed) noexcept;
    Result<void> map_recorded(Context* context, void* buf, std::size_t bytes, Direction direction, std::uint32_t flags,
                              std::uint64_t align, bounce_mapping& mapping, bool& streamed) noexcept;
    void note_record(const bounce_mapping& mapping) noexcept;
    Result<void> record_block(const Slot& slot, const bounce_block& block) noexcept;
    Result<void> free_checked(SlotKind kind, bounce_block& block) noexcept;
    void watch_mapping(bounce_mapping& mapping, bool turn, std::uint64_t list, std::uint64_t members) noexcept;
    void watch_block(const bounce_block& block) noexcept;
    /// written == nullptr: nothing is copied.
    Result<void> end_long(Context* context, bounce_mapping& mapping, const std::size_t* written) noexcept;
    Result<void> end_watched(Context* context, bounce_mapping& mapping, const std::size_t* written,
                             DebugApi api) noexcept;
    Result<void> map_list_long(std::span<const bounce_sg> sg, Direction direction, std::uint32_t flags,
                               bounce_mapping* mappings) noexcept;
    Result<void> unmap_list_watched(std::span<bounce_mapping> mappings, std::size_t written) noexcept;
    Result<void> sync_long(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes, Direction direction,
                           bool for_cpu) noexcept;
    // block.cpp
    Result<void> take_block(SlotKind kind, const BlockRequest& request, bounce_block& block) noexcept;
    Result<void> give_block(SlotKind kind, bounce_block& block) noexcept;

    // device_shared.cpp
    Result<void> map_shared(void* buf, std::size_t bytes, Direction direction, std::uint32_t flags,
                            bounce_mapping& mapping) noexcept;
    Result<void> map_sg_shared(std::span<const bounce_sg> sg, Direction direction, std::uint32_t flags,
                               bounce_mapping* mappings) noexcept;
    Result<void> end_shared(bounce_mapping& mapping) noexcept;
    Result<void> check_mapped(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                              Direction direction) const noexcept;
    Result<std::uint64_t> mapped_address_slow(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                                              Direction direction) const noexcept;
    Result<void> check_shared_sync(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                                   Direction direction) const noexcept;
    [[nodiscard]] Error not_mine(const bounce_mapping& mapping) const noexcept;
    static Error why_not_shared(int code, const bounce_mapping& mapping) noexcept;

    // device_direct.cpp
    Result<void> map_direct(Context* context, void* buf, std::size_t bytes, Direction direction, std::uint32_t flags,
                            std::uint64_t align, bounce_mapping& mapping, bool& streamed) noexcept;
    Result<void> end_direct(bounce_mapping& mapping) noexcept;
    Result<void> check_direct_sync(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                                   Direction direction) const noexcept;

    // device_policy.cpp
    void init_policy(const DeviceConfig& config) noexcept;
    /// About this many mappings were made since the last call; it need not be exact.
    void note_maps(std::uint64_t mappings) noexcept;
    bool map_timed(std::uint32_t mode, std::byte* slot, const void* buf, std::size_t bytes, bool copies,
                   std::uint64_t id) noexcept;
    void begin_timing() noexcept;
    void adopt_choice() noexcept;
    /// calibration_ begins anew with what the config leaves open; by who has it.
    void restart_calibration(const DeviceConfig& config) noexcept;
    /// The one place where a choice of slots reaches the pool.
    void apply_reuse(const Choice& choice) noexcept;

    // device_observed.cpp
    bool map_noted(std::uint32_t mode, std::byte* slot, const void* buf, std::size_t bytes, bool copies,
                   const bounce_mapping& mapping, Direction direction) noexcept;
    bool copy_back_noted(std::uint32_t mode, const bounce_mapping& mapping, std::size_t written) noexcept;
    /// Of a slot that was handed out just now, and begins at gpa.
    void tag_slot(SlotHandle handle, Gpa gpa, std::uint64_t bytes, Direction direction) noexcept;
    void take_calibration() noexcept;
    // device_trace.cpp; each does nothing when nothing is recorded.
    void trace_map(Trace& trace, const bounce_mapping& mapping, const void* buf, std::uint64_t bytes) noexcept;
    void trace_end(Trace& trace, const bounce_mapping& mapping) noexcept;
    /// Of an end that copies nothing back.
    void trace_dropped(const bounce_mapping& mapping) noexcept;
    void trace_no_slot(int code, const void* buf, std::uint64_t bytes) noexcept;
    void trace_wait(const void* buf, std::uint64_t bytes, bool begins) noexcept;
    void trace_block(const bounce_block& block, std::uint64_t align) noexcept;
    void trace_freed(const bounce_block& block) noexcept;
    void trace_no_block(int code, SlotKind kind, std::uint64_t bytes) noexcept;

    // What mode_ holds: how to copy, whether mappings are reported to calibration_, with their times, the reuse policy
    // in force, and whether mappings are tagged or sampled.
    static constexpr std::uint32_t kStreams = 1u << 0;
    static constexpr std::uint32_t kTimed = 1u << 1;
    static constexpr std::uint32_t kClock = 1u << 2;
    static constexpr unsigned kReuseShift = 3;
    static constexpr std::uint32_t kReuseMask = 3;
    static constexpr std::uint32_t kTagged = 1u << 5;
    static constexpr std::uint32_t kSampled = 1u << 6;
    // Ends go by device_observed.cpp. (They have nothing to do with tags.)
    static constexpr std::uint32_t kLong = kTimed | kSampled;
    // Mappings do.
    static constexpr std::uint32_t kNoted = kLong | kTagged;
    // In until_timing_: the options leave no choice.
    static constexpr std::uint64_t kNever = ~std::uint64_t{0};

    Pool& pool_;
    Callbacks& callbacks_;
    const std::uint32_t id_;  // in every token of this device
    const std::uint64_t dma_mask_;
    const std::uint64_t coherent_dma_mask_;
    const DeviceLimits limits_;
    const bool watched_;
    // What the short ways of map and of lists take; 0 for a device that is watched or has limits beyond a length, so
    // that all of it goes the long way and the short ones have nothing to ask.
    // Relaxed: set_scrub() changes them, and either way is right for who maps meanwhile.
    std::atomic<std::uint64_t> map_limit_;
    std::atomic<std::size_t> list_limit_;
    std::atomic<Scrub> scrub_at_map_;
    std::atomic<Scrub> scrub_at_unmap_;
    // M1: relaxed everywhere. Any mode that was ever in force is a right way to copy.
    std::atomic<std::uint32_t> mode_{0};
    char name_[64];
    ContextGroup group_;  // of its mappings; its rule is for all that the device takes out of the pool
    std::atomic<std::uint64_t> blocks_{0};
    Records* records_ = nullptr;
    std::uint32_t enrolled_ = 0;  // in records_
    std::unique_ptr<Debug> debug_;
    SharedMaps shared_maps_;
    WaitLine line_{group_, id_};
    std::unique_ptr<DirectPath> direct_;  // empty: all bounces
    // M2: relaxed loads and stores, no read-modify-write: what two threads count at once may be lost.
    alignas(kCacheLine) std::atomic<std::uint64_t> until_timing_{kNever};
    // M3: acquire by exchange in begin_timing(), map_timed() and copy_back_timed(), pairs with M4, the release
    // store at their ends: calibration_ belongs to who has it. Nobody waits for it: an event less does not matter.
    std::atomic<bool> busy_{false};
    Choice applied_;
    Calibration calibration_;
    Tuned tuned_;  // as calibration_
    std::atomic<bool> tags_{false};
    std::atomic<std::uint32_t> sample_{0};
    // O1: stored with release when it is complete, loaded with acquire; the device's.
    std::atomic<Sampler*> sampler_{nullptr};
    // O2: stored with release when it is complete, loaded with acquire; it outlives the device.
    std::atomic<Trace*> trace_{nullptr};
    std::uint32_t number_ = 0;
    Device* next_device_ = nullptr;
};

}  // namespace bounce
