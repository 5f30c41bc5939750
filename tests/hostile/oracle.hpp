// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What must hold whatever a device does, checked from outside of the library: by its public API, by the private buffers
// of the driver, and by looking at the shared memory. It keeps a book of every request of one ring. A finding is a
// sentence; the first one is enough.
#pragma once

#include <bounce/bounce.h>
#include <bounce/virtio.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tests/hostile/hostile_device.hpp"

namespace bounce::hostile {

class Findings {
public:
    /// `found` is called at the first one, from within a step: the library may have done harm to this process by then.
    explicit Findings(std::function<void(const std::string&)> found) : found_(std::move(found)) {}
    /// printf, at most 255 characters.
    [[gnu::format(printf, 2, 3)]] void add(const char* format, ...);
    [[nodiscard]] const std::string& first() const { return first_; }
    [[nodiscard]] bool any() const { return !first_.empty(); }

private:
    std::string first_;
    std::function<void(const std::string&)> found_;
};

/// A private buffer between two stretches of private bytes.
class Buffer {
public:
    Buffer(std::size_t bytes, bool write, std::uint8_t content);
    [[nodiscard]] bounce_sg sg() { return {memory_.data() + kGuard, bytes_, 0, 0}; }
    /// Did the first `written` bytes change at most (incoming), or none (outgoing)?
    [[nodiscard]] bool intact(std::size_t written) const;
    [[nodiscard]] std::size_t bytes() const { return bytes_; }
    [[nodiscard]] bool write() const { return write_; }
    [[nodiscard]] const std::uint8_t* content() const { return memory_.data() + kGuard; }

private:
    static constexpr std::size_t kGuard = 128;
    std::vector<std::uint8_t> memory_;
    std::size_t bytes_;
    std::uint8_t content_;
    bool write_;
};

/// A request as the driver remembers it.
struct Entry {
    std::vector<Buffer> buffers;
    std::uint32_t id = 0;
    std::uint32_t descriptors = 0;
    std::uint32_t writable = 0;
    std::size_t at_device = 0;  // index in HostileDevice::requests()
    bool live = true;
    bool published = false;
};

class Oracle {
public:
    Oracle(Findings& findings, bounce_pool* pool, bounce_ring* ring, const Setup& setup);

    // What the driver did.
    void* next_cookie() const;
    void added(std::vector<Buffer> buffers, const Request& seen, std::size_t at_device);
    void published();
    /// Before and after bounce_ring_collect() with room for `max`; `result` as it returned.
    void before_collect(const HostileDevice& device, std::size_t max);
    void collected(HostileDevice& device, const bounce_completion* completions, int result);
    void aborted(HostileDevice& device, const bounce_completion* completions, int n);
    void reset();
    /// A violation was reported.
    void violation(int kind) { last_kind_ = kind; }

    /// After every step: the ring's own figures.
    void check_ring();
    /// Looks at all of the shared memory.
    void scan();

    [[nodiscard]] std::size_t live() const { return live_; }
    /// The first byte of each incoming buffer of the last collected().
    [[nodiscard]] const std::vector<std::uint8_t>& answers() const { return answers_; }
    [[nodiscard]] const Entry* entry_of(const bounce_completion& completion) const;

private:
    Entry* end(HostileDevice& device, const bounce_completion& completion);
    void check_broken();
    void check_content(Entry& entry, std::uint32_t written);

    Findings& findings_;
    bounce_pool* pool_;
    bounce_ring* ring_;
    Setup setup_;
    std::vector<Entry> entries_;  // by cookie
    std::size_t live_ = 0;
    std::size_t published_ = 0;      // of entries_
    std::uint32_t descriptors_ = 0;  // of live ones
    std::uint16_t taken_ = 0;        // completions since the reset
    int last_kind_ = 0;
    std::vector<std::uint8_t> answers_;
    bool must_refuse_ = false;
};

/// Blocks of 4 KiB that the pool can hand out to a device: all of them are taken, and given back.
std::size_t capacity(bounce_pool* pool, bounce_device* device);

}  // namespace bounce::hostile
