// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// libbounce for C++20: emulated platforms, over the C functions of emulator.h, which says what each call means. As in
// bounce.hpp: header-only, throws nothing.
#ifndef BOUNCE_EMULATOR_HPP
#define BOUNCE_EMULATOR_HPP

#include <bounce/emulator.h>
#include <bounce/platform.hpp>

namespace bounce {
inline namespace v0 {

struct EmulatorOptions {
    bounce_emulated_model model = BOUNCE_EMULATED_PLAIN;
    std::uint32_t granule = 0;        // 0: the model's
    ViolationHandler violation = {};  // called by serve(); must not throw, nor call into the emulator
};

/// Destroy the pools on it first: it refuses to be destroyed before (-EBUSY) and would be leaked.
class Emulator {
public:
    [[nodiscard]] static Result<Emulator> create(EmulatorOptions options) noexcept {
        std::unique_ptr<ViolationHandler> handler(new (std::nothrow) ViolationHandler(std::move(options.violation)));
        if (handler == nullptr) return Error(ENOMEM);
        bounce_emulator_options raw{};
        raw.size = sizeof raw;
        raw.model = options.model;
        raw.granule = options.granule;
        if (*handler) raw.violation = report;
        raw.violation_user = handler.get();
        bounce_emulator* emulator = nullptr;
        if (const int status = bounce_emulator_create(&raw, &emulator); status < 0) return Error(-status);
        return Emulator(emulator, std::move(handler));
    }
    Emulator(Emulator&& other) noexcept
        : handler_(std::move(other.handler_)), handle_(std::exchange(other.handle_, nullptr)) {}
    Emulator& operator=(Emulator&& other) noexcept {
        std::swap(handler_, other.handler_);
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~Emulator() {
        if (bounce_emulator_destroy(handle_) < 0) static_cast<void>(handler_.release());
    }
    [[nodiscard]] bounce_emulator* handle() const noexcept { return handle_; }

    [[nodiscard]] Result<bounce_platform> platform(const bounce_audience& audience = {}) noexcept {
        bounce_platform platform;
        if (const int status = bounce_emulator_platform(handle_, &audience, &platform); status < 0)
            return Error(-status);
        return platform;
    }
    Result<void> add_memory(std::uint64_t gpa, std::span<std::byte> memory) noexcept {
        return detail::checked(bounce_emulator_add_memory(handle_, gpa, memory.data(), memory.size()));
    }
    Result<void> remove_memory(std::uint64_t gpa) noexcept {
        return detail::checked(bounce_emulator_remove_memory(handle_, gpa));
    }
    Result<void> fail(bounce_failure failure) noexcept {
        failure.size = sizeof failure;
        return detail::checked(bounce_emulator_fail(handle_, &failure));
    }
    Result<void> fail_no_more() noexcept { return detail::checked(bounce_emulator_fail(handle_, nullptr)); }
    [[nodiscard]] Result<bounce_emulator_stats> stats() const noexcept {
        bounce_emulator_stats stats;
        if (const int status = bounce_emulator_get_stats(handle_, &stats); status < 0) return Error(-status);
        return stats;
    }
    /// The number of the port.
    Result<int> attach(int socket, const bounce_audience& who = {}) noexcept {
        return detail::counted<int>(bounce_emulator_attach(handle_, socket, &who));
    }
    /// How many requests were answered; without a limit when timeout is std::chrono::milliseconds::max().
    Result<int> serve(std::chrono::milliseconds timeout) noexcept {
        const auto count = timeout.count();
        const auto limit = count < 0 ? 0 : count < UINT32_MAX ? static_cast<std::uint32_t>(count) : UINT32_MAX;
        return detail::counted<int>(bounce_emulator_serve(handle_, limit));
    }

private:
    Emulator(bounce_emulator* handle, std::unique_ptr<ViolationHandler> handler) noexcept
        : handler_(std::move(handler)), handle_(handle) {}
    static void report(void* user, const bounce_violation* violation) noexcept {
        (*static_cast<ViolationHandler*>(user))(*violation);
    }

    std::unique_ptr<ViolationHandler> handler_;
    bounce_emulator* handle_;
};

/// The device's end, in its own process.
class EmulatedDevice {
public:
    /// Takes the socket over. timeout: for each answer.
    [[nodiscard]] static Result<EmulatedDevice> open(
        int socket, std::chrono::milliseconds timeout = std::chrono::seconds(5)) noexcept {
        const auto count = timeout.count();
        const auto limit = count < 1 ? 1 : count < UINT32_MAX ? static_cast<std::uint32_t>(count) : UINT32_MAX;
        bounce_emulated_device* device = nullptr;
        if (const int status = bounce_emulated_device_open(socket, limit, &device); status < 0) return Error(-status);
        return EmulatedDevice(device);
    }
    EmulatedDevice(EmulatedDevice&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    EmulatedDevice& operator=(EmulatedDevice&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~EmulatedDevice() { static_cast<void>(bounce_emulated_device_close(handle_)); }
    [[nodiscard]] bounce_emulated_device* handle() const noexcept { return handle_; }

    Result<void> read(std::uint64_t address, std::span<std::byte> to) noexcept {
        return detail::checked(bounce_emulated_device_read(handle_, address, to.data(), to.size()));
    }
    Result<void> write(std::uint64_t address, std::span<const std::byte> from) noexcept {
        return detail::checked(bounce_emulated_device_write(handle_, address, from.data(), from.size()));
    }
    [[nodiscard]] Result<void*> pointer(std::uint64_t address, std::size_t bytes) noexcept {
        void* found = nullptr;
        if (const int status = bounce_emulated_device_pointer(handle_, address, bytes, &found); status < 0)
            return Error(-status);
        return found;
    }

private:
    explicit EmulatedDevice(bounce_emulated_device* handle) noexcept : handle_(handle) {}
    bounce_emulated_device* handle_;
};

}  // namespace v0
}  // namespace bounce

#endif
