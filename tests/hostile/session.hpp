// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// One script against a real ring: a pool, a ring whose device is hostile, and one with an honest device beside it, each
// of a device of its own. Everything goes through the public API.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/hostile/hostile_device.hpp"
#include "tests/hostile/oracle.hpp"
#include "tests/hostile/script.hpp"

namespace bounce::hostile {

struct Report {
    std::string finding;  // empty: nothing was found
    std::size_t steps = 0;
    std::uint64_t added = 0;
    std::uint64_t completed = 0;
    std::uint64_t violations = 0;
    std::uint64_t recoveries = 0;
};

/// Is the first outgoing segment of a request, instead of its buffer, one that is used where it is?
enum class InPlace : std::uint8_t { kNo, kBornShared, kMapped };

/// A driver and its device.
class Line {
public:
    Line(Findings& findings, bounce_pool* pool, const char* name, const Setup& setup, std::uint32_t index);
    ~Line();
    Line(const Line&) = delete;
    Line& operator=(const Line&) = delete;

    /// Adds a request of such buffers; false when the ring or the pool is full, or the ring is broken.
    bool add(std::vector<Buffer> buffers, std::size_t n_out, InPlace first = InPlace::kNo);
    void publish();
    int collect(std::size_t max, bool poll = false);
    /// As a driver whose device misbehaved: quarantine, abort, release, reset.
    void recover();
    /// n requests of which the device inverts the readable bytes into the writable ones.
    void honest_turn(std::size_t n, std::uint32_t garbage);
    /// Everything is given back.
    void finish();

    [[nodiscard]] HostileDevice& device() { return *device_; }
    [[nodiscard]] Oracle& oracle() { return *oracle_; }
    [[nodiscard]] bounce_ring* ring() const { return ring_; }
    [[nodiscard]] bounce_device* handle() const { return handle_; }
    [[nodiscard]] bool broken() const;

private:
    void connect();

    Findings& findings_;
    bounce_pool* pool_;
    Setup setup_;
    bounce_device* handle_ = nullptr;
    bounce_ring* ring_ = nullptr;
    std::unique_ptr<HostileDevice> device_;
    std::unique_ptr<Oracle> oracle_;
    bounce_block shared_{};
    std::vector<std::uint8_t> premapped_;
    bounce_mapping mapping_{};
    std::uint8_t content_ = 0;
    std::vector<bounce_completion> completions_;
};

/// Throws std::runtime_error when the pool, a device or a ring cannot be made.
/// `found`: as for Findings.
Report play(const Script& script, std::function<void(const std::string&)> found = {});

}  // namespace bounce::hostile
