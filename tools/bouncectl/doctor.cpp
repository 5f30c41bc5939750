// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bouncectl doctor: is this machine fit for pools, and if not, what mends it?
#include <fcntl.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <vector>

#include "tools/bouncectl/command.hpp"
#include "tools/bouncectl/picture.hpp"
#include "tools/bouncectl/show.hpp"
#include "tools/common/descriptor.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/units.hpp"

namespace bounce::ctl {
namespace {

using tools::Json;
using tools::text;

constexpr std::size_t kCopyBytes = std::size_t{64} << 20;
constexpr int kCopies = 5;
// Memory that is shared costs no more to copy to than other memory, but for small pages and another node.
constexpr double kGoodShare = 0.7;

struct Finding {
    const char* name;
    bool good;
    std::string text;
    std::string mend;  // a command, or ""
};

std::string first_line(const char* path) {
    std::ifstream in(path);
    std::string line;
    std::getline(in, line);
    return line;
}

std::uint64_t number_in(const char* path) {
    const std::string line = first_line(path);
    return line.empty() ? 0 : std::strtoull(line.c_str(), nullptr, 10);
}

Finding hugepages() {
    const std::uint64_t all = number_in("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
    const std::uint64_t free = number_in("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
    return {"hugepages", free != 0, text(free, " of ", all, " huge pages of 2 MiB are free (BOUNCE_REGION_HUGEPAGES)"),
            free != 0 ? "" : "sysctl vm.nr_hugepages=512"};
}

Finding shared_thp() {
    const std::string line = first_line("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
    const bool good =
        line.find("[never]") == std::string::npos && line.find("[deny]") == std::string::npos && !line.empty();
    return {"shmem_thp", good,
            "transparent huge pages for shared memory: " + (line.empty() ? "none in this kernel" : line),
            good || line.empty() ? "" : "echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled"};
}

Finding numa() {
    const std::string online = first_line("/sys/devices/system/node/online");
    return {"numa", true, "NUMA nodes: " + (online.empty() ? "0" : online), ""};
}

Finding memlock() {
    rlimit limit{};
    ::getrlimit(RLIMIT_MEMLOCK, &limit);
    const bool good = limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= (std::uint64_t{64} << 20);
    return {"memlock", good,
            "locked memory: " + (limit.rlim_cur == RLIM_INFINITY ? "no limit" : tools::format_bytes(limit.rlim_cur)) +
                " (a host that pins its pool for VFIO needs as much as that has)",
            good ? "" : "ulimit -l unlimited"};
}

Finding membarrier() {
    const long commands = ::syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    const bool good = commands > 0 && (commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0;
    return {"membarrier", good,
            good ? "threads may keep slots: membarrier is there"
                 : "no membarrier: threads keep no slots, which makes mapping several times slower",
            good ? "" : "allow membarrier in the seccomp filter of the process"};
}

Finding sealing() {
    const tools::Descriptor fd(::memfd_create("bounce-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    const bool good = fd && ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE) == 0;
    return {"memfd", good, good ? "memfd can be sealed" : "memfd cannot be had, or not be sealed (Linux 5.1 can)", ""};
}

Finding control_folder() {
    const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
    const std::string parent = runtime != nullptr && *runtime != '\0' ? runtime : "/run";
    const bool good = ::access((parent + "/bounce").c_str(), W_OK) == 0 || ::access(parent.c_str(), W_OK) == 0;
    return {"control", good,
            text("control sockets are in ", parent, "/bounce", good ? "" : ", which cannot be written to"),
            good ? "" : text("install -d -m 700 -o $USER ", parent, "/bounce")};
}

/// The best of some copies, in bytes a second.
double copy_rate(std::byte* to, const std::byte* from) {
    double best = 0;
    for (int i = 0; i < kCopies; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        std::memcpy(to, from, kCopyBytes);
        asm volatile("" : : "r"(to) : "memory");
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
        best = std::max(best, static_cast<double>(kCopyBytes) / seconds.count());
    }
    return best;
}

Finding bandwidth() {
    const std::vector<std::byte> from(kCopyBytes, std::byte{1});
    std::vector<std::byte> own(kCopyBytes, std::byte{2});
    const tools::Descriptor fd(::memfd_create("bounce-doctor", MFD_CLOEXEC));
    if (!fd || ::ftruncate(fd.get(), kCopyBytes) != 0) throw tools::Failure("no memory for the copies");
    void* const memory = ::mmap(nullptr, kCopyBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd.get(), 0);
    if (memory == MAP_FAILED) throw tools::Failure("no memory for the copies");
    auto* const shared = static_cast<std::byte*>(memory);
    std::memset(shared, 3, kCopyBytes);
    const double to_own = copy_rate(own.data(), from.data());
    const double to_shared = copy_rate(shared, from.data());
    ::munmap(memory, kCopyBytes);
    const bool good = to_shared >= kGoodShare * to_own;
    return {"copy", good,
            text("copying into shared memory: ", tools::format_fixed(to_shared / (1 << 30), 2), " GiB/s, into private ",
                 tools::format_fixed(to_own / (1 << 30), 2), " GiB/s"),
            good ? "" : "use huge pages for the pool (above)"};
}

int run_doctor(const Output& output) {
    const std::vector<Finding> findings = {hugepages(),  shared_thp(), numa(),           memlock(),
                                           membarrier(), sealing(),    control_folder(), bandwidth()};
    Json json = {{"schema_version", kPictureSchema}, {"findings", Json::array()}};
    std::string whole;
    for (const Finding& finding : findings) {
        json["findings"].push_back(
            {{"name", finding.name}, {"good", finding.good}, {"text", finding.text}, {"mend", finding.mend}});
        whole += text(finding.good ? "ok    " : "look  ", finding.text, "\n");
        if (!finding.mend.empty()) whole += text("        ", finding.mend, "\n");
    }
    print(output, json, whole);
    return tools::kExitOk;
}

}  // namespace

void add_doctor(CLI::App& app, Run& run) {
    CLI::App& sub = *app.add_subcommand("doctor", "Look whether this machine is fit for pools, and say what mends it.");
    sub.footer("Example:\n  bouncectl doctor");
    const auto output = std::make_shared<Output>();
    add_output_options(sub, *output);
    sub.callback([&run, output] { run = [output] { return run_doctor(*output); }; });
}

}  // namespace bounce::ctl
