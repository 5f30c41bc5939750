// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tests/e2e/support/maps.hpp"

#include <fstream>
#include <sstream>
#include <stdexcept>

namespace bounce::e2e {

std::vector<Mapping> maps_of(pid_t pid) {
    std::ifstream file("/proc/" + (pid == 0 ? "self" : std::to_string(pid)) + "/maps");
    std::vector<Mapping> all;
    for (std::string line; std::getline(file, line);) {
        std::istringstream in(line);
        Mapping one;
        char dash = 0;
        std::string rights, offset;
        in >> std::hex >> one.start >> dash >> one.end >> rights >> offset >> one.device >> std::dec >> one.inode;
        if (!in) throw std::runtime_error("a line of maps is not as expected: " + line);
        std::getline(in >> std::ws, one.path);
        one.shared = rights.size() == 4 && rights[3] == 's';
        all.push_back(one);
    }
    if (all.empty()) throw std::runtime_error("the maps of a process cannot be read");
    return all;
}

Mapping mapping_at(const void* address) {
    const auto at = reinterpret_cast<std::uint64_t>(address);
    for (const Mapping& one : maps_of(0)) {
        if (one.start <= at && at < one.end) return one;
    }
    throw std::runtime_error("an address is not mapped");
}

}  // namespace bounce::e2e
