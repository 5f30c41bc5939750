// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A pool with room for one mapping: a coroutine waits for its turn, and a quota keeps something for a device.
#include <bounce/waiting.hpp>
#include <coroutine>
#include <cstdio>
#include <exception>
#include <vector>

namespace {

constexpr std::size_t kBytes = 64 << 10;

/// Begins at once and ends by itself.
struct Task {
    struct promise_type {
        Task get_return_object() noexcept { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() noexcept { std::terminate(); }
    };
};

Task send(bounce::DeviceRef device, std::vector<char>& payload, bool& sent) {
    auto mapping = co_await bounce::map_async(device, {payload.data(), payload.size(), bounce::Direction::kToDevice});
    if (!mapping) co_return;
    std::printf("coroutine: mapped at 0x%llx\n", static_cast<unsigned long long>(mapping->addr()));
    sent = true;
}

int failed() {
    return std::fprintf(stderr, "waiting: %s\n", bounce_last_error()), 1;
}

}  // namespace

int main() {
    auto pool = bounce::Pool::create({.region = {.bytes = kBytes, .base_gpa = 0x1'0000'0000}});
    if (!pool) return failed();
    auto device = pool->create_device({.name = "waiting"});
    if (!device) return failed();
    std::vector<char> payload(kBytes, 'x');

    auto first = device->map_to_device(std::as_bytes(std::span(payload)));
    if (!first) return failed();
    // The pool is full. A map that does not wait says so; one that waits a little gives up.
    if (device->map_to_device(std::as_bytes(std::span(payload))).code() != ENOSPC) return failed();
    const bounce::MapRequest request{payload.data(), payload.size(), bounce::Direction::kToDevice};
    if (bounce::map_wait(*device, request, std::chrono::milliseconds(10)).code() != ETIMEDOUT) return failed();

    bool sent = false;
    send(*device, payload, sent);
    std::printf("coroutine waits: %s\n", sent ? "no" : "yes");
    if (sent) return 1;
    if (!first->unmap()) return failed();  // resumes it
    if (!sent) return 1;

    // At most 16 KiB for this device from now on.
    if (!bounce::set_quota(*device, 0, 16 << 10)) return failed();
    const int code = device->map(payload.data(), 32 << 10, bounce::Direction::kToDevice).code();
    std::printf("32 KiB with a ceiling of 16: %s\n", bounce_error_text(code));
    return code == EDQUOT ? 0 : 1;
}
