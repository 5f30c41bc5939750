// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a device has mapped of born-shared buffers. Such a mapping has no slot whose state could tell one end from two,
// so it has a ticket here: private memory, taken when the first one is made.
//
// Protocol. A ticket is claimed by its bit in the words of its block (S1). Its claimer writes the range, then makes the
// generation odd: the mapping lives (S2). Of all who hold a copy of the token one makes it even again by
// compare-exchange (S3), which is the end of the mapping, and gives the bit back (S4). A copy of an earlier mapping has
// another generation, so it ends nothing; they repeat after 2^31 mappings of one ticket.
// Progress: lock-free; open() looks at other tickets only when somebody else took the one it saw. Blocks are never
// given back before the device ends. A thread that stops in between holds one ticket.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/base/error.hpp"
#include "allocator/base/types.hpp"

namespace bounce {

class SharedMaps {
public:
    struct Ticket {
        std::uint32_t index;
        std::uint32_t generation;
    };

    SharedMaps() noexcept = default;
    SharedMaps(const SharedMaps&) = delete;
    SharedMaps& operator=(const SharedMaps&) = delete;
    ~SharedMaps();

    /// ENOMEM.
    Result<Ticket> open(Gpa gpa, std::uint64_t bytes) noexcept;
    /// 0; EALREADY (free, or no such ticket) or ESTALE (another mapping has it by now): nothing has changed then.
    int close(Ticket ticket) noexcept;
    /// The same, without closing it.
    [[nodiscard]] int check(Ticket ticket) const noexcept;
    /// Mappings that live; and those of them in [gpa, gpa + bytes).
    [[nodiscard]] std::uint64_t count() const noexcept { return count_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t count_in(Gpa gpa, std::uint64_t bytes) const noexcept;

private:
    struct Entry {
        std::atomic<std::uint64_t> gpa{0};
        std::atomic<std::uint32_t> generation{0};  // odd: it lives
    };
    static constexpr std::uint32_t kWord = 64;
    static constexpr std::uint32_t kBlocks = 20;  // the first has one word, each other as many as all before and one
    struct Word {
        std::atomic<std::uint64_t> taken{0};
        std::array<Entry, kWord> entries;
    };

    Word* word_of(std::uint32_t index) const noexcept;
    bool claim_in(Word& word, std::uint32_t& bit) noexcept;
    bool add_block(std::uint32_t block) noexcept;

    std::array<std::atomic<Word*>, kBlocks> blocks_{};
    std::atomic<std::uint32_t> hint_{0};  // a word that had one free
    std::atomic<std::uint64_t> count_{0};
};

}  // namespace bounce
