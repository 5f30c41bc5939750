// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tests/hostile/script.hpp"

#include <algorithm>
#include <iterator>
#include <sstream>
#include <stdexcept>

namespace bounce::hostile {
namespace {

struct Name {
    const char* text;
    unsigned weight;  // in scripts that a seed makes
};
// By enum Step.
constexpr Name kNames[] = {
    {"add", 240},       {"publish", 200},    {"collect", 160},     {"poll", 30},       {"arm", 15},
    {"disarm", 8},      {"recover", 4},      {"honest", 20},       {"scan", 4},        {"complete", 150},
    {"fill", 30},       {"long_length", 12}, {"short_length", 15}, {"any_id", 4},      {"alias_id", 4},
    {"replay", 4},      {"inside", 4},       {"unpublished", 5},   {"run_ahead", 4},   {"flip_desc", 20},
    {"flip_table", 15}, {"flip_driver", 15}, {"flip_device", 5},   {"flip_data", 10},  {"events", 15},
    {"scribble", 10},   {"storm", 2},        {"withhold", 6},      {"flip_config", 3}, {"read_config", 3},
};
constexpr auto kSteps = static_cast<std::size_t>(Step::kCount);
static_assert(std::size(kNames) == kSteps);

struct Flag {
    const char* text;
    bool Setup::*member;
};
// Bit i of the second byte of a setup, in this order.
constexpr Flag kFlags[] = {
    {"indirect", &Setup::indirect},       {"event_idx", &Setup::event_idx},
    {"in_order", &Setup::in_order},       {"order_platform", &Setup::order_platform},
    {"no_kicks", &Setup::no_kicks},       {"length_ignore", &Setup::length_ignore},
    {"length_fail", &Setup::length_fail},
};

constexpr std::uint32_t kSplitSizes[] = {2, 4, 8, 16, 32};
constexpr std::uint32_t kPackedSizes[] = {1, 2, 3, 7, 16, 33};

std::span<const std::uint32_t> sizes_of(bool packed) {
    if (packed) return kPackedSizes;
    return kSplitSizes;
}

void set_flags(Setup& setup, std::uint8_t bits) {
    for (std::size_t i = 0; i < std::size(kFlags); ++i) setup.*kFlags[i].member = (bits >> i & 1) != 0;
    if (setup.length_ignore) setup.length_fail = false;
}

/// splitmix64: the same numbers everywhere.
class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed) {}
    std::uint64_t next() {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        return z ^ z >> 31;
    }
    std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(next() % n); }

private:
    std::uint64_t state_;
};

Step weighted(Random& random) {
    static const unsigned total = [] {
        unsigned sum = 0;
        for (const Name& name : kNames) sum += name.weight;
        return sum;
    }();
    unsigned left = random.below(total);
    for (std::size_t i = 0;; ++i) {
        if (left < kNames[i].weight) return static_cast<Step>(i);
        left -= kNames[i].weight;
    }
}

std::uint32_t number(const std::string& word, std::uint32_t most, const std::string& line) {
    std::size_t used = 0;
    unsigned long long value = 0;
    try {
        value = std::stoull(word, &used, 0);
    } catch (const std::exception&) {
        used = 0;
    }
    if (used != word.size() || value > most)
        throw std::runtime_error("'" + word + "' is no number from 0 to " + std::to_string(most) + ": " + line);
    return static_cast<std::uint32_t>(value);
}

Setup read_setup(std::istream& words, const std::string& line) {
    Setup setup;
    std::string word;
    if (!(words >> word) || (word != "split" && word != "packed"))
        throw std::runtime_error("a setup begins with split or packed: " + line);
    setup.packed = word == "packed";
    if (!(words >> word)) throw std::runtime_error("a setup without a queue size: " + line);
    setup.queue_size = number(word, 32768, line);
    while (words >> word) {
        const auto* const flag =
            std::find_if(std::begin(kFlags), std::end(kFlags), [&](const Flag& one) { return word == one.text; });
        if (flag == std::end(kFlags)) throw std::runtime_error("'" + word + "' is no flag of a setup: " + line);
        setup.*flag->member = true;
    }
    return setup;
}

}  // namespace

