// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// All cases of a pool: what a peer's program registers.
#pragma once

#include "bench/cases/create.hpp"
#include "bench/cases/full.hpp"
#include "bench/cases/pairs.hpp"
#include "bench/cases/threads.hpp"
#include "bench/cases/utilisation.hpp"

namespace bench {

template <Subject S>
void add_speed_cases() {
    add_pair_cases<S>();
    add_thread_cases<S>();
}

template <Subject S>
void add_pool_cases() {
    add_speed_cases<S>();
    add_full_cases<S>();
    add_utilisation_cases<S>();
    add_create_cases<S>();
}

}  // namespace bench
