// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The platform of a pool, and the addresses that its devices have. Creation is in pool_abi.cpp.
#include "api/abi/platform_options.hpp"

using namespace bounce;
using namespace bounce::abi;

int bounce_pool_platform(bounce_pool* pool, bounce_platform* platform) {
    if (pool == nullptr) return negative(null_argument("pool"));
    if (platform == nullptr) return negative(null_argument("platform"));
    if (const auto owner = in_owner(*pool->pool); !owner) return status(owner);
    *platform = pool->platform;
    return 0;
}

int bounce_pool_gpa_to_address(bounce_pool* pool, uint64_t gpa, size_t bytes, uint64_t* address) {
    if (pool == nullptr) return negative(null_argument("pool"));
    if (address == nullptr) return negative(null_argument("address"));
    *address = 0;
    const auto found = pool->pool->to_address(Gpa{gpa}, bytes);
    if (!found) return negative(found.error());
    *address = found->value;
    return 0;
}

int bounce_pool_address_to_gpa(bounce_pool* pool, uint64_t address, size_t bytes, uint64_t* gpa) {
    if (pool == nullptr) return negative(null_argument("pool"));
    if (gpa == nullptr) return negative(null_argument("gpa"));
    *gpa = 0;
    const auto found = pool->pool->from_address(Gpa{address}, bytes);
    if (!found) return negative(found.error());
    *gpa = found->value;
    return 0;
}
