// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Plays scripts against rings with a hostile device; see usage(). Exit status 0: as expected, 1: not, 2: bad arguments.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/hostile/session.hpp"

namespace {

using namespace bounce::hostile;

struct Arguments {
    std::uint64_t seed = 1;
    std::uint64_t runs = 500;
    std::uint64_t steps = 300;
    bool expect_finding = false;
    std::vector<std::string> files;
    std::string corpus;
};

int usage() {
    std::fputs(
        "usage: hostile_run [--seed N] [--runs N] [--steps N] [--expect-finding] [--corpus FOLDER] [SCRIPT...]\n"
        "Plays each SCRIPT, or --runs scripts of --steps steps that begin with seed N, on split and packed rings.\n"
        "--expect-finding: fails unless something is found. --corpus: writes what the scripts are for the fuzzers\n"
        "into FOLDER/split_driver and FOLDER/packed_driver.\n",
        stderr);
    return 2;
}

std::optional<Arguments> parse(int argc, char** argv) {
    Arguments out;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        std::uint64_t* const number = word == "--seed"    ? &out.seed
                                      : word == "--runs"  ? &out.runs
                                      : word == "--steps" ? &out.steps
                                                          : nullptr;
        if (word == "--expect-finding") {
            out.expect_finding = true;
        } else if (number != nullptr && i + 1 < argc) {
            char* end = nullptr;
            *number = std::strtoull(argv[++i], &end, 10);
            if (end == argv[i] || *end != '\0') return std::nullopt;
        } else if (word == "--corpus" && i + 1 < argc) {
            out.corpus = argv[++i];
        } else if (word.starts_with("-")) {
            return std::nullopt;
        } else {
            out.files.push_back(word);
        }
    }
    return out;
}

Script read_script(const std::string& path) {
    std::ifstream in(path);
    if (!in) throw std::runtime_error(path + " cannot be read");
    return Script::from_text(std::string(std::istreambuf_iterator<char>(in), {}));
}

void keep(const Script& script, const std::string& folder, const std::string& name) {
    const auto at = std::filesystem::path(folder) / (script.setup.packed ? "packed_driver" : "split_driver");
    std::filesystem::create_directories(at);
    const std::vector<std::uint8_t> bytes = script.bytes();
    std::ofstream out(at / name, std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

/// The script without each step that is not needed for a finding.
Script shortened(Script script) {
    for (std::size_t piece = script.actions.size() / 2; piece > 0; piece /= 2) {
        for (std::size_t at = 0; at + piece <= script.actions.size();) {
            Script less = script;
            less.actions.erase(less.actions.begin() + static_cast<std::ptrdiff_t>(at),
                               less.actions.begin() + static_cast<std::ptrdiff_t>(at + piece));
            if (play(less).finding.empty())
                at += piece;
            else
                script = less;
        }
    }
    return script;
}

struct Totals {
    std::uint64_t scripts = 0, steps = 0, added = 0, completed = 0, violations = 0, recoveries = 0;
    void add(const Report& report) {
        ++scripts;
        steps += report.steps;
        added += report.added;
        completed += report.completed;
        violations += report.violations;
        recoveries += report.recoveries;
    }
};

int run(const Arguments& arguments) {
    const auto begin = std::chrono::steady_clock::now();
    Totals totals;
    const auto one = [&](const Script& script, const std::string& name) {
        if (!arguments.corpus.empty()) keep(script, arguments.corpus, name);
        const auto seconds = [&] {
            return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        };
        // A library with a planted bug may have done any harm by then: the process ends at once.
        const auto expected = [&](const std::string& finding) {
            if (!arguments.expect_finding) return;
            std::printf("%s: %s\nfound after %.3f s and %llu scripts\n", name.c_str(), finding.c_str(), seconds(),
                        static_cast<unsigned long long>(totals.scripts));
            std::fflush(stdout);
            std::_Exit(0);
        };
        const Report report = play(script, expected);
        totals.add(report);
        if (report.finding.empty()) return false;
        const Script less = shortened(script);
        std::printf("%s: %s\nfound after %.3f s and %llu scripts; the shortest that finds something: %s\n%s",
                    name.c_str(), report.finding.c_str(), seconds(), static_cast<unsigned long long>(totals.scripts),
                    play(less).finding.c_str(), less.text().c_str());
        return true;
    };
    bool found = false;
    for (const std::string& file : arguments.files) {
        found = one(read_script(file), std::filesystem::path(file).stem().string()) || found;
    }
    for (std::uint64_t i = 0; arguments.files.empty() && i < 2 * arguments.runs && !found; ++i) {
        const std::uint64_t seed = arguments.seed + i / 2;
        found = one(Script::from_seed(seed, i % 2 != 0, arguments.steps), "seed_" + std::to_string(seed));
    }
    std::printf("%llu scripts, %llu steps: %llu requests, %llu completed, %llu violations, %llu resets; %s\n",
                static_cast<unsigned long long>(totals.scripts), static_cast<unsigned long long>(totals.steps),
                static_cast<unsigned long long>(totals.added), static_cast<unsigned long long>(totals.completed),
                static_cast<unsigned long long>(totals.violations), static_cast<unsigned long long>(totals.recoveries),
                found ? "something was found" : "nothing was found");
    return found || arguments.expect_finding ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
    const auto arguments = parse(argc, argv);
    if (!arguments) return usage();
    try {
        return run(*arguments);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 2;
    }
}
