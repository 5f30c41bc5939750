// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The jemalloc inside this library, by its renamed symbols (CMakeLists.txt). The only file that knows its header.
#pragma once

#define JEMALLOC_NO_RENAME
#define je_mallocx bounce_je_mallocx
#define je_dallocx bounce_je_dallocx
#define je_rallocx bounce_je_rallocx
#define je_sallocx bounce_je_sallocx
#define je_mallctl bounce_je_mallctl
#define je_mallctlnametomib bounce_je_mallctlnametomib
#define je_mallctlbymib bounce_je_mallctlbymib
#include <jemalloc/jemalloc.h>

namespace bounce::jemalloc_component {

/// What experimental.arenas_create_ext takes; jemalloc's header does not have it.
struct ArenaConfig {
    extent_hooks_t* hooks = nullptr;
    bool metadata_use_hooks = false;  // true: what jemalloc knows of an arena would lie in the arena's memory
};

}  // namespace bounce::jemalloc_component
