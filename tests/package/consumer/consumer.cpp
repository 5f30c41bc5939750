// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The same from C++: owners instead of calls that free.
#include <array>
#include <bounce/bounce.hpp>
#include <cstdio>
#include <cstring>

int main() {
    bounce::PoolOptions options;
    options.region.bytes = 4 << 20;
    options.region.base_gpa = 1 << 30;
    auto pool = bounce::Pool::create(std::move(options));
    if (!pool) return std::fprintf(stderr, "pool: %s\n", bounce::Error::message()), 1;
    auto device = pool->create_device();
    if (!device) return std::fprintf(stderr, "device: %s\n", bounce::Error::message()), 1;
    std::array<char, 64> text{"question"};
    {
        auto mapping = device->map(text.data(), text.size(), bounce::Direction::kBidirectional);
        if (!mapping) return std::fprintf(stderr, "map: %s\n", bounce::Error::message()), 1;
        auto seen = pool->gpa_to_hva(mapping->addr(), mapping->size());
        if (!seen || std::strcmp(static_cast<char*>(*seen), "question") != 0) return 1;
        std::strcpy(static_cast<char*>(*seen), "answer");
    }
    std::puts(text.data());
    return std::strcmp(text.data(), "answer") != 0;
}
