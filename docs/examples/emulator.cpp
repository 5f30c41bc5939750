// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A test of one's own driver on a platform that is not there: a guest with encrypted memory, and a device that tries to
// read what it was not given.
#include <bounce/emulator.hpp>

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

namespace {

constexpr std::uint64_t kPoolGpa = 0x1'0000'0000;
constexpr std::uint64_t kSecretGpa = 0x2'0000'0000;

/// The device's process: the address comes from the guest. The exit status says what it saw.
int run_device(int port, int guest) {
    std::uint64_t address = 0;
    char seen[16] = {};
    char stolen[16] = {};
    if (::read(guest, &address, sizeof address) != sizeof address) return 2;
    auto device = bounce::EmulatedDevice::open(port);
    if (!device || !device->read(address, std::as_writable_bytes(std::span(seen)))) return 2;
    const bool faulted = !device->read(kSecretGpa, std::as_writable_bytes(std::span(stolen)));
    std::printf("the device reads \"%s\", and of the secret %s\n", seen, faulted ? "nothing" : "ciphertext");
    return std::strcmp(seen, "hello, device") == 0 && std::memcmp(stolen, "a secret", 8) != 0 ? 0 : 1;
}

int failed(const char* what) {
    std::fprintf(stderr, "emulator: %s: %s\n", what, bounce_last_error());
    return 1;
}

}  // namespace

int main() {
    int port[2];
    int orders[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, port) != 0 || ::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, orders) != 0)
        return 1;
    const pid_t child = ::fork();
    if (child == 0) ::_exit(run_device(port[1], orders[1]));
    ::close(port[1]);
    ::close(orders[1]);

    auto emulator = bounce::Emulator::create({.model = BOUNCE_EMULATED_SEV});
    if (!emulator) return failed("emulator");
    alignas(4096) static std::byte secret[4096];
    std::memcpy(secret, "a secret", 9);
    if (!emulator->add_memory(kSecretGpa, secret) || !emulator->attach(port[0])) return failed("device");
    const auto platform = emulator->platform();
    if (!platform) return failed("platform");

    bounce::PoolOptions options;
    options.region = {.bytes = std::uint64_t{4} << 20, .base_gpa = kPoolGpa};
    auto pool = bounce::create_pool(*platform, std::move(options));
    if (!pool) return failed("pool");
    auto device = pool->create_device({});
    if (!device) return failed("device");
    char text[16] = "hello, device";
    auto mapping = device->map_to_device(std::as_bytes(std::span(text)));
    if (!mapping) return failed("map");
    const std::uint64_t address = mapping->addr();
    if (::write(orders[0], &address, sizeof address) != sizeof address) return 1;

    int status = 0;
    while (::waitpid(child, &status, WNOHANG) == 0) {
        if (!emulator->serve(std::chrono::milliseconds(10))) return failed("serve");
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
