// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a benchmark is called and what it reports. The programs run on Google Benchmark; a benchmark times itself (by
// chunks or single operations, over two threads, or not at all) and hands in the figures.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>

namespace bench {

/// A subject that cannot run this here and now; the text says why and ends up in the results.
class Skipped : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

struct Settings {
    double seconds = 0.2;        // that a timed loop runs
    unsigned seeds = 21;         // of random streams
    unsigned samples = 1000000;  // of single operations, for percentiles
};

inline constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

struct Figures {
    double ns = kNone;
    double p50 = kNone;
    double p99 = kNone;
    double p9999 = kNone;
    double value = kNone;
    std::string unit = {};
    std::string note = {};
};

struct Name {
    const char* name;  // of the case
    const char* subject;
    std::uint64_t size;  // of an item; of the pool for fail, create and utilisation
    unsigned threads = 1;
    const char* variant = "-";  // what else tells rows of one case apart
};

/// Registers a benchmark CASE/SUBJECT/SIZE/THREADS/VARIANT.
void add(const Name& name, std::function<Figures(const Settings&)> body);

/// One that this subject cannot do: a row that says why.
inline void add_skipped(const Name& name, const std::string& reason) {
    add(name, [reason](const Settings&) -> Figures { throw Skipped(reason); });
}

/// Every program registers its cases here.
void register_cases();

}  // namespace bench
