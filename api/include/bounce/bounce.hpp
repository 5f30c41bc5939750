// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// libbounce for C++20: owners over the C functions of bounce.h, which says what each call means. Header-only; it throws
// nothing and works with -fno-exceptions.
//
// A call that can fail returns a Result: test it, then use * or ->. Owners are move-only, and what they hold ends with
// them: a Mapping is unmapped (all of it copied back where its direction says so), memory is freed, a device and a pool
// are destroyed. Destroy in the reverse order of creation, as scopes do by themselves: a pool that still has a device,
// or a device that still has mappings, refuses to be destroyed (-EBUSY) and would be leaked.
//
// Thread-safety, blocking and errors are those of the C functions.
#ifndef BOUNCE_BOUNCE_HPP
#define BOUNCE_BOUNCE_HPP

#include <bounce/bounce.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace bounce {
inline namespace v0 {

/// A positive errno value. text() says what it means; message() is the sentence of this thread's last failure.
class [[nodiscard]] Error {
public:
    constexpr explicit Error(int code) noexcept : code_(code) {}
    [[nodiscard]] constexpr int code() const noexcept { return code_; }
    [[nodiscard]] const char* text() const noexcept { return bounce_error_text(code_); }
    [[nodiscard]] static const char* message() noexcept { return bounce_last_error(); }
    friend constexpr bool operator==(Error, Error) = default;

private:
    int code_;
};

/// A T or an Error.
template <class T>
class [[nodiscard]] Result {
    static_assert(std::is_nothrow_move_constructible_v<T>);

public:
    Result(Error error) noexcept : code_(error.code()) {}
    Result(T value) noexcept : code_(0) { ::new (static_cast<void*>(&value_)) T(std::move(value)); }
    Result(Result&& other) noexcept : code_(other.code_) {
        if (code_ == 0) ::new (static_cast<void*>(&value_)) T(std::move(other.value_));
    }
    Result& operator=(Result&&) = delete;
    ~Result() {
        if (code_ == 0) value_.~T();
    }
    [[nodiscard]] explicit operator bool() const noexcept { return code_ == 0; }
    [[nodiscard]] Error error() const noexcept { return Error(code_); }
    /// 0 or a positive errno value.
    [[nodiscard]] int code() const noexcept { return code_; }
    /// Only of a Result that is true.
    T& operator*() & noexcept { return value_; }
    const T& operator*() const& noexcept { return value_; }
    T&& operator*() && noexcept { return std::move(value_); }
    T* operator->() noexcept { return &value_; }
    const T* operator->() const noexcept { return &value_; }
    T value_or(T otherwise) && noexcept { return code_ == 0 ? std::move(value_) : std::move(otherwise); }

private:
    int code_;
    union {
        T value_;
    };
};

template <>
class [[nodiscard]] Result<void> {
public:
    constexpr Result() noexcept = default;
    constexpr Result(Error error) noexcept : code_(error.code()) {}
    [[nodiscard]] constexpr explicit operator bool() const noexcept { return code_ == 0; }
    [[nodiscard]] constexpr Error error() const noexcept { return Error(code_); }
    [[nodiscard]] constexpr int code() const noexcept { return code_; }

private:
    int code_ = 0;
};

namespace detail {

inline Result<void> checked(int status) noexcept {
    if (status < 0) return Error(-status);
    return {};
}

/// For calls that return a count, or 0 and 1.
template <class T>
Result<T> counted(int status) noexcept {
    if (status < 0) return Error(-status);
    return static_cast<T>(status);
}

}  // namespace detail

enum class Direction : int {
    kBidirectional = BOUNCE_BIDIRECTIONAL,
    kToDevice = BOUNCE_TO_DEVICE,
    kFromDevice = BOUNCE_FROM_DEVICE,
};

// ---- Mapping ---------------------------------------------------------------------------------------------------

/// A private buffer mapped for the device. It ends with unmap(), discard() or the destructor, which copies all of it
/// back where the direction says so. The buffer and the device must outlive it.
class Mapping {
public:
    Mapping() noexcept = default;
    /// Owns what the C functions mapped.
    Mapping(bounce_device* device, const bounce_mapping& token) noexcept : device_(device), token_(token) {}
    Mapping(Mapping&& other) noexcept : device_(std::exchange(other.device_, nullptr)), token_(other.token_) {}
    Mapping& operator=(Mapping&& other) noexcept {
        if (this != &other) {
            end();
            device_ = std::exchange(other.device_, nullptr);
            token_ = other.token_;
        }
        return *this;
    }
    ~Mapping() { end(); }

    /// For the device.
    [[nodiscard]] std::uint64_t addr() const noexcept { return token_.addr; }
    [[nodiscard]] std::size_t size() const noexcept { return static_cast<std::size_t>(token_.bytes); }
    [[nodiscard]] explicit operator bool() const noexcept { return device_ != nullptr; }
    [[nodiscard]] const bounce_mapping& token() const noexcept { return token_; }

    /// written: what the device reported.
    Result<void> unmap(std::size_t written = SIZE_MAX) noexcept {
        bounce_device* device = std::exchange(device_, nullptr);
        return detail::checked(bounce_device_unmap(device, &token_, written));
    }
    /// Copies nothing back: for a request that the device did not do.
    Result<void> discard() noexcept { return unmap(0); }

    Result<void> sync_for_cpu(std::size_t offset, std::size_t bytes, Direction direction) const noexcept {
        return detail::checked(
            bounce_device_sync_for_cpu(device_, &token_, offset, bytes, static_cast<int>(direction)));
    }
    Result<void> sync_for_device(std::size_t offset, std::size_t bytes, Direction direction) const noexcept {
        return detail::checked(
            bounce_device_sync_for_device(device_, &token_, offset, bytes, static_cast<int>(direction)));
    }

private:
    friend class DeviceRef;
    friend class Restore;  // save.hpp
    void end() noexcept {
        if (device_ != nullptr) static_cast<void>(unmap());
    }

    bounce_device* device_ = nullptr;
    bounce_mapping token_{};
};

// ---- Coherent memory and born-shared buffers --------------------------------------------------------------------

/// Memory of the pool; freed by the destructor. The device must outlive it.
template <auto Free>
class Block {
public:
    Block() noexcept = default;
    Block(Block&& other) noexcept : device_(std::exchange(other.device_, nullptr)), block_(other.block_) {}
    Block& operator=(Block&& other) noexcept {
        if (this != &other) {
            static_cast<void>(end());
            device_ = std::exchange(other.device_, nullptr);
            block_ = other.block_;
        }
        return *this;
    }
    ~Block() { static_cast<void>(end()); }

    [[nodiscard]] void* data() const noexcept { return block_.ptr; }
    [[nodiscard]] std::size_t size() const noexcept { return static_cast<std::size_t>(block_.bytes); }
    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {static_cast<std::byte*>(block_.ptr), size()}; }
    /// For the device.
    [[nodiscard]] std::uint64_t addr() const noexcept { return block_.addr; }
    [[nodiscard]] explicit operator bool() const noexcept { return device_ != nullptr; }

    Result<void> free() noexcept { return detail::checked(end()); }

private:
    friend class DeviceRef;
    friend class Restore;
    int end() noexcept {
        bounce_device* device = std::exchange(device_, nullptr);
        return device == nullptr ? 0 : Free(device, &block_);
    }

    bounce_device* device_ = nullptr;
    bounce_block block_{};
};

