// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The main program of every benchmark, and the only place that knows Google Benchmark. One iteration is one whole
// measurement; its "time" is that of one operation.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "bench/harness/report.hpp"

namespace bench {
namespace {

Settings g_settings;

void set_counter(benchmark::State& state, const char* name, double value) {
    if (!std::isnan(value)) state.counters[name] = value;
}

bool number_of(const char* argument, const char* option, double& value) {
    const std::size_t length = std::strlen(option);
    if (std::strncmp(argument, option, length) != 0) return false;
    char* end = nullptr;
    value = std::strtod(argument + length, &end);
    return end != argument + length && *end == '\0' && value > 0 && value <= 1e9;
}

/// Takes --seconds=, --seeds= and --samples= out of the arguments.
void take_settings(int& argc, char** argv) {
    int kept = 1;
    for (int i = 1; i < argc; ++i) {
        double value = 0;
        if (number_of(argv[i], "--seconds=", value)) {
            g_settings.seconds = value;
        } else if (number_of(argv[i], "--seeds=", value)) {
            g_settings.seeds = static_cast<unsigned>(value);
        } else if (number_of(argv[i], "--samples=", value)) {
            g_settings.samples = static_cast<unsigned>(value);
        } else {
            argv[kept++] = argv[i];
        }
    }
    argc = kept;
}

}  // namespace

void add(const Name& name, std::function<Figures(const Settings&)> body) {
    const std::string whole = std::string(name.name) + "/" + name.subject + "/" + std::to_string(name.size) + "/" +
                              std::to_string(name.threads) + "/" + name.variant;
    benchmark::RegisterBenchmark(whole.c_str(),
                                 [body = std::move(body)](benchmark::State& state) {
                                     for (auto _ : state) {
                                         try {
                                             const Figures figures = body(g_settings);
                                             state.SetIterationTime(std::isnan(figures.ns) ? 0 : figures.ns * 1e-9);
                                             set_counter(state, "ns", figures.ns);
                                             set_counter(state, "p50", figures.p50);
                                             set_counter(state, "p99", figures.p99);
                                             set_counter(state, "p9999", figures.p9999);
                                             set_counter(state, "value", figures.value);
                                             state.SetLabel(figures.unit + "|" + figures.note);
                                         } catch (const Skipped& skipped) {
                                             state.SkipWithError((std::string("skipped: ") + skipped.what()).c_str());
                                         } catch (const std::exception& error) {
                                             state.SkipWithError(error.what());
                                         }
                                     }
                                 })
        ->Iterations(1)
        ->UseManualTime()
        ->Unit(benchmark::kNanosecond);
}

}  // namespace bench

int main(int argc, char** argv) {
    bench::take_settings(argc, argv);
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    bench::register_cases();
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
