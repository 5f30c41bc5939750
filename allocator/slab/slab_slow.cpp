// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// When the current slab of a class has nothing at home, and for what no current slab can serve.
#include <algorithm>
#include <bit>
#include <cerrno>

#include "allocator/base/bits.hpp"
#include "allocator/slab/slab_core.hpp"
#include "allocator/slab/slab_fast.hpp"

namespace bounce {

namespace {

constexpr int kLooks = 64;  // at slabs that are not marked, in a search for one that is

Demand demand_of(const SlabCore::Request& request) noexcept {
    return {request.bytes, request.align, request.end, request.boundary};
}

}  // namespace

int SlabCore::alloc_slot(std::uint32_t size_class, const Request& request, Placement& placement) noexcept {
    std::atomic<std::uint64_t>& exhausted = tables_.classes[size_class].exhausted;
    // What has an alignment of its own may also fit where the whole class does not, and the other way round.
    const bool whole_class = request.align <= kNaturalAlign;
    // Nothing came home since somebody looked in vain for this size. seq_cst: a thread sees its own free (E3).
    if (whole_class && exhausted.load(std::memory_order_relaxed) == epoch_.load(std::memory_order_seq_cst)) {
        return ENOSPC;
    }
    if (!alive()) return EOWNERDEAD;
    // As above.
    if (!whole_class && refusals_.knows(epoch_.load(std::memory_order_seq_cst), demand_of(request))) return ENOSPC;
    if (search_slot(size_class, request, placement)) return 0;
    // E2: seq_cst, the store before a second look; pairs with E1 in note_free(): what comes home too late for this look
    // ends the epoch.
    const std::uint64_t epoch = epoch_.fetch_or(1, std::memory_order_seq_cst) | 1;
    if (search_slot(size_class, request, placement)) return 0;
    if (whole_class) {
        exhausted.store(epoch, std::memory_order_relaxed);
    } else {
        refusals_.note(epoch, demand_of(request));
    }
    return ENOSPC;
}

int SlabCore::alloc_special(std::uint64_t rounded, const Request& request, Placement& placement) noexcept {
    if (!alive()) return EOWNERDEAD;
    if (request.end < request.bytes) return ENOSPC;
    const bool slot = rounded <= kMaxSlotBytes && request.align <= kPageBytes;
    // As in alloc_slot(). A search finds whatever there is, slot or run, so nothing that asks for more can be had.
    if (refusals_.knows(epoch_.load(std::memory_order_seq_cst), demand_of(request))) return ENOSPC;
    const auto search = [&] {
        return slot ? search_limited(class_of(rounded), request, placement) : search_run(request, placement);
    };
    if (search()) return 0;
    // E2: seq_cst, the store before a second look; pairs with E1 in note_free().
    const std::uint64_t epoch = epoch_.fetch_or(1, std::memory_order_seq_cst) | 1;
    if (search()) return 0;
    refusals_.note(epoch, demand_of(request));
    return ENOSPC;
}

// No failure is remembered: it says nothing about the pages.
int SlabCore::alloc_from_slabs(const Request& request, bool marked, Placement& placement) noexcept {
    const std::uint64_t rounded = std::max(request.bytes, request.align);
    if (!alive()) return EOWNERDEAD;
    if (rounded > kMaxSlotBytes || request.align > kPageBytes || request.end < request.bytes) return ENOSPC;
    const bool whole_class = request.align <= kNaturalAlign && request.boundary == 0 && request.end == region_bytes_;
    const std::uint32_t size_class = class_of(rounded);
    int looks = kLooks;
    bool found = false;
    const auto claim_marked = [&](std::uint32_t head) {
        if (!is_beyond(head)) return --looks != 0 ? Visit::kKeep : Visit::kStop;
        const Visit verdict = claim_in(head, size_class, request.kind, placement);
        found = verdict == Visit::kStop;
        return verdict;
    };
    if (marked) {
        if (whole_class) visit(size_class, 0, claim_marked);
        return found ? 0 : ENOSPC;
    }
    const bool taken = whole_class ? claim_current(size_class, request.kind, placement) ||
                                         claim_listed(size_class, request.kind, placement)
                                   : search_picky(size_class, kClasses, request, placement);
    return taken ? 0 : ENOSPC;
}

std::uint32_t SlabCore::head_of(const Placement& placement) const noexcept {
    const auto page = static_cast<std::uint32_t>((placement.offset + phase_) / kPageBytes);
    const PageEntry entry = tables_.entry(page);
    return entry.kind == PageEntry::kSlab ? page - entry.distance : page;
}

// Who marks holds something of it, so it does not die meanwhile; or else (mark_all()) it may, and then it was not
// alive.
std::int64_t SlabCore::mark_beyond(std::uint32_t head) noexcept {
    std::atomic<std::uint32_t>& entry = tables_.entries[head];
    std::uint32_t seen = entry.load(std::memory_order_relaxed);
    std::uint32_t pages = 0;
    do {
        const bool run = PageEntry::unpack(seen).kind == PageEntry::kRun;
        if ((seen & PageEntry::kBeyond) != 0 || (!run && !Shape(seen).is_slab())) return 0;
        pages = run ? tables_.run_pages(head) : Shape(seen).pages();
    } while (!entry.compare_exchange_weak(seen, seen | PageEntry::kBeyond, std::memory_order_relaxed));
    return static_cast<std::int64_t>(pages * kPageBytes);
}

void SlabCore::unmark_beyond(std::uint32_t head) noexcept {
    tables_.entries[head].fetch_and(~PageEntry::kBeyond, std::memory_order_relaxed);
}

void SlabCore::mark_all() noexcept {
    for (std::uint32_t page = tables_.first; page < tables_.end; ++page) {
        if (const std::int64_t bytes = mark_beyond(page); bytes != 0) usage_.add_beyond(bytes);
    }
}

// What began on this page is no more. Before its pages come home: who sees them sees that they are counted no more, or
// counts them once too often.
void SlabCore::forget_shape(std::uint32_t head, std::uint32_t pages) noexcept {
    PageEntry entry = tables_.entry(head);
    entry.kind = PageEntry::kDead;
    entry.length = 0;
    const std::uint32_t seen = tables_.entries[head].exchange(entry.pack(), std::memory_order_relaxed);
    if ((seen & PageEntry::kBeyond) != 0) [[unlikely]]
        usage_.add_beyond(-static_cast<std::int64_t>(pages * kPageBytes));
}

bool SlabCore::free_slabs() noexcept {
    if (!alive()) return false;
    // As in alloc_slot(): the epoch is marked before the look that is remembered.
    if (no_empty_slab_.load(std::memory_order_relaxed) == epoch_.load(std::memory_order_seq_cst)) return false;
    const std::uint64_t epoch = epoch_.fetch_or(1, std::memory_order_seq_cst) | 1;  // E2
    if (reap()) return true;
    no_empty_slab_.store(epoch, std::memory_order_relaxed);
    return false;
}

bool SlabCore::search_slot(std::uint32_t size_class, const Request& request, Placement& placement) noexcept {
    if (claim_listed(size_class, request.kind, placement)) return true;
    tidy(kSizeClasses[size_class].min_pages);
    std::uint32_t slot = 0;
    std::uint32_t head = birth(size_class, {}, false, request.colour, slot);
    if (head == kNoPage && reap()) head = birth(size_class, {}, false, request.colour, slot);
    // A slot of another class: larger, or smaller by what the alignment would add and aligned by chance.
    if (head == kNoPage) return search_picky(class_of(request.bytes), kClasses, request, placement);
    hand_out(head, slot, size_class, request.kind, placement);
    make_current(head, size_class);
    publish(head, size_class);
    return true;
}

// Below a limit inside the region: slabs that are there, or a small new one.
bool SlabCore::search_limited(std::uint32_t size_class, const Request& request, Placement& placement) noexcept {
    if (search_picky(size_class, size_class + 1, request, placement)) return true;
    const PageWish where = pages_of(request);
    std::uint32_t slot = 0;
    std::uint32_t head = birth(size_class, where, true, request.colour, slot);
    if (head == kNoPage && reap()) head = birth(size_class, where, true, request.colour, slot);
    if (head == kNoPage) return search_picky(class_of(request.bytes), kClasses, request, placement);
    hand_out(head, slot, size_class, request.kind, placement);
    publish(head, size_class);
    return true;
}

bool SlabCore::search_run(const Request& request, Placement& placement) noexcept {
    const PageWish where = pages_of(request);
    tidy(where.pages);
    if (place_run(where, request.kind, placement)) return true;
    if (reap() && place_run(where, request.kind, placement)) return true;
    if (request.bytes > kMaxSlotBytes) return false;
    return search_picky(class_of(request.bytes), kClasses, request, placement);
}

// What a request asks of its pages.
PageWish SlabCore::pages_of(const Request& request) const noexcept {
    PageWish where{.pages = static_cast<std::uint32_t>(div_up(request.bytes, kPageBytes))};
    where.align = static_cast<std::uint32_t>(std::max<std::uint64_t>(request.align / kPageBytes, 1));
    where.last = static_cast<std::uint32_t>((phase_ + request.end - request.bytes) / kPageBytes);
    if (request.boundary >= kPageBytes) {
        where.boundary = request.boundary / kPageBytes;
        where.origin = origin_ / kPageBytes;
        where.kept = where.pages;
    }
    return where;
}

bool SlabCore::lies_well(std::uint64_t position, const Request& request) const noexcept {
    if (!is_multiple(position, request.align) || position > phase_ + request.end - request.bytes) return false;
    const std::uint64_t gpa = origin_ + position;
    return request.boundary == 0 || ((gpa ^ (gpa + request.bytes - 1)) & (0 - request.boundary)) == 0;
}

// Any slot of classes [from, to) that lies as the request demands.
bool SlabCore::search_picky(std::uint32_t from, std::uint32_t to, const Request& request,
                            Placement& placement) noexcept {
    for (std::uint32_t c = from; c < to; ++c) {
        if (visit(c, 0, [&](std::uint32_t head) { return claim_fitting(head, c, request, placement); })) return true;
    }
    return false;
}

Visit SlabCore::claim_fitting(std::uint32_t head, std::uint32_t size_class, const Request& request,
                              Placement& placement) noexcept {
    const Shape shape = tables_.shape(head);
    if (!shape.is_slab()) return Visit::kEmpty;
    const Ops::Bits bits = tables_.bits(head, shape);
    const std::uint64_t start = std::uint64_t{head} * kPageBytes;
    const std::uint32_t bytes = kSizeClasses[size_class].bytes;
    Visit verdict = Visit::kEmpty;
    for (std::uint32_t i = 0; i < bits.count(); ++i) {
        Ops::Word& word = bits.words[i];
        // W5: seq_cst, as in claim().
        for (std::uint64_t rest = word.load(std::memory_order_seq_cst) & bits.mask(i); rest != 0; rest &= rest - 1) {
            verdict = Visit::kKeep;
            const std::uint32_t slot = bits.slot(i, rest);
            const std::uint64_t position = start + std::uint64_t{slot} * bytes;
            if (!lies_well(position, request)) continue;
            if (!Ops::claim_bit(word, rest & -rest)) continue;
            // As in claim_in().
            if (shape.size_class() == size_class && tables_.shape(head) == shape) {
                hand_out(head, slot, size_class, request.kind, placement);
                return Visit::kStop;
            }
            put_back(bits, i, shape.size_class(), rest & -rest);
            note_free();
            return Visit::kKeep;
        }
    }
    return verdict;
}

bool SlabCore::place_run(const PageWish& where, unsigned kind, Placement& placement) noexcept {
    const std::uint32_t head = take_pages(where);
    if (head == kNoPage) return false;
    found_run(head, where.pages, kind, placement);
    return true;
}

// The pages are the caller's.
void SlabCore::found_run(std::uint32_t head, std::uint32_t pages, unsigned kind, Placement& placement) noexcept {
    const std::uint32_t birth = (tables_.entry(head).birth + 1) & 3;
    const std::uint32_t length = std::min(pages, PageEntry::kLongRun);
    tables_.entries[head].store(PageEntry{PageEntry::kRun, birth, 0, kRunClass, length}.pack(),
                                std::memory_order_relaxed);
    // The pages behind know the way to the first, so that an address inside the run can be looked up.
    constexpr std::uint32_t kBody = PageEntry{PageEntry::kRunBody, 0, 0, kRunClass}.pack();
    constexpr std::uint32_t kStep = PageEntry{PageEntry::kNone, 0, 1, 0}.pack();
    constexpr std::uint32_t kBirth = PageEntry{PageEntry::kNone, 3, 0, 0}.pack();
    std::atomic<std::uint32_t>* const entries = &tables_.entries[head];
    for (std::uint32_t i = 1; i < pages; ++i) {
        std::atomic<std::uint32_t>& entry = entries[i];
        const std::uint32_t body = kBody + kStep * std::min(i, PageEntry::kMaxDistance);
        entry.store(body | (entry.load(std::memory_order_relaxed) & kBirth), std::memory_order_relaxed);
    }
    for (std::uint32_t i = 0; length == PageEntry::kLongRun && i < PageEntry::kLengthParts; ++i) {
        const std::uint32_t part = (pages >> i * PageEntry::kLengthBits & PageEntry::kLongRun)
                                   << PageEntry::kLengthShift;
        entries[1 + i].fetch_or(part, std::memory_order_relaxed);
    }
    const unsigned generation = Ops::take(tables_.state(head, 0, kRunClass), kind);
    placement = {std::uint64_t{head} * kPageBytes - phase_, token_generation(generation, birth),
                 slot_index(kRunClass, 0)};
    usage_.add(std::uint64_t{pages} * kPageBytes);
}

void SlabCore::free_run(std::uint32_t head) noexcept {
    const std::uint32_t pages = tables_.run_pages(head);
    forget_shape(head, pages);
    usage_.subtract(std::uint64_t{pages} * kPageBytes);
    pages_.free(head, pages);
}

}  // namespace bounce
