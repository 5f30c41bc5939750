// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Two subjects of the bench, both through bounce_ring_add(): bounced, with private buffers, and born-shared, with
// header, data and status in the pool.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "bounce/bounce.h"
#include "tools/bounce-blk/request.hpp"
#include "tools/bounce-blk/session.hpp"
#include "tools/common/canary.hpp"

namespace bounce::blk {

struct LoadConfig {
    bool write = false;
    std::uint64_t block_bytes = 4096;
    std::uint32_t depth = 32;
    std::uint64_t seed = 1;
};

class RingSubject {
public:
    /// canary: for private buffers; null: born-shared ones.
    RingSubject(Session& session, std::uint32_t queue, const LoadConfig& load, const tools::Canary* canary);
    ~RingSubject();
    RingSubject(const RingSubject&) = delete;
    RingSubject& operator=(const RingSubject&) = delete;

    bool add(std::uint32_t slot, std::uint64_t sector);
    void publish();
    std::uint32_t collect(std::vector<std::uint32_t>& slots);
    void idle();
    [[nodiscard]] bool polls() const noexcept { return !session_.config().calls; }

    /// Takes back what is outstanding, after the connection was given up.
    void abort() noexcept;
    [[nodiscard]] std::uint32_t outstanding() const noexcept { return outstanding_; }
    /// Throws tools::Failure when a canary was overwritten.
    void check_canaries() const;

private:
    struct Slot {
        bounce_sg list[3];  // header, data, status
        std::byte* header;
        std::byte* status;
    };

    void make_private(const LoadConfig& load, const tools::Canary& canary);
    void make_shared(const LoadConfig& load);
    bounce_block& alloc(std::size_t bytes, std::size_t align);

    Session& session_;
    std::uint32_t queue_;
    bounce_ring* ring_;
    std::size_t n_out_;
    std::uint32_t outstanding_ = 0;
    std::uint32_t idle_looks_ = 0;  // in a row
    std::vector<Slot> slots_;
    std::vector<bounce_completion> completions_;
    std::vector<std::unique_ptr<Request>> requests_;  // bounced: the private memory
    std::vector<bounce_block> blocks_;                // born-shared: in the pool
};

}  // namespace bounce::blk
