// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Reads the first sector of a vhost-user-blk device into private memory; the device sees the pool and nothing else.
// Usage: first_sector SOCKET
#include <bounce/bounce.hpp>
#include <cstdint>
#include <cstdio>

static int failed() {
    return std::fprintf(stderr, "first_sector: %s\n", bounce_last_error()), 1;
}

int main(int argc, char** argv) {
    if (argc != 2) return std::fprintf(stderr, "usage: first_sector SOCKET\n"), 2;
    auto pool = bounce::Pool::create({.region = {.bytes = 4u << 20, .base_gpa = 0x1'0000'0000}});
    if (!pool) return failed();
    bounce_frontend_options options = bounce::frontend_options(argv[1]);
    options.flags = BOUNCE_FRONTEND_CALLS;
    auto disk = pool->connect(options);  // the back-end gets the pool's memory and nothing else
    if (!disk) return failed();

    std::uint8_t header[16] = {};  // type 0: read; sector 0
    std::uint8_t data[512] = {};
    std::uint8_t status = 0xff;
    const bounce_sg request[] = {{header, sizeof header, 0, 0}, {data, sizeof data, 0, 0}, {&status, 1, 0, 0}};
    auto ring = disk->ring(0);
    if (!ring.add(request, 1, nullptr) || !disk->submit(0)) return failed();  // bounced: 1 to read, 2 to write

    bounce_completion done[1];
    for (;;) {
        const auto count = ring.collect(done);
        if (!count) return failed();
        if (*count == 1) break;  // copied back, its length checked
        if (auto waited = disk->wait(0, std::chrono::seconds(5)); !waited) return failed();
    }
    if (status != 0) return std::fprintf(stderr, "first_sector: the device says status %u\n", unsigned{status}), 1;
    return std::fwrite(data, 1, sizeof data, stdout) == sizeof data ? 0 : 1;
}