Script Script::from_seed(std::uint64_t seed, bool packed, std::size_t actions) {
    Random random(seed);
    Script script;
    script.setup.packed = packed;
    const auto sizes = sizes_of(packed);
    script.setup.queue_size = sizes[random.below(static_cast<std::uint32_t>(sizes.size()))];
    // Each flag in one script of four, indirect tables in half of them.
    set_flags(script.setup, static_cast<std::uint8_t>((random.next() & random.next()) | (random.next() & 1)));
    script.actions.reserve(actions);
    while (script.actions.size() < actions) {
        const Step step = weighted(random);
        const auto a = static_cast<std::uint8_t>(random.next());
        // Small numbers, numbers near the queue size, any.
        const std::uint32_t ranges[] = {4, 2 * script.setup.queue_size, 0x10000, 0xffffffff};
        script.actions.push_back({step, a, random.below(ranges[random.below(4)])});
    }
    return script;
}

Script Script::from_bytes(std::span<const std::uint8_t> bytes, bool packed) {
    Script script;
    script.setup.packed = packed;
    if (bytes.size() < 2) return script;
    const auto sizes = sizes_of(packed);
    script.setup.queue_size = sizes[bytes[0] % sizes.size()];
    set_flags(script.setup, bytes[1]);
    for (std::size_t at = 2; at + 6 <= bytes.size(); at += 6) {
        std::uint32_t b = 0;
        for (std::size_t i = 0; i < 4; ++i) b |= std::uint32_t{bytes[at + 2 + i]} << (8 * i);
        script.actions.push_back({static_cast<Step>(bytes[at] % kSteps), bytes[at + 1], b});
    }
    return script;
}

Script Script::from_text(const std::string& text) {
    Script script;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line.substr(0, line.find('#')));
        std::string word;
        if (!(words >> word)) continue;
        if (word == "setup") {
            script.setup = read_setup(words, line);
            continue;
        }
        const auto* const name =
            std::find_if(std::begin(kNames), std::end(kNames), [&](const Name& one) { return word == one.text; });
        if (name == std::end(kNames)) throw std::runtime_error("'" + word + "' is no step: " + line);
        Action action{static_cast<Step>(name - std::begin(kNames)), 0, 0};
        if (words >> word) action.a = static_cast<std::uint8_t>(number(word, 255, line));
        if (words >> word) action.b = number(word, 0xffffffff, line);
        if (words >> word) throw std::runtime_error("more than two numbers: " + line);
        script.actions.push_back(action);
    }
    return script;
}

std::string Script::text() const {
    std::ostringstream out;
    out << "setup " << (setup.packed ? "packed " : "split ") << setup.queue_size;
    for (const Flag& flag : kFlags) {
        if (setup.*flag.member) out << ' ' << flag.text;
    }
    out << '\n';
    for (const Action& action : actions) {
        out << kNames[static_cast<std::size_t>(action.step)].text << ' ' << unsigned{action.a} << ' ' << action.b
            << '\n';
    }
    return out.str();
}

std::vector<std::uint8_t> Script::bytes() const {
    const auto sizes = sizes_of(setup.packed);
    const auto at = std::find(sizes.begin(), sizes.end(), setup.queue_size);
    std::vector<std::uint8_t> out(2);
    out[0] = static_cast<std::uint8_t>(at == sizes.end() ? 0 : at - sizes.begin());
    for (std::size_t i = 0; i < std::size(kFlags); ++i)
        out[1] = static_cast<std::uint8_t>(out[1] | (setup.*kFlags[i].member ? 1U << i : 0U));
    for (const Action& action : actions) {
        out.push_back(static_cast<std::uint8_t>(action.step));
        out.push_back(action.a);
        for (unsigned i = 0; i < 4; ++i) out.push_back(static_cast<std::uint8_t>(action.b >> (8 * i)));
    }
    return out;
}

}  // namespace bounce::hostile
