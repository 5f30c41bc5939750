// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The memory that a guest shares with one audience: a memfd, cut into slots of a chunk each, of which the pieces that
// are shared now are filled. Devices of that audience have the descriptor; whatever is not shared is not in the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bounce/platform.h"

namespace bounce::emulated {

class Window {
public:
    static constexpr std::uint64_t kSlotBytes = std::uint64_t{2} << 20;
    static constexpr std::uint64_t kSlots = 32768;

    /// A shared piece of the guest's memory: within one chunk.
    struct Piece {
        std::uint64_t gpa;
        std::uint64_t bytes;
        std::uint64_t offset;  // in the file; congruent to gpa modulo the slot
        bool lost = false;     // it stays shared for ever
    };

    explicit Window(const bounce_audience& audience) noexcept : audience_(audience) {}
    ~Window();
    Window(const Window&) = delete;
    Window& operator=(const Window&) = delete;
    /// 0 or a positive errno value.
    int open() noexcept;

    /// Puts pages of the file at range.hva, filled with `content`, and pages of nobody's. Both 0 or a positive errno
    /// value, having changed nothing then. The second takes away the beginning of a piece, or all of it. Both may throw
    /// std::bad_alloc, as early.
    int share(const bounce_range& range, const std::byte* content);
    int unshare(const bounce_range& range, const std::byte* content);

    [[nodiscard]] const Piece* find(std::uint64_t gpa) const noexcept;
    /// Is any of it shared?
    [[nodiscard]] bool overlaps(std::uint64_t gpa, std::uint64_t bytes) const noexcept;
    void write_off(std::uint64_t gpa, std::uint64_t bytes) noexcept;
    /// Of what is shared; without or with what is lost.
    [[nodiscard]] std::uint64_t bytes(bool lost_too) const noexcept;
    [[nodiscard]] int fd() const noexcept { return fd_; }
    [[nodiscard]] const bounce_audience& audience() const noexcept { return audience_; }

private:
    const bounce_audience audience_;
    int fd_ = -1;
    std::uint64_t slots_used_ = 0;  // ever
    std::vector<std::uint64_t> free_slots_;
    std::vector<Piece> pieces_;
};

}  // namespace bounce::emulated
