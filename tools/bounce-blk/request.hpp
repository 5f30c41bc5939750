// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// One virtio-blk request in private memory: header, data, status, each between two canaries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bounce/bounce.h"
#include "tools/bounce-blk/virtio_blk.hpp"
#include "tools/common/canary.hpp"

namespace bounce::blk {

class Request {
public:
    Request(const tools::Canary& canary, std::size_t data_bytes);

    /// What is to be done next. A read fills the data with the canary: whatever of it is there afterwards, the device
    /// did not write.
    void prepare(RequestType type, std::uint64_t offset, std::size_t bytes) noexcept;

    /// As a scatter list with segments of at most segment_bytes (0: no limit), for bounce_ring_add().
    void build_list(std::uint64_t segment_bytes, std::vector<bounce_sg>& list, std::size_t& n_out,
                    std::size_t& n_in) const;

    /// Are the canaries as they were?
    [[nodiscard]] bool intact() const noexcept { return header_.intact() && data_.intact() && status_.intact(); }
    /// Looks at a completed request: canaries, status, length. Throws tools::Failure with what is wrong.
    void check_result(std::uint32_t written) const;

    [[nodiscard]] RequestType type() const noexcept { return type_; }
    [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
    /// All of the data buffer, and the part that the request is about.
    [[nodiscard]] std::span<std::byte> buffer() const noexcept { return data_.span(); }
    [[nodiscard]] std::span<std::byte> data() const noexcept { return data_.span().first(bytes_); }

    void* owner = nullptr;  // whoever made it may find itself again
    bool in_flight = false;
    std::uint32_t queue = 0;

private:
    tools::GuardedBuffer header_;
    tools::GuardedBuffer data_;
    tools::GuardedBuffer status_;
    RequestType type_ = kTypeFlush;
    std::uint64_t offset_ = 0;
    std::size_t bytes_ = 0;
};

/// The request header (virtio 1.2, section 5.2.6).
void store_header(std::byte* header, RequestType type, std::uint64_t sector) noexcept;

}  // namespace bounce::blk
