// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// In the copy of the library that the mutation check is made with: the environment says which protection is left out.
#include "allocator/base/mutation.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>

#ifndef BOUNCE_MUTATIONS
#error "this is for the mutation check only"
#endif

namespace bounce {
namespace {

// By enum Mutation.
constexpr const char* kNames[] = {
    "none",
    "share_before_use",
    "unshare_after",
    "scrub_at_alloc",
    "scrub_at_conversion",
    "direction_at_unmap",
    "length_clamp",
    "mask_check",
    "boundary_check",
    "generation_check",
    "quota",
    "quarantine",
    "address_encoding",
    "private_shadow",
    "used_id_width",
    "used_id_shown",
    "used_once",
    "used_index",
    "length_shares",
    "broken_sticks",
    "table_remembered",
    "wrap_counter",
    "event_hint",
    "cell_direction",
    "cell_length",
    "reply_size",
    "reply_descriptors",
    "config_answer",
    "slot_kind",
    "renegotiation",
    "stop_bound",
    "peek",
    "private_write",
    "read_once",
    "index_mask",
    "header_length",
    "element_in_use",
    "write_permission",
};

Mutation read() noexcept {
    const char* const given = std::getenv("BOUNCE_MUTATION");
    for (std::size_t i = 0; given != nullptr && i < std::size(kNames); ++i) {
        if (std::strcmp(given, kNames[i]) == 0) return static_cast<Mutation>(i);
    }
    std::fprintf(stderr, "BOUNCE_MUTATION is '%s', which is no mutation\n", given == nullptr ? "" : given);
    std::_Exit(2);
}

}  // namespace

Mutation current_mutation() noexcept {
    static const Mutation current = read();
    return current;
}

}  // namespace bounce
