// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a process has mapped, from /proc/PID/maps.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace bounce::e2e {

struct Mapping {
    std::uint64_t start = 0;
    std::uint64_t end = 0;
    bool shared = false;
    std::string device;  // "00:01"
    std::uint64_t inode = 0;
    std::string path;

    [[nodiscard]] bool same_file(const Mapping& other) const {
        return inode != 0 && inode == other.inode && device == other.device;
    }
};

/// pid 0: this process.
std::vector<Mapping> maps_of(pid_t pid);

/// The mapping of this process that holds an address; throws when there is none.
Mapping mapping_at(const void* address);

}  // namespace bounce::e2e