using Coherent = Block<bounce_coherent_free>;
using Buffer = Block<bounce_buffer_free>;

// ---- Rings -------------------------------------------------------------------------------------------------------

inline bounce_sg segment(const void* base, std::size_t bytes) noexcept {
    return {const_cast<void*>(base), bytes, 0, 0};
}
/// A piece of a born-shared buffer.
inline bounce_sg shared_segment(const Buffer& buffer, std::size_t offset, std::size_t bytes) noexcept {
    return {static_cast<std::byte*>(buffer.data()) + offset, bytes, BOUNCE_SG_SHARED, 0};
}
/// The same for the device to write: it may change while it is read.
inline bounce_sg shared_incoming_segment(const Buffer& buffer, std::size_t offset, std::size_t bytes) noexcept {
    return {static_cast<std::byte*>(buffer.data()) + offset, bytes, BOUNCE_SG_SHARED | BOUNCE_SG_SHARED_IN, 0};
}

/// A piece of a live mapping, which goes into the ring without a copy and must stay where it is until the completion.
inline bounce_sg mapped_segment(const bounce_mapping& mapping, std::uint32_t offset, std::size_t bytes) noexcept {
    return {const_cast<bounce_mapping*>(&mapping), bytes, BOUNCE_SG_MAPPED, offset};
}

