// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tests/golden/single_step.hpp"

#include <link.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "tests/golden/decode.hpp"

namespace bounce::golden {
namespace {

constexpr int kNotAllowed = 77;
constexpr std::uint8_t kMark = 0xcc;  // int3
constexpr std::uint64_t kMostSteps = 1'000'000;

/// The executable segments of a loaded object. A forked child has the same ones at the same addresses with the same
/// content, so that they can be read here.
struct Text {
    struct Segment {
        std::uintptr_t begin, end;
    };
    std::string file;
    std::uintptr_t base = 0;
    std::vector<Segment> segments;

    /// Bytes from `address` to the end of its segment, at most one instruction's; none: it lies elsewhere.
    [[nodiscard]] std::span<const std::uint8_t> at(std::uintptr_t address) const {
        for (const Segment& segment : segments) {
            if (address < segment.begin || address >= segment.end) continue;
            const auto bytes = std::min<std::size_t>(segment.end - address, kMaxInstructionBytes);
            return {reinterpret_cast<const std::uint8_t*>(address), bytes};
        }
        return {};
    }
};

struct Search {
    const char* object;  // nullptr: the program
    Text text;
};

int match(dl_phdr_info* info, std::size_t, void* data) {
    auto& search = *static_cast<Search*>(data);
    const bool program = info->dlpi_name[0] == '\0';
    const bool wanted = search.object == nullptr ? program : std::strstr(info->dlpi_name, search.object) != nullptr;
    if (!wanted) return 0;
    search.text.file = program ? "/proc/self/exe" : info->dlpi_name;
    search.text.base = info->dlpi_addr;
    for (const ElfW(Phdr) & header : std::span(info->dlpi_phdr, info->dlpi_phnum)) {
        if (header.p_type != PT_LOAD || (header.p_flags & PF_X) == 0) continue;
        const std::uintptr_t begin = info->dlpi_addr + header.p_vaddr;
        search.text.segments.push_back({begin, begin + header.p_memsz});
    }
    return 1;  // the program is the first of them
}

Text find_text(const char* object) {
    Search search{object, {}};
    ::dl_iterate_phdr(match, &search);
    return std::move(search.text);
}

[[noreturn]] void run_child(const Probe& probe) {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(kNotAllowed);
    ::raise(SIGSTOP);
    if (!probe.prepare()) ::_exit(1);
    // The first rounds run with the marks too: without being stepped through they are quick.
    for (int i = 0; i < kWarm + kRounds; ++i) {
        if (!probe.round()) ::_exit(1);
    }
    ::_exit(0);
}

/// What was counted between one pair of marks.
struct Sample {
    std::uint64_t operation = 0;
    Counts counts;
    std::vector<std::uintptr_t> path;  // offsets in the object
};

class Tracer {
public:
    Tracer(pid_t child, const Text& program, const Text& object) : child_(child), program_(program), object_(object) {}

    /// Runs the child to its next mark; false when it has ended.
    bool to_mark() { return resume(PTRACE_CONT); }

    /// From the mark that begins an operation to the one that ends it, which is passed too.
    bool measure(Sample& sample) {
        inside_ = false;
        last_ = 0;
        for (std::uint64_t steps = 0; steps < kMostSteps; ++steps) {
            const std::uintptr_t here = registers().rip;
            if (const auto bytes = program_.at(here); !bytes.empty() && bytes[0] == kMark) return to_mark();
            count(here, sample);
            if (!resume(PTRACE_SINGLESTEP)) return false;
        }
        std::fprintf(stderr, "operation %d has no end\n", static_cast<int>(sample.operation));
        return false;
    }

    [[nodiscard]] user_regs_struct registers() const {
        user_regs_struct registers{};
        ::ptrace(PTRACE_GETREGS, child_, nullptr, &registers);
        return registers;
    }

    [[nodiscard]] int status() const { return status_; }

private:
    /// False unless the child stops at a mark or after a step, which are the same signal.
    bool resume(__ptrace_request how) {
        if (::ptrace(how, child_, nullptr, nullptr) != 0) return false;
        while (::waitpid(child_, &status_, 0) < 0) {
            if (errno != EINTR) return false;
        }
        return WIFSTOPPED(status_) && WSTOPSIG(status_) == SIGTRAP;
    }

