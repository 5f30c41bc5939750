// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// libbounce for C++20: virtqueues from the device side, over the C functions of virtio_device.h, which says what each
// call means. As in bounce.hpp: header-only, throws nothing.
#ifndef BOUNCE_VIRTIO_DEVICE_HPP
#define BOUNCE_VIRTIO_DEVICE_HPP

#include <bounce/bounce.hpp>
#include <bounce/virtio_device.h>

namespace bounce {
inline namespace v0 {

/// Queues on it are destroyed before it: it refuses to be destroyed before (-EBUSY) and would be leaked.
class GuestMemory {
public:
    [[nodiscard]] static Result<GuestMemory> create() noexcept {
        bounce_guest_memory* memory = nullptr;
        if (const int status = bounce_guest_memory_create(&memory); status < 0) return Error(-status);
        return GuestMemory(memory);
    }
    GuestMemory(GuestMemory&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    GuestMemory& operator=(GuestMemory&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~GuestMemory() { static_cast<void>(bounce_guest_memory_destroy(handle_)); }
    [[nodiscard]] bounce_guest_memory* handle() const noexcept { return handle_; }

    Result<void> add(std::span<const bounce_guest_region> regions) noexcept {
        return detail::checked(bounce_guest_memory_add(handle_, regions.data(), regions.size()));
    }
    Result<void> add(const bounce_guest_region& region) noexcept { return add(std::span(&region, 1)); }
    /// A ticket for wait().
    Result<std::uint64_t> set(std::span<const bounce_guest_region> regions) noexcept {
        std::uint64_t ticket = 0;
        return with(bounce_guest_memory_set(handle_, regions.data(), regions.size(), &ticket), ticket);
    }
    /// A ticket for wait().
    Result<std::uint64_t> remove(std::uint64_t gpa, std::uint64_t bytes) noexcept {
        std::uint64_t ticket = 0;
        return with(bounce_guest_memory_remove(handle_, gpa, bytes, &ticket), ticket);
    }
    /// A ticket for wait().
    Result<std::uint64_t> log_dirty(bounce_dirty_fn dirty, void* user) noexcept {
        std::uint64_t ticket = 0;
        return with(bounce_guest_memory_log_dirty(handle_, dirty, user, &ticket), ticket);
    }
    /// Without a limit when timeout is std::chrono::milliseconds::max().
    Result<void> wait(std::uint64_t ticket, std::chrono::milliseconds timeout) noexcept {
        const auto count = timeout.count();
        const auto limit = count < 0 ? 0 : count < UINT32_MAX ? static_cast<std::uint32_t>(count) : UINT32_MAX;
        return detail::checked(bounce_guest_memory_wait(handle_, ticket, limit));
    }

private:
    explicit GuestMemory(bounce_guest_memory* handle) noexcept : handle_(handle) {}
    static Result<std::uint64_t> with(int status, const std::uint64_t& ticket) noexcept {
        if (status < 0) return Error(-status);
        return ticket;
    }
    bounce_guest_memory* handle_;
};

/// Room for N segments, and what pop() says of them.
template <std::uint32_t N>
class Element {
public:
    Element() noexcept {
        raw_.segments = segments_;
        raw_.max_segments = N;
    }
    Element(const Element&) = delete;
    Element& operator=(const Element&) = delete;

    [[nodiscard]] std::span<const bounce_element_segment> readable() const noexcept { return {segments_, raw_.n_out}; }
    [[nodiscard]] std::span<const bounce_element_segment> writable() const noexcept {
        return {segments_ + raw_.n_out, raw_.n_in};
    }
    [[nodiscard]] std::uint64_t readable_bytes() const noexcept { return raw_.out_bytes; }
    [[nodiscard]] std::uint64_t writable_bytes() const noexcept { return raw_.in_bytes; }
    [[nodiscard]] bounce_element& raw() noexcept { return raw_; }
    [[nodiscard]] const bounce_element& raw() const noexcept { return raw_; }

private:
    bounce_element raw_{};
    bounce_element_segment segments_[N];
};

/// Push or drop every element before it ends.
class Virtqueue {
public:
    /// The size field of the options is set here.
    [[nodiscard]] static Result<Virtqueue> create(GuestMemory& memory, bounce_virtqueue_options options) noexcept {
        options.size = sizeof options;
        bounce_virtqueue* queue = nullptr;
        if (const int status = bounce_virtqueue_create(memory.handle(), &options, &queue); status < 0)
            return Error(-status);
        return Virtqueue(queue);
    }
    Virtqueue(Virtqueue&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Virtqueue& operator=(Virtqueue&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~Virtqueue() { static_cast<void>(bounce_virtqueue_destroy(handle_)); }
    [[nodiscard]] bounce_virtqueue* handle() const noexcept { return handle_; }

    /// False: there is none.
    Result<bool> pop(bounce_element& element) noexcept {
        return detail::counted<bool>(bounce_virtqueue_pop(handle_, &element));
    }
    template <std::uint32_t N>
    Result<bool> pop(Element<N>& element) noexcept {
        return pop(element.raw());
    }
    /// How many.
    Result<std::size_t> pop(std::span<bounce_element> elements) noexcept {
        return detail::counted<std::size_t>(bounce_virtqueue_pop_many(handle_, elements.data(), elements.size()));
    }
    Result<void> push(const bounce_element& element, std::uint32_t written) noexcept {
        return detail::checked(bounce_virtqueue_push(handle_, &element, written));
    }
    template <std::uint32_t N>
    Result<void> push(const Element<N>& element, std::uint32_t written) noexcept {
        return push(element.raw(), written);
    }
    /// How many, from the first on; as many lengths as elements.
    Result<std::size_t> push(std::span<const bounce_element> elements, const std::uint32_t* written) noexcept {
        return detail::counted<std::size_t>(
            bounce_virtqueue_push_many(handle_, elements.data(), written, elements.size()));
    }
    Result<void> complete(const bounce_element& element, std::uint32_t written) noexcept {
        return detail::checked(bounce_virtqueue_complete(handle_, &element, written));
    }
    Result<void> drop(const bounce_element& element) noexcept {
        return detail::checked(bounce_virtqueue_drop(handle_, &element));
    }
    Result<void> flush() noexcept { return detail::checked(bounce_virtqueue_flush(handle_)); }
    Result<bool> needs_call() noexcept { return detail::counted<bool>(bounce_virtqueue_needs_call(handle_)); }
    /// True: there is an element already.
    Result<bool> enable_kicks() noexcept { return detail::counted<bool>(bounce_virtqueue_enable_kicks(handle_)); }
    Result<void> disable_kicks() noexcept { return detail::checked(bounce_virtqueue_disable_kicks(handle_)); }
    Result<std::uint32_t> notified(std::uint32_t data) noexcept {
        return detail::counted<std::uint32_t>(bounce_virtqueue_notified(handle_, data));
    }
    Result<void> retranslate() noexcept { return detail::checked(bounce_virtqueue_retranslate(handle_)); }

    Result<void> read(const bounce_element& element, std::uint64_t offset, std::span<std::byte> to) noexcept {
        return detail::checked(bounce_virtqueue_read(handle_, &element, offset, to.data(), to.size()));
    }
    Result<void> write(const bounce_element& element, std::uint64_t offset, std::span<const std::byte> from) noexcept {
        return detail::checked(bounce_virtqueue_write(handle_, &element, offset, from.data(), from.size()));
    }
    Result<void> mark_dirty(const bounce_element& element, std::uint64_t offset, std::uint64_t bytes) noexcept {
        return detail::checked(bounce_virtqueue_mark_dirty(handle_, &element, offset, bytes));
    }
    /// With the options of before, from the beginning of the ring.
    Result<void> reset() noexcept { return detail::checked(bounce_virtqueue_reset(handle_, nullptr)); }
    Result<void> reset(bounce_virtqueue_options options) noexcept {
        options.size = sizeof options;
        return detail::checked(bounce_virtqueue_reset(handle_, &options));
    }
    [[nodiscard]] Result<bounce_virtqueue_info> info() const noexcept {
        bounce_virtqueue_info info;
        if (const int status = bounce_virtqueue_get_info(handle_, &info); status < 0) return Error(-status);
        return info;
    }

private:
    explicit Virtqueue(bounce_virtqueue* handle) noexcept : handle_(handle) {}
    bounce_virtqueue* handle_;
};

}  // namespace v0
}  // namespace bounce

#endif