/// A ring that something else owns.
class RingRef {
public:
    explicit RingRef(bounce_ring* handle) noexcept : handle_(handle) {}
    [[nodiscard]] bounce_ring* handle() const noexcept { return handle_; }

    [[nodiscard]] Result<bounce_ring_layout> layout() const noexcept {
        bounce_ring_layout layout;
        if (const int status = bounce_ring_get_layout(handle_, &layout); status < 0) return Error(-status);
        return layout;
    }
    /// sg[0, n_out) is for the device to read, the rest for it to write.
    Result<void> add(std::span<const bounce_sg> sg, std::size_t n_out, void* cookie) noexcept {
        // n_out > sg.size() wraps, and the library refuses two counts whose sum overflows.
        return detail::checked(bounce_ring_add(handle_, sg.data(), n_out, sg.size() - n_out, cookie));
    }
    /// How many of the requests were added, from the first on.
    Result<std::size_t> add_many(std::span<const bounce_ring_request> requests) noexcept {
        return detail::counted<std::size_t>(bounce_ring_add_many(handle_, requests.data(), requests.size()));
    }
    /// What a kick carries with VIRTIO_F_NOTIFICATION_DATA.
    [[nodiscard]] Result<std::uint32_t> notification_data() const noexcept {
        std::uint32_t data = 0;
        if (const int status = bounce_ring_get_notification_data(handle_, &data); status < 0) return Error(-status);
        return data;
    }
    /// True: the device wants a kick.
    Result<bool> publish() noexcept { return detail::counted<bool>(bounce_ring_publish(handle_)); }
    /// How many of `completions` were filled.
    Result<std::size_t> collect(std::span<bounce_completion> completions) noexcept {
        return detail::counted<std::size_t>(bounce_ring_collect(handle_, completions.data(), completions.size()));
    }
    /// collect(), which arms and disarms by itself; wait: nothing is there, and a call is asked for.
    Result<std::size_t> poll(std::span<bounce_completion> completions, bool& wait) noexcept {
        int idle = 0;
        const int count = bounce_ring_poll(handle_, completions.data(), completions.size(), &idle);
        wait = idle != 0;
        return detail::counted<std::size_t>(count);
    }
    /// True: a completion is there already.
    Result<bool> arm() noexcept { return detail::counted<bool>(bounce_ring_arm(handle_)); }
    Result<void> disarm() noexcept { return detail::checked(bounce_ring_disarm(handle_)); }
    Result<std::size_t> abort(std::span<bounce_completion> completions) noexcept {
        return detail::counted<std::size_t>(bounce_ring_abort(handle_, completions.data(), completions.size()));
    }
    Result<void> reset() noexcept { return detail::checked(bounce_ring_reset(handle_)); }
    [[nodiscard]] Result<bounce_ring_stats> stats() const noexcept {
        bounce_ring_stats stats;
        if (const int status = bounce_ring_get_stats(handle_, &stats); status < 0) return Error(-status);
        return stats;
    }

protected:
    bounce_ring* handle_;
};

struct RingOptions {
    std::uint32_t queue_size = 128;
    std::uint32_t flags = 0;  // BOUNCE_RING_*
    std::uint32_t index = 0;
    std::uint32_t max_chain = 0;
    std::uint32_t poll_after = 0;
    std::uint32_t poll_idle = 0;
};

/// A ring; collect or abort everything before it ends.
class Ring : public RingRef {
public:
    Ring(Ring&& other) noexcept : RingRef(std::exchange(other.handle_, nullptr)) {}
    Ring& operator=(Ring&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~Ring() { static_cast<void>(bounce_ring_destroy(handle_)); }

private:
    friend class DeviceRef;
    explicit Ring(bounce_ring* handle) noexcept : RingRef(handle) {}
};

// ---- Device ------------------------------------------------------------------------------------------------------

/// A device that something else owns.
class DeviceRef {
public:
    explicit DeviceRef(bounce_device* handle) noexcept : handle_(handle) {}
    [[nodiscard]] bounce_device* handle() const noexcept { return handle_; }

