// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// hello.c again, with owners: what is mapped is unmapped, what is created is destroyed, in every case.
#include <bounce/bounce.hpp>
#include <cstdio>
#include <cstring>

int main() {
    auto pool = bounce::Pool::create({.region = {.bytes = 4u << 20, .base_gpa = 0x1'0000'0000}});
    if (!pool) return std::fprintf(stderr, "hello: %s\n", bounce_last_error()), 1;
    auto device = pool->create_device({.name = "hello"});
    if (!device) return std::fprintf(stderr, "hello: %s\n", bounce_last_error()), 1;

    char text[] = "hello, device";
    auto mapping = device->map(text, sizeof text, bounce::Direction::kBidirectional);
    if (!mapping) return std::fprintf(stderr, "hello: %s\n", bounce_last_error()), 1;

    // mapping->addr() is what goes into a descriptor. Here the program plays the device:
    if (auto seen = pool->gpa_to_hva(mapping->addr(), sizeof text)) std::memcpy(*seen, "HELLO", 5);
    std::printf("before unmap: %s\n", text);
    if (!mapping->unmap(sizeof text)) return std::fprintf(stderr, "hello: %s\n", bounce_last_error()), 1;
    std::printf("after unmap:  %s\n", text);
    return std::strcmp(text, "HELLO, device") == 0 ? 0 : 1;
}
