// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a measurement has to say about the machine it was made on.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace bounce::tools {

struct Machine {
    unsigned cores = 0;  // online
    std::string cpu;     // model name, "unknown" when the kernel does not say
    std::string kernel;
    std::uint64_t memory_bytes = 0;
};

Machine machine_facts();

/// Over 1, 5 and 15 minutes.
std::array<double, 3> load_average();

}  // namespace bounce::tools
