// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/common/machine.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

namespace bounce::tools {
namespace {

std::string cpu_model() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        const auto colon = line.find(": ");
        if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
    }
    return "unknown";
}

}  // namespace

Machine machine_facts() {
    Machine machine;
    const long cores = ::sysconf(_SC_NPROCESSORS_ONLN);
    machine.cores = cores > 0 ? static_cast<unsigned>(cores) : 1;
    machine.cpu = cpu_model();
    utsname name{};
    machine.kernel = ::uname(&name) == 0 ? std::string(name.release) : "unknown";
    const long pages = ::sysconf(_SC_PHYS_PAGES);
    const long page_bytes = ::sysconf(_SC_PAGESIZE);
    if (pages > 0 && page_bytes > 0) {
        machine.memory_bytes = static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page_bytes);
    }
    return machine;
}

std::array<double, 3> load_average() {
    std::array<double, 3> averages{};
    if (::getloadavg(averages.data(), 3) != 3) averages.fill(-1);
    return averages;
}

}  // namespace bounce::tools
