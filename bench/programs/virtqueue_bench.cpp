// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Both sides of a virtqueue, linked with the static library.
#include "bench/cases/virtqueue.hpp"

void bench::register_cases() {
    add_ring_case("ring_split", false);
    add_ring_case("ring_packed", true);
}
