// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/shared_maps.hpp"

#include <bit>
#include <cerrno>
#include <new>

namespace bounce {
namespace {

// Words are numbered through; block b has the words from 2^b - 1 on, 2^b of them.
std::uint32_t block_of(std::uint32_t word) noexcept {
    return static_cast<std::uint32_t>(std::bit_width(word + 1)) - 1;
}
std::uint32_t place_in_block(std::uint32_t word) noexcept {
    return word + 1 - (std::uint32_t{1} << block_of(word));
}

}  // namespace

SharedMaps::~SharedMaps() {
    for (auto& block : blocks_) delete[] block.load(std::memory_order_relaxed);
}

/// nullptr: there is none.
SharedMaps::Word* SharedMaps::word_of(std::uint32_t word) const noexcept {
    const std::uint32_t block = block_of(word);
    if (block >= kBlocks) return nullptr;
    // S0: acquire, pairs with the release in add_block().
    Word* const words = blocks_[block].load(std::memory_order_acquire);
    return words == nullptr ? nullptr : words + place_in_block(word);
}

bool SharedMaps::claim_in(Word& word, std::uint32_t& bit) noexcept {
    std::uint64_t taken = word.taken.load(std::memory_order_relaxed);
    while (taken != ~std::uint64_t{0}) {
        bit = static_cast<std::uint32_t>(std::countr_one(taken));
        // S1: acquire, pairs with S4: what the one before did to the ticket is done.
        taken = word.taken.fetch_or(std::uint64_t{1} << bit, std::memory_order_acquire);
        if ((taken >> bit & 1) == 0) return true;
    }
    return false;
}

bool SharedMaps::add_block(std::uint32_t block) noexcept {
    if (block >= kBlocks) return false;
    auto* const words = new (std::nothrow) Word[std::size_t{1} << block];
    Word* none = nullptr;
    if (words == nullptr) return false;
    // S0: release, pairs with the acquire in word_of().
    if (!blocks_[block].compare_exchange_strong(none, words, std::memory_order_acq_rel)) delete[] words;
    return true;
}

Result<SharedMaps::Ticket> SharedMaps::open(Gpa gpa, std::uint64_t bytes) noexcept {
    const std::uint32_t from = hint_.load(std::memory_order_relaxed);
    bool wrapped = from == 0;
    for (std::uint32_t word = from;; ++word) {
        Word* at = word_of(word);
        if (at == nullptr && !wrapped) {
            wrapped = true;
            word = 0;
            at = word_of(0);
        }
        if (at == nullptr && (!add_block(block_of(word)) || (at = word_of(word)) == nullptr))
            return fail(ENOMEM, "no private memory for one more mapping of a born-shared buffer (%llu bytes)", bytes);
        std::uint32_t bit = 0;
        if (!claim_in(*at, bit)) continue;
        hint_.store(word, std::memory_order_relaxed);
        Entry& entry = at->entries[bit];
        entry.gpa.store(gpa.value, std::memory_order_relaxed);
        const std::uint32_t generation = entry.generation.load(std::memory_order_relaxed) + 1;
        // S2: release, pairs with the acquire in count_in(): who sees that it lives sees where.
        entry.generation.store(generation, std::memory_order_release);
        count_.fetch_add(1, std::memory_order_relaxed);
        return Ticket{word * kWord + bit, generation};
    }
}

int SharedMaps::check(Ticket ticket) const noexcept {
    const Word* const word = word_of(ticket.index / kWord);
    if (word == nullptr || ticket.generation % 2 == 0) return EALREADY;
    const std::uint32_t now = word->entries[ticket.index % kWord].generation.load(std::memory_order_relaxed);
    if (now == ticket.generation) return 0;
    return now == ticket.generation + 1 ? EALREADY : ESTALE;
}

int SharedMaps::close(Ticket ticket) noexcept {
    if (const int code = check(ticket); code != 0) return code;
    Word& word = *word_of(ticket.index / kWord);
    std::uint32_t live = ticket.generation;
    // S3: relaxed, it only decides who ends the mapping.
    if (!word.entries[ticket.index % kWord].generation.compare_exchange_strong(live, live + 1,
                                                                               std::memory_order_relaxed))
        return live == ticket.generation + 1 ? EALREADY : ESTALE;
    count_.fetch_sub(1, std::memory_order_relaxed);
    // S4: release, pairs with S1.
    word.taken.fetch_and(~(std::uint64_t{1} << ticket.index % kWord), std::memory_order_release);
    hint_.store(ticket.index / kWord, std::memory_order_relaxed);
    return 0;
}

std::uint64_t SharedMaps::count_in(Gpa gpa, std::uint64_t bytes) const noexcept {
    std::uint64_t found = 0;
    if (count() == 0) return 0;
    for (std::uint32_t at = 0;; ++at) {
        const Word* const word = word_of(at);
        if (word == nullptr) return found;
        for (const Entry& entry : word->entries) {
            // S2: acquire.
            const bool lives = entry.generation.load(std::memory_order_acquire) % 2 != 0;
            if (lives && entry.gpa.load(std::memory_order_relaxed) - gpa.value < bytes) ++found;
        }
    }
}

}  // namespace bounce
