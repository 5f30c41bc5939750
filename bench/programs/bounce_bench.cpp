// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// `bounce`, and in the same program what needs no package: the model of swiotlb and the bare copies.
#include "bench/cases/copies.hpp"
#include "bench/cases/metadata.hpp"
#include "bench/cases/other_core.hpp"
#include "bench/cases/pool_cases.hpp"
#include "bench/subjects/bounce_pool.hpp"
#include "bench/subjects/raw_copy.hpp"
#include "bench/subjects/swiotlb_model.hpp"

void bench::register_cases() {
    add_pool_cases<BouncePool>();
    add_speed_cases<BounceUnchecked>();
    add_pool_cases<SwiotlbModel>();
    add_metadata_cases<BouncePool>();
    add_metadata_cases<SwiotlbModel>();
    add_map_cases<BounceDma>();
    add_map_cases<SwiotlbModel>();
    add_map_cases<MemcpyHot>();
    add_map_cases<MemcpyCold>();
    add_other_core_cases<BounceDma, Lifo, Window, Fifo, NonTemporal, Auto, SwiotlbModel>();
}
