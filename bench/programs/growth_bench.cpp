// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Growing and prefaulting, with the shared libraries.
#include "bench/cases/growth.hpp"

void bench::register_cases() {
    add_growth_cases("bounce_abi");
}
