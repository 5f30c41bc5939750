// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// other_core: a map and its unmap with a device thread on the other processor that reads or writes all of the buffer.
// 32 mappings are out; the time is that of one mapping at the pace of the slower side.
//
// What is best depends on how far apart the processors are, and those of a virtual machine move. So the subjects of a
// size and direction are run together: some rounds of a short run of each, one after the other. A round counts when the
// round trip of a cache line was the same before and after it, and the figures of all subjects are medians of the same
// rounds. Each keeps its pool and device over all rounds, and has a run before them that is not counted: `auto` settles
// then, within the number of mappings that api/dma/calibration.hpp states.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/cases/copies.hpp"
#include "bench/cases/threads.hpp"
#include "bench/harness/report.hpp"
#include "bench/measure/chunks.hpp"
#include "bench/measure/cores.hpp"
#include "bench/measure/summary.hpp"
#include "bench/subjects/dma_subject.hpp"

namespace bench {

inline constexpr std::size_t kDepth = 32;

/// What a device does with a buffer.
inline void touch(std::byte* slot, std::uint64_t bytes, Direction direction) {
    if (direction == Direction::kFromDevice) {
        std::memset(slot, 0x5a, bytes);
        return;
    }
    std::uint64_t sum = 0;
    for (std::uint64_t at = 0; at + 8 <= bytes; at += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, slot + at, sizeof word);
        sum += word;
    }
    keep(sum);
}

template <DmaSubject D>
double time_other_core(D& subject, std::byte* buffers, double seconds, std::uint64_t bytes, Direction direction) {
    constexpr unsigned kOps = 64;
    Pipe<std::byte*, 64> submitted;
    Pipe<std::byte*, 64> completed;
    std::atomic<bool> done{false};
    double ns = kNone;
    in_threads(2, [&](unsigned side, const std::atomic<bool>& failed) {
        std::byte* slot = nullptr;
        if (side == 1) {
            spin_until(failed, [&] {
                while (submitted.pop(slot)) {
                    touch(slot, bytes, direction);
                    completed.push(slot);
                }
                return done.load(std::memory_order_relaxed);
            });
            return;
        }
        typename D::Context context(subject);
        typename D::Token tokens[kDepth] = {};
        std::size_t mapped = 0;
        std::size_t unmapped = 0;
        const auto unmap_oldest = [&] {
            spin_until(failed, [&] { return completed.pop(slot); });
            expect(subject.unmap(context, tokens[unmapped++ % kDepth]), "an unmap failed");
        };
        const auto spans = record_chunks(seconds, [&] {
            for (unsigned i = 0; i < kOps; ++i) {
                if (mapped - unmapped == kDepth) unmap_oldest();
                auto& token = tokens[mapped % kDepth];
                expect(subject.map(context, buffers + mapped++ % kDepth * bytes, bytes, direction, token),
                       "a map failed");
                submitted.push(subject.slot(token));
            }
        });
        while (unmapped != mapped) unmap_oldest();
        ns = pace(spans, kOps);
        done.store(true, std::memory_order_relaxed);
    });
    return ns;
}

/// Subjects that are compared with each other, and what came out.
class OtherCore {
public:
    OtherCore(std::uint64_t bytes, Direction direction) : bytes_(bytes), direction_(direction) {}

    template <DmaSubject D>
    void add_subject() {
        const std::size_t index = makers_.size();
        makers_.push_back([this]() -> Run {
            auto subject = std::make_shared<D>(kDmaShape);
            return [this, subject](std::byte* buffers, double seconds) {
                return time_other_core(*subject, buffers, seconds, bytes_, direction_);
            };
        });
        const auto figures = [this, index](const Settings& settings) {
            if (ns_.empty()) measure(settings.seconds);
            return Figures{
                .ns = ns_[index], .value = ping_pong_, .unit = "ns ping-pong", .note = note_of<D>(how_.c_str())};
        };
        add({"other_core", D::kName, bytes_, 2, direction_ == Direction::kToDevice ? "reads" : "writes"}, figures);
    }

private:
    using Run = std::function<double(std::byte*, double)>;
    struct Round {
        Distance distance;
        std::vector<double> ns;
    };
    static constexpr std::size_t kRounds = 7;
    static constexpr double kSettle = 0.1;  // 50,000 mappings of 4 KiB at the slowest that was seen
    static constexpr double kNear = 150;    // as tools/bench has it
    static constexpr double kFar = 250;

    static int place(double ping_pong) { return ping_pong < kNear ? 0 : ping_pong > kFar ? 2 : 1; }

    void measure(double seconds) {
        std::vector<Run> runs;
        for (const auto& make : makers_) runs.push_back(make());
        const Buffer buffers(kDepth * bytes_);
        for (const Run& run : runs) run(buffers.data(), std::max(seconds, kSettle));
        std::vector<Round> rounds[3];
        std::size_t moved = 0;
        // Somewhat more rounds when the processors move; but not for ever.
        for (std::size_t i = 0; i < 2 * kRounds && i - moved < kRounds; ++i) {
            Round round;
            round.distance.before = ping_pong_ns();
            for (const Run& run : runs) round.ns.push_back(run(buffers.data(), seconds));
            round.distance.after = ping_pong_ns();
            const int at = place(round.distance.before);
            if (at != place(round.distance.after))
                ++moved;
            else
                rounds[at].push_back(std::move(round));
        }
        const auto& kept = rounds[0].size() >= rounds[2].size() ? rounds[0] : rounds[2];
        if (kept.empty()) throw Skipped("the processors moved during every round");
        summarise(kept);
    }

    void summarise(const std::vector<Round>& kept) {
        std::vector<double> distances;
        for (const Round& round : kept) distances.push_back(round.distance.mean());
        ping_pong_ = median(distances);
        how_ = kept.back().distance.text() +
               "; depth 32, median of chunks of 64 in which both threads ran, median of " +
               std::to_string(kept.size()) + " rounds in which all subjects ran";
        for (std::size_t subject = 0; subject < makers_.size(); ++subject) {
            std::vector<double> times;
            for (const Round& round : kept) times.push_back(round.ns[subject]);
            ns_.push_back(median(times));
        }
    }

    std::uint64_t bytes_;
    Direction direction_;
    std::vector<std::function<Run()>> makers_;
    std::vector<double> ns_;
    double ping_pong_ = 0;
    std::string how_;
};

/// Registers the subjects for each size and direction.
template <DmaSubject... D>
void add_other_core_cases() {
    static std::vector<std::unique_ptr<OtherCore>> groups;
    for (const std::uint64_t bytes : {4 * kKiB, 64 * kKiB}) {
        for (const Direction direction : {Direction::kToDevice, Direction::kFromDevice}) {
            groups.push_back(std::make_unique<OtherCore>(bytes, direction));
            (groups.back()->template add_subject<D>(), ...);
        }
    }
}

}  // namespace bench
