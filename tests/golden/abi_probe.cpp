// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bounce_device_map() and bounce_device_unmap() as the shared library has them. Nothing is copied: what memcpy() does
// is the machine's business, and so is the way of copying that a device picks.
#include "bounce/bounce.h"
#include "tests/golden/single_step.hpp"

namespace {

using namespace bounce;

constexpr const char* kOperations[] = {"map", "unmap"};

bounce_device* g_device = nullptr;
bounce_mapping g_mapping;
char g_buffer[4096];

bool prepare() {
    bounce_pool_options of_pool{};
    of_pool.size = sizeof of_pool;
    of_pool.region.size = sizeof of_pool.region;
    of_pool.region.bytes = 16U << 20;
    of_pool.region.base_gpa = std::uint64_t{1} << 32;
    bounce_device_options of_device{};
    of_device.size = sizeof of_device;
    bounce_pool* pool = nullptr;
    return bounce_pool_create(&of_pool, &pool) == 0 && bounce_device_create(pool, &of_device, &g_device) == 0;
}

bool round() {
    golden::begin(0);
    const int mapped =
        bounce_device_map(g_device, g_buffer, sizeof g_buffer, BOUNCE_BIDIRECTIONAL, BOUNCE_MAP_SKIP_SYNC, &g_mapping);
    golden::end();
    golden::begin(1);
    const int unmapped = bounce_device_unmap(g_device, &g_mapping, sizeof g_buffer);
    golden::end();
    return mapped == 0 && unmapped == 0;
}

}  // namespace

int main(int argc, char** argv) {
    return golden::probe_main(argc, argv, {kOperations, "/libbounce.so", prepare, round});
}