    /// flags: BOUNCE_MAP_*.
    [[nodiscard]] Result<Mapping> map(void* buf, std::size_t bytes, Direction direction,
                                      std::uint32_t flags = 0) noexcept {
        Mapping mapping;
        const int status = bounce_device_map(handle_, buf, bytes, static_cast<int>(direction), flags, &mapping.token_);
        if (status < 0) return Error(-status);
        mapping.device_ = handle_;
        return mapping;
    }
    [[nodiscard]] Result<Mapping> map_to_device(std::span<const std::byte> from) noexcept {
        return map(const_cast<std::byte*>(from.data()), from.size(), Direction::kToDevice);
    }
    [[nodiscard]] Result<Mapping> map_from_device(std::span<std::byte> to) noexcept {
        return map(to.data(), to.size(), Direction::kFromDevice);
    }
    /// All or nothing; `mappings` has room for as many as `sg` holds.
    Result<void> map_sg(std::span<const bounce_sg> sg, Direction direction, std::uint32_t flags,
                        bounce_mapping* mappings) noexcept {
        return detail::checked(
            bounce_device_map_sg(handle_, sg.data(), sg.size(), static_cast<int>(direction), flags, mappings));
    }
    Result<void> unmap_sg(std::span<bounce_mapping> mappings, std::size_t written) noexcept {
        return detail::checked(bounce_device_unmap_sg(handle_, mappings.data(), mappings.size(), written));
    }

    [[nodiscard]] Result<Coherent> alloc_coherent(std::size_t bytes, std::size_t align = 0) noexcept {
        return alloc<Coherent>(bounce_coherent_alloc, bytes, align);
    }
    [[nodiscard]] Result<Buffer> alloc_buffer(std::size_t bytes, std::size_t align = 0) noexcept {
        return alloc<Buffer>(bounce_buffer_alloc, bytes, align);
    }

