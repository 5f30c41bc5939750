// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// `bounce_abi`: linked with the shared library.
#include "bench/cases/copies.hpp"
#include "bench/cases/pool_cases.hpp"
#include "bench/subjects/bounce_abi.hpp"

void bench::register_cases() {
    add_speed_cases<BounceAbi>();
    add_map_cases<BounceAbiDma>();
}
