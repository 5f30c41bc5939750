// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The options of the jemalloc inside. It asks the environment for them, and a symbolic link in /etc; both are the
// host's and meant for another one, so the two functions by which it asks end here.
#include <cstddef>
#include <cstring>

#include "allocator/components/jemalloc/inner.hpp"

namespace {

// What is not used goes back at once (decay), as it came (retain). No thread of its own. Only what all versions 5 know:
// it writes to stderr about what it does not.
constexpr char kOptions[] =
    "background_thread:false,retain:false,tcache:false,tcache_max:4096,narenas:1,dss:disabled,"
    "dirty_decay_ms:0,muzzy_decay_ms:0";

}  // namespace

// Called when the library is loaded, before any constructor of ours may have run.
extern "C" char* bounce_je_secure_getenv(const char* name) noexcept;
extern "C" char* bounce_je_secure_getenv(const char* name) noexcept {
    return std::strcmp(name, "MALLOC_CONF") == 0 ? const_cast<char*>(kOptions) : nullptr;
}

extern "C" long bounce_je_readlink(const char* path, char* buffer, std::size_t bytes) noexcept;
extern "C" long bounce_je_readlink(const char*, char*, std::size_t) noexcept {
    return -1;
}