    void count(std::uintptr_t here, Sample& sample) {
        const auto bytes = object_.at(here);
        if (bytes.empty()) {
            // From the probe's own text, which is around the operation, nothing is "called out".
            if (inside_ && program_.at(here).empty()) ++sample.counts.calls_out;
            inside_ = false;
            return;
        }
        inside_ = true;
        const Instruction instruction = decode(bytes);
        if (instruction.repeats && here == last_) return;  // a step for each repetition, but one instruction
        last_ = here;
        sample.path.push_back(here - object_.base);
        ++sample.counts.instructions;
        sample.counts.calls += instruction.call ? 1 : 0;
        sample.counts.locked += instruction.locked ? 1 : 0;
        sample.counts.system_calls += instruction.system_call ? 1 : 0;
    }

    pid_t child_;
    const Text& program_;
    const Text& object_;
    int status_ = 0;
    bool inside_ = false;
    std::uintptr_t last_ = 0;
};

int ended_early(int status) {
    if (WIFEXITED(status) && WEXITSTATUS(status) == kNotAllowed) {
        std::printf("ptrace(2) is not allowed here\n");
        return kNotAllowed;
    }
    std::fprintf(stderr, "the probe ended with wait status 0x%x\n", static_cast<unsigned>(status));
    return 1;
}

/// Every operation kRounds times.
int collect(const Probe& probe, const Text& program, const Text& object, std::vector<Sample>& samples) {
    const pid_t child = ::fork();
    if (child == 0) run_child(probe);
    int status = 0;
    if (child < 0 || ::waitpid(child, &status, 0) != child) return ended_early(status);
    if (!WIFSTOPPED(status)) return ended_early(status);
    if (::ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_EXITKILL) != 0) return ended_early(kNotAllowed << 8);
    Tracer tracer(child, program, object);
    const std::size_t warm = static_cast<std::size_t>(kWarm) * probe.operations.size();
    for (std::size_t n = 0; tracer.to_mark(); ++n) {
        Sample sample;
        sample.operation = tracer.registers().rax;
        if (n < warm ? !tracer.to_mark() : !tracer.measure(sample)) break;
        if (n >= warm) samples.push_back(std::move(sample));
    }
    if (WIFEXITED(tracer.status()) && WEXITSTATUS(tracer.status()) == 0) return 0;
    return ended_early(tracer.status());
}

/// The counts that most of the rounds had, and of how many; the smallest of those when there are several.
std::pair<Counts, int> most_frequent(const std::vector<Sample>& samples, std::uint64_t operation) {
    std::map<Counts, int> rounds;
    for (const Sample& sample : samples) {
        if (sample.operation == operation) ++rounds[sample.counts];
    }
    std::pair<Counts, int> best{};
    for (const auto& [counts, times] : rounds) {
        if (times > best.second) best = {counts, times};
    }
    return best;
}

void print_table(const Probe& probe, const std::vector<Sample>& samples) {
    for (std::size_t i = 0; i < probe.operations.size(); ++i) {
        const auto [counts, alike] = most_frequent(samples, i);
        std::printf("%s\t%ju\t%ju\t%ju\t%ju\t%ju\t%d/%d\n", probe.operations[i], counts.instructions, counts.calls,
                    counts.calls_out, counts.locked, counts.system_calls, alike, kRounds);
    }
}

/// The path of one round that had the usual counts; 1 when there is no such operation.
int print_path(const Probe& probe, const std::vector<Sample>& samples, const Text& object, std::string_view name) {
    for (const Sample& sample : samples) {
        if (probe.operations[sample.operation] != name) continue;
        if (sample.counts != most_frequent(samples, sample.operation).first) continue;
        std::printf("%s\n", object.file.c_str());
        for (const std::uintptr_t offset : sample.path) std::printf("%jx\n", static_cast<std::uintmax_t>(offset));
        return 0;
    }
    return 1;
}

}  // namespace

int probe_main(int argc, char** argv, const Probe& probe) {
    const Text program = find_text(nullptr);
    const Text object = find_text(probe.object);
    if (object.segments.empty()) {
        std::fprintf(stderr, "%s is not loaded\n", probe.object);
        return 1;
    }
    std::vector<Sample> samples;
    if (const int failed = collect(probe, program, object, samples); failed != 0) return failed;
    if (argc == 3 && std::strcmp(argv[1], "--show") == 0) return print_path(probe, samples, object, argv[2]);
    print_table(probe, samples);
    return 0;
}

}  // namespace bounce::golden