    [[nodiscard]] Result<Ring> create_ring(const RingOptions& options = {}) noexcept {
        const bounce_ring_options raw{sizeof raw,        options.queue_size, options.flags,    options.index,
                                      options.max_chain, options.poll_after, options.poll_idle};
        bounce_ring* ring = nullptr;
        if (const int status = bounce_ring_create(handle_, &raw, &ring); status < 0) return Error(-status);
        return Ring(ring);
    }

protected:
    bounce_device* handle_;

private:
    template <class Memory, class Alloc>
    Result<Memory> alloc(Alloc call, std::size_t bytes, std::size_t align) noexcept {
        Memory memory;
        if (const int status = call(handle_, bytes, align, &memory.block_); status < 0) return Error(-status);
        memory.device_ = handle_;
        return memory;
    }
};

enum class CopyPolicy : std::uint32_t {
    kAuto = BOUNCE_COPY_AUTO,
    kMemcpy = BOUNCE_COPY_MEMCPY,
    kNonTemporal = BOUNCE_COPY_NONTEMPORAL,
};
enum class ReusePolicy : std::uint32_t {
    kAuto = BOUNCE_REUSE_AUTO,
    kLifo = BOUNCE_REUSE_LIFO,
    kWindow = BOUNCE_REUSE_WINDOW,
    kFifo = BOUNCE_REUSE_FIFO,
};

struct DeviceOptions {
    const char* name = nullptr;
    std::uint64_t dma_mask = 0;
    std::uint64_t coherent_dma_mask = 0;
    std::uint64_t max_segment_bytes = 0;
    std::uint32_t flags = 0;  // BOUNCE_DEVICE_*
    CopyPolicy copy_policy = CopyPolicy::kAuto;
    ReusePolicy reuse_policy = ReusePolicy::kAuto;
    std::uint64_t reuse_window_bytes = 0;
    std::uint32_t node = 0;
    bounce_numa_policy numa_policy = BOUNCE_NUMA_LOCAL;
    const bounce_debug_options* debug = nullptr;  // with BOUNCE_DEVICE_DEBUG
    std::uint64_t regions = 0;                    // restricted ones, a bit each
    std::uint64_t min_align_mask = 0;
    std::uint64_t segment_boundary = 0;
    std::uint32_t max_segments = 0;
    bounce_scrub scrub_at_map = BOUNCE_SCRUB_NONE;
    bounce_scrub scrub_at_unmap = BOUNCE_SCRUB_NONE;
    const bounce_policy* policy = nullptr;  // bounce/policy.hpp
    bounce_translate_fn translate = nullptr;
    bounce_untranslate_fn untranslate = nullptr;
    void* translate_user = nullptr;
};

class Device : public DeviceRef {
public:
    Device(Device&& other) noexcept : DeviceRef(std::exchange(other.handle_, nullptr)) {}
    Device& operator=(Device&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~Device() { static_cast<void>(bounce_device_destroy(handle_)); }

private:
    friend class Pool;
    explicit Device(bounce_device* handle) noexcept : DeviceRef(handle) {}
};

// ---- Front-end ---------------------------------------------------------------------------------------------------

/// A connection to a vhost-user back-end; closed by the destructor.
class Frontend {
public:
    Frontend(Frontend&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Frontend& operator=(Frontend&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~Frontend() { static_cast<void>(bounce_frontend_close(handle_)); }
    [[nodiscard]] bounce_frontend* handle() const noexcept { return handle_; }
    [[nodiscard]] DeviceRef device() const noexcept { return DeviceRef(bounce_frontend_device(handle())); }
    /// queue must be below info().queues.
    [[nodiscard]] RingRef ring(std::uint32_t queue) const noexcept {
        return RingRef(bounce_frontend_ring(handle(), queue));
    }
    [[nodiscard]] Result<bounce_frontend_info> info() const noexcept {
        bounce_frontend_info info;
        if (const int status = bounce_frontend_get_info(handle(), &info); status < 0) return Error(-status);
        return info;
    }
    Result<void> read_config(std::uint32_t offset, std::span<std::byte> out) noexcept {
        return detail::checked(bounce_frontend_read_config(handle(), offset, out.data(), out.size()));
    }
    Result<void> write_config(std::uint32_t offset, std::span<const std::byte> in) noexcept {
        return detail::checked(bounce_frontend_write_config(handle(), offset, in.data(), in.size()));
    }
    Result<void> submit(std::uint32_t queue) noexcept {
        return detail::checked(bounce_frontend_submit(handle(), queue));
    }
    Result<void> kick(std::uint32_t queue) noexcept { return detail::checked(bounce_frontend_kick(handle(), queue)); }
    /// Without a limit when timeout is std::chrono::milliseconds::max().
    Result<void> wait(std::uint32_t queue, std::chrono::milliseconds timeout) noexcept {
        const auto count = timeout.count();
        const auto limit = count < 0 ? 0 : count < UINT32_MAX ? static_cast<std::uint32_t>(count) : UINT32_MAX;
        return detail::checked(bounce_frontend_wait(handle(), queue, limit));
    }
    [[nodiscard]] Result<void> check() noexcept { return detail::checked(bounce_frontend_check(handle())); }
    Result<void> sync_regions() noexcept { return detail::checked(bounce_frontend_sync_regions(handle())); }
    Result<void> stop_queue(std::uint32_t queue) noexcept {
        return detail::checked(bounce_frontend_stop_queue(handle(), queue));
    }
    Result<void> start_queue(std::uint32_t queue) noexcept {
        return detail::checked(bounce_frontend_start_queue(handle(), queue));
    }
    Result<void> disconnect() noexcept { return detail::checked(bounce_frontend_disconnect(handle())); }
    Result<void> reconnect() noexcept { return detail::checked(bounce_frontend_reconnect(handle())); }
    /// What the destructor does, with its result. After EBUSY it is disconnected, not closed: end what depends on it
    /// and close again.
    Result<void> close() noexcept {
        const int status = bounce_frontend_close(handle_);
        if (status != -EBUSY) handle_ = nullptr;
        return detail::checked(status);
    }

private:
    friend class Pool;
    explicit Frontend(bounce_frontend* handle) noexcept : handle_(handle) {}
    bounce_frontend* handle_;
};

/// The C struct with its size set: fill in the rest.
inline bounce_frontend_options frontend_options(const char* socket_path) noexcept {
    bounce_frontend_options options{};
    options.size = sizeof options;
    options.socket_path = socket_path;
    return options;
}

// ---- Pool --------------------------------------------------------------------------------------------------------

using LogHandler = std::function<void(int level, std::string_view line)>;
using ViolationHandler = std::function<void(const bounce_violation& violation)>;
using ShareHandler = std::function<int(std::uint64_t gpa, std::span<std::byte> memory)>;

struct RegionOptions {
    std::uint64_t bytes = 0;
    std::uint64_t base_gpa = 0;
    std::uint32_t flags = 0;  // BOUNCE_REGION_*
    std::uint32_t node = 0;
    void* hva = nullptr;
    int fd = -1;  // with hva
    std::uint64_t fd_offset = 0;

    [[nodiscard]] bounce_region_options raw() const noexcept {
        bounce_region_options raw{};
        raw.size = sizeof raw;
        raw.bytes = bytes;
        raw.base_gpa = base_gpa;
        raw.flags = flags;
        raw.node = node;
        raw.hva = hva;
        raw.fd_plus_one = fd < 0 ? 0 : fd + 1;
        raw.fd_offset = fd_offset;
        return raw;
    }
};

struct PoolOptions {
    const char* name = nullptr;
    RegionOptions region = {};
    // Called in whatever thread caused the line or noticed the violation, maybe several at once. They must not throw
    // and must not call into the library. The pool keeps them until it is destroyed.
    LogHandler log = {};
    ViolationHandler violation = {};
    std::uint32_t flags = 0;  // BOUNCE_POOL_*
    // Growing and shrinking, as in bounce_pool_options.
    std::uint64_t limit_bytes = 0;
    std::uint64_t low_watermark = 0;
    std::uint64_t high_watermark = 0;
    std::uint64_t growth_base_gpa = 0;
    std::chrono::milliseconds shrink_delay{0};  // up to UINT32_MAX
    // Conversions, both or none: 0 or -errno. Called under the pool's lock; they must not throw.
    ShareHandler share = {};
    ShareHandler unshare = {};
    std::uint32_t share_granule = 0;
    bounce_numa_policy numa_policy = BOUNCE_NUMA_LOCAL;
};

class Pool {
public:
    [[nodiscard]] static Result<Pool> create(PoolOptions options) noexcept {
        return create_by(std::move(options), bounce_pool_create);
    }
    /// The same by another function: make(const bounce_pool_options*, bounce_pool**).
    template <class Make>
    [[nodiscard]] static Result<Pool> create_by(PoolOptions options, Make&& make) noexcept {
        std::unique_ptr<Handlers> handlers(new (std::nothrow)
                                               Handlers{std::move(options.log), std::move(options.violation),
                                                        std::move(options.share), std::move(options.unshare)});
        if (handlers == nullptr) return Error(ENOMEM);
        bounce_pool_options raw{};
        raw.size = sizeof raw;
        raw.name = options.name;
        raw.region = options.region.raw();
        if (handlers->log) raw.log = log_line;
        if (handlers->violation) raw.violation = report;
        raw.log_user = raw.violation_user = raw.share_user = handlers.get();
        raw.flags = options.flags;
        raw.limit_bytes = options.limit_bytes;
        raw.low_watermark = options.low_watermark;
        raw.high_watermark = options.high_watermark;
        raw.growth_base_gpa = options.growth_base_gpa;
        const auto delay = options.shrink_delay.count();
        raw.shrink_delay_ms = delay < 0 ? 0 : delay < UINT32_MAX ? static_cast<std::uint32_t>(delay) : UINT32_MAX;
        if (handlers->share) raw.share = share;
        if (handlers->unshare) raw.unshare = unshare;
        raw.share_granule = options.share_granule;
        raw.numa_policy = options.numa_policy;
        bounce_pool* pool = nullptr;
        if (const int status = make(&raw, &pool); status < 0) return Error(-status);
        return Pool(pool, std::move(handlers));
    }
    Pool(Pool&& other) noexcept
        : handlers_(std::move(other.handlers_)), handle_(std::exchange(other.handle_, nullptr)) {}
    Pool& operator=(Pool&& other) noexcept {
        std::swap(handlers_, other.handlers_);
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~Pool() {
        // A pool that refuses (something of it still exists) lives on, and so must what it calls.
        if (bounce_pool_destroy(handle_) < 0) static_cast<void>(handlers_.release());
    }
    [[nodiscard]] bounce_pool* handle() const noexcept { return handle_; }

    Result<void> add_region(const RegionOptions& options) noexcept {
        const bounce_region_options raw = options.raw();
        return detail::checked(bounce_pool_add_region(handle(), &raw));
    }
    [[nodiscard]] Result<bounce_region_info> region(std::uint32_t index) const noexcept {
        bounce_region_info info;
        if (const int status = bounce_pool_region(handle(), index, &info); status < 0) return Error(-status);
        return info;
    }
    [[nodiscard]] Result<bounce_pool_stats> stats() const noexcept {
        bounce_pool_stats stats;
        if (const int status = bounce_pool_get_stats(handle(), &stats); status < 0) return Error(-status);
        return stats;
    }
    Result<void> renew() noexcept { return detail::checked(bounce_pool_renew(handle())); }
    Result<void> drain_region(std::uint32_t index) noexcept {
        return detail::checked(bounce_pool_drain_region(handle(), index));
    }
    Result<void> remove_region(std::uint32_t index) noexcept {
        return detail::checked(bounce_pool_remove_region(handle(), index));
    }
    /// True: there is more to do now.
    Result<bool> service() noexcept { return detail::counted<bool>(bounce_pool_service(handle())); }
    /// The pool's; to be polled.
    [[nodiscard]] Result<int> event_fd() const noexcept { return detail::counted<int>(bounce_pool_event_fd(handle())); }
    [[nodiscard]] Result<void*> gpa_to_hva(std::uint64_t gpa, std::size_t bytes) const noexcept {
        void* hva = nullptr;
        if (const int status = bounce_pool_gpa_to_hva(handle(), gpa, bytes, &hva); status < 0) return Error(-status);
        return hva;
    }
    [[nodiscard]] Result<std::uint64_t> hva_to_gpa(const void* hva, std::size_t bytes) const noexcept {
        std::uint64_t gpa = 0;
        if (const int status = bounce_pool_hva_to_gpa(handle(), hva, bytes, &gpa); status < 0) return Error(-status);
        return gpa;
    }

    [[nodiscard]] Result<Device> create_device(const DeviceOptions& options = {}) noexcept {
        bounce_device_options raw{};
        raw.size = sizeof raw;
        raw.name = options.name;
        raw.dma_mask = options.dma_mask;
        raw.coherent_dma_mask = options.coherent_dma_mask;
        raw.max_segment_bytes = options.max_segment_bytes;
        raw.flags = options.flags;
        raw.copy_policy = static_cast<std::uint32_t>(options.copy_policy);
        raw.reuse_policy = static_cast<std::uint32_t>(options.reuse_policy);
        raw.reuse_window_bytes = options.reuse_window_bytes;
        raw.node = options.node;
        raw.numa_policy = options.numa_policy;
        raw.debug = options.debug;
        raw.regions = options.regions;
        raw.min_align_mask = options.min_align_mask;
        raw.segment_boundary = options.segment_boundary;
        raw.max_segments = options.max_segments;
        raw.scrub_at_map = static_cast<std::uint8_t>(options.scrub_at_map);
        raw.scrub_at_unmap = static_cast<std::uint8_t>(options.scrub_at_unmap);
        raw.policy = options.policy;
        raw.translate = options.translate;
        raw.untranslate = options.untranslate;
        raw.translate_user = options.translate_user;
        bounce_device* device = nullptr;
        if (const int status = bounce_device_create(handle(), &raw, &device); status < 0) return Error(-status);
        return Device(device);
    }
    /// options: see frontend_options().
    [[nodiscard]] Result<Frontend> connect(const bounce_frontend_options& options) noexcept {
        bounce_frontend* frontend = nullptr;
        if (const int status = bounce_frontend_connect(handle(), &options, &frontend); status < 0)
            return Error(-status);
        return Frontend(frontend);
    }

private:
    struct Handlers {
        LogHandler log;
        ViolationHandler violation;
        ShareHandler share;
        ShareHandler unshare;
    };
    static int share(void* user, std::uint64_t gpa, void* hva, std::uint64_t bytes) noexcept {
        return static_cast<Handlers*>(user)->share(gpa, {static_cast<std::byte*>(hva), bytes});
    }
    static int unshare(void* user, std::uint64_t gpa, void* hva, std::uint64_t bytes) noexcept {
        return static_cast<Handlers*>(user)->unshare(gpa, {static_cast<std::byte*>(hva), bytes});
    }
    static void log_line(void* user, int level, const char* line) noexcept {
        static_cast<Handlers*>(user)->log(level, line);
    }
    static void report(void* user, const bounce_violation* violation) noexcept {
        static_cast<Handlers*>(user)->violation(*violation);
    }
    Pool(bounce_pool* handle, std::unique_ptr<Handlers> handlers) noexcept
        : handlers_(std::move(handlers)), handle_(handle) {}

    std::unique_ptr<Handlers> handlers_;
    bounce_pool* handle_;
};

}  // namespace v0
}  // namespace bounce
#endif
