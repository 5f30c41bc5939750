// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Save and restore for C++20: over the C functions of save.h, which says what each call means.
#ifndef BOUNCE_SAVE_HPP
#define BOUNCE_SAVE_HPP

#include <bounce/save.h>
#include <bounce/bounce.hpp>

namespace bounce {
inline namespace v0 {

/// How many bytes the form takes at this moment.
inline Result<std::size_t> save_size(const Pool& pool) noexcept {
    std::size_t bytes = 0;
    if (const int status = bounce_pool_save(pool.handle(), nullptr, 0, &bytes); status < 0) return Error(-status);
    return bytes;
}

/// How many bytes of `form` were written.
inline Result<std::size_t> save(const Pool& pool, std::span<std::byte> form) noexcept {
    std::size_t bytes = 0;
    if (const int status = bounce_pool_save(pool.handle(), form.data(), form.size(), &bytes); status < 0)
        return Error(-status);
    return bytes;
}

/// What a form spoke of, until it is claimed. Ends before its pool does.
class Restore {
public:
    static Result<Restore> create(const Pool& pool, std::span<const std::byte> form) noexcept {
        bounce_restore* handle = nullptr;
        if (const int status = bounce_pool_restore(pool.handle(), form.data(), form.size(), &handle); status < 0)
            return Error(-status);
        return Restore(handle);
    }
    Restore(Restore&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Restore& operator=(Restore&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~Restore() { static_cast<void>(bounce_restore_destroy(handle_)); }
    [[nodiscard]] bounce_restore* handle() const noexcept { return handle_; }

    /// buf takes as many bytes as were mapped.
    Result<Mapping> claim(const DeviceRef& device, std::uint64_t addr, std::span<std::byte> buf) noexcept {
        Mapping mapping;
        const int status =
            bounce_restore_claim(handle_, device.handle(), addr, buf.data(), buf.size(), &mapping.token_);
        if (status < 0) return Error(-status);
        mapping.device_ = device.handle();
        return mapping;
    }
    Result<Coherent> claim_coherent(const DeviceRef& device, std::uint64_t addr) noexcept {
        return claim_block<Coherent>(device, addr);
    }
    Result<Buffer> claim_buffer(const DeviceRef& device, std::uint64_t addr) noexcept {
        return claim_block<Buffer>(device, addr);
    }
    /// visit(const bounce_saved&); how many there are.
    template <class Visit>
    Result<std::size_t> visit(Visit&& visit) noexcept {
        using Visitor = std::remove_reference_t<Visit>;
        const auto call = [](void* user, const bounce_saved* saved) { (*static_cast<Visitor*>(user))(*saved); };
        return detail::counted<std::size_t>(bounce_restore_visit(handle_, call, std::addressof(visit)));
    }
    /// How many are quarantined.
    Result<std::size_t> finish() noexcept { return detail::counted<std::size_t>(bounce_restore_finish(handle_)); }
    /// How many are free again. nullptr: of each device.
    Result<std::size_t> release(const char* device) noexcept {
        return detail::counted<std::size_t>(bounce_restore_release(handle_, device));
    }

private:
    explicit Restore(bounce_restore* handle) noexcept : handle_(handle) {}
    template <class Memory>
    Result<Memory> claim_block(const DeviceRef& device, std::uint64_t addr) noexcept {
        Memory memory;
        if (const int status = bounce_restore_claim_block(handle_, device.handle(), addr, &memory.block_); status < 0)
            return Error(-status);
        memory.device_ = device.handle();
        return memory;
    }

    bounce_restore* handle_;
};

}  // namespace v0
}  // namespace bounce
#endif
