// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a stretch of a device's mappings costs under the choice that is in force. Pure logic: it is told what happened
// and when, and reads no clock.
//
// Slots that the device left in its cache make the driver's stores slow, and slots that the driver left in its own make
// the device slow; where the device is the slower side, the driver cannot see the second. So there are two figures:
//   span  the time from the map of one mapping to its unmap, by the bytes that were unmapped meanwhile. With a full
//         queue that is the time a mapping takes of whichever side is the slower one; with a queue of one it is the
//         whole round. As one mapping is out all the time, a device without work does not count.
//   cost  the driver's own time in copies, by their bytes: it decides where the spans say nothing, because the device
//         has better things to do than to wait for memory.
// Reading a clock in order costs as much as a copy and would make the driver the slower side. So it is read only when
// wants_clock() or wants_end() say so: for a span at its two ends, and for costs after the spans. In order, because the
// counter is read long before a fence behind streamed stores is done; before the copy, because what is not in the time
// of a mapping is in none when there is only one at a time.
//
// Measuring begins when the queue has turned over, so that no mapping from before the visit is in the figures, and when
// `warm_bytes` have been mapped: a window is what it is only when all of its slots have been used once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace bounce {

/// Ticks per byte; 0: not known.
struct Figures {
    double span = 0;  // bytes weighed: a mapping costs something besides them
    double cost = 0;
};

class ArmVisit {
public:
    /// One mapping made or ended.
    struct Event {
        std::uint64_t id = 0;  // of the mapping: no other has it as long as this one lives
        std::uint64_t bytes = 0;
        std::uint64_t begin = 0;       // when the call began, ticks; 0: not known
        std::uint64_t end = 0;         // when it ended; the same
        std::uint64_t copy_ticks = 0;  // in the copy; 0: not known
        bool copied = false;
    };

    // Contexts keep slots for later; those of the choice before have to be used up.
    static constexpr std::uint32_t kWarmMappings = 128;
    // A good part of a window: what the caches hold of it is not the same everywhere.
    static constexpr std::uint32_t kSpanMappings = 256;
    static constexpr std::uint32_t kCostMappings = 24;
    static constexpr std::uint32_t kProbeMappings = 16;
    // A mapping that is not ended (a buffer that waits for a packet) does not keep a phase from ending.
    static constexpr std::uint32_t kMostMappings = 512;
    // Small mappings need so many of them for a whole window that it is not worth it.
    static constexpr std::uint32_t kMostToWarm = 1u << 16;
    static constexpr std::uint32_t kMostOfVisit = kMostToWarm + kMostMappings + kCostMappings;
    // Copies whose cost per byte can be compared.
    static constexpr std::uint64_t kLeastCopy = 1024;
    static constexpr std::uint64_t kMostCopy = 64 * 1024;

    void begin(std::uint64_t warm_bytes) noexcept;
    /// A short one of what has been in force: there is nothing to wait for.
    void begin_probe() noexcept;
    /// Events are to have a beginning, and the time that was spent in the copy.
    [[nodiscard]] bool wants_clock() const noexcept {
        return phase_ == Phase::kCost || (phase_ == Phase::kSpan && !marked_);
    }
    /// The event of the end of this mapping is to have an end.
    [[nodiscard]] bool wants_end(std::uint64_t id) const noexcept {
        return phase_ == Phase::kSpan && marked_ && marker_ == id;
    }
    /// True: the visit is over.
    bool mapped(const Event& event) noexcept;
    bool unmapped(const Event& event) noexcept;

    // Of one that is over.
    [[nodiscard]] Figures figures() noexcept;
    /// Weighed bytes, by bytes.
    [[nodiscard]] double weight() const noexcept { return weight_; }

private:
    enum class Phase : std::uint8_t { kTurnover, kSpan, kCost };
    void begin_span(std::uint32_t least) noexcept;
    void end_span(const Event& event) noexcept;
    void begin_cost() noexcept;
    void note_cost(const Event& event) noexcept;
    void count(const Event& event) noexcept;
    [[nodiscard]] bool warm() const noexcept;
    [[nodiscard]] bool enough(std::uint32_t least) const noexcept;

    static constexpr std::size_t kCosts = 64;
    Phase phase_ = Phase::kTurnover;
    bool marked_ = false;      // marker_ is out
    bool turned_ = false;      // the first mapping of the visit has ended
    std::uint32_t least_ = 0;  // mappings to measure
    std::uint64_t warm_bytes_ = 0;
    std::uint64_t marker_ = 0;  // the mapping that is followed
    std::uint64_t marked_at_ = 0;
    std::uint64_t since_mark_ = 0;  // weighed bytes unmapped
    std::uint32_t mappings_ = 0;    // of this phase
    std::uint64_t bytes_ = 0;
    double span_ticks_ = 0;
    double span_bytes_ = 0;
    double weight_ = 1;
    std::array<float, kCosts> costs_{};
    std::size_t n_costs_ = 0;
};

}  // namespace bounce
