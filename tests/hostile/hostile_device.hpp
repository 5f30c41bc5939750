// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The device of a bounce_ring, by its shared memory alone, that can write anything anywhere in that. Who links it
// drives the ring and tells it of each request; it then does what it is asked between any two steps of the driver. It
// never follows what it has garbled itself: what it knows of a request it reads when the request is added.
#pragma once

#include <bounce/bounce.h>
#include <bounce/virtio.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tests/hostile/script.hpp"

namespace bounce::hostile {

/// Private memory is filled with this byte. A hostile device never writes eight of them in a row, so where they are in
/// shared memory the library has put them there.
inline constexpr std::uint8_t kPrivate = 0xb7;

/// A part of shared memory.
struct Span {
    std::byte* at = nullptr;
    std::size_t bytes = 0;
};

/// What the device knows of a request.
struct Request {
    std::uint32_t id = 0;  // split: the head; packed: the buffer id
    std::uint32_t descriptors = 0;
    std::uint32_t writable = 0;  // bytes
    bool published = false;
    bool used = false;  // completed, or withheld for ever
    Span table;         // of an indirect one
    std::vector<Span> readable;
    std::vector<Span> written;  // by the device
};

class HostileDevice {
public:
    /// For a fresh or reset ring. Throws std::runtime_error when the layout is not inside the pool.
    HostileDevice(bounce_pool* pool, const bounce_ring_layout& layout, const Setup& setup);

    /// After each bounce_ring_add() that succeeded, before anything else is written: n_out and n_in as given to it, and
    /// by how many the free descriptors became fewer. Throws when what the driver wrote is not what it was to write.
    const Request& watch(std::size_t n_out, std::size_t n_in, std::uint32_t descriptors);
    /// After bounce_ring_publish().
    void published();

    /// The driver has collected or aborted request `index` of requests(): its id may come again.
    void ended(std::size_t index);

    /// Completes the oldest request as it should be; false: there is none.
    bool serve_oldest();
    /// The oldest request that can be completed, to fill its segments; nullptr: there is none.
    [[nodiscard]] const Request* oldest() const;
    /// One step that is the device's (kFirstDeviceStep on).
    void act(const Action& action);

    /// Is there a used element with exactly this id and length?
    [[nodiscard]] bool tells(std::uint32_t id, std::uint32_t len) const;
    /// Split: the used index as it stands.
    [[nodiscard]] std::uint16_t used_index() const;
    [[nodiscard]] const std::vector<Request>& requests() const { return requests_; }

private:
    Span find(std::uint64_t address, std::uint64_t bytes) const;
    void take_descriptors(Request& request, std::size_t n, std::size_t n_out);
    void take_piece(const std::byte* descriptor, bool write, Request& request) const;
    void put_used(std::uint32_t id, std::uint32_t len, std::uint32_t descriptors);
    void show_used();
    /// In order, all before it go with it.
    void complete(std::size_t index, std::uint32_t len);
    [[nodiscard]] std::vector<std::size_t> pending() const;
    void lie(const Action& action, const std::vector<std::size_t>& pending);
    void flip(Span part, std::uint32_t word, std::uint32_t value) const;
    void scribble(std::uint32_t pattern) const;
    void set_events(std::uint32_t garbage) const;

    bounce_pool* pool_;
    Setup setup_;
    std::uint32_t size_;
    Span desc_;
    Span driver_;                    // avail ring, or driver event
    Span device_;                    // used ring, or device event
    std::vector<Request> requests_;  // since the reset, in order of submission
    std::size_t first_ = 0;          // those before it are used
    // Where the next request is described, and the next used element. Packed: with the wrap counters.
    std::uint32_t avail_ = 0;
    std::uint32_t used_ = 0;
    bool avail_wrap_ = true;
    bool used_wrap_ = true;
    // Packed: the flags of the first element that was put and not shown.
    std::byte* held_ = nullptr;
    std::uint16_t held_flags_ = 0;
};

}  // namespace bounce::hostile
