// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Slabs come and go.
#include <algorithm>

#include "allocator/slab/slab_core.hpp"
#include "allocator/slab/slab_fast.hpp"

namespace bounce {

namespace {

// A slab of a size that its class does not need yet has to leave this many times its pages free.
constexpr std::uint32_t kRoomy = 256;
// Empty slabs are looked for when this share of the region has been handed out since the last time, in pages and
// slabs, and less than half of it is free.
constexpr std::uint32_t kTidyShare = 32;
// How many chunks are looked at then: in a small pool all of them.
constexpr std::uint32_t kTidyChunks = 256;

// How many pages a new slab of a class that has `have` of them may take. A class in demand doubles what it has, up to a
// chunk at a time, and never takes more than a small part of what is left: a small pool has to serve every size.
std::uint32_t allowance(const SizeClass& geometry, std::uint32_t have, std::uint32_t free) noexcept {
    // A part that wastes nothing on tails, at least, when there is demand enough.
    const std::uint32_t part = std::max(free / 64, std::min(have / 4, std::uint32_t{geometry.later_pages}));
    const std::uint32_t grown = std::min({have, part, std::uint32_t{geometry.max_pages}});
    if (grown >= geometry.later_pages) return grown - grown % geometry.later_pages;
    // Slots that nobody may ever ask for cost more than a tail, unless there is room.
    const std::uint32_t good = have == 0 ? geometry.first_pages : geometry.later_pages;
    return good <= free / kRoomy ? good : grown;
}

// The number of pages up to `most`, but at least those for one slot, of which slots use the largest part.
std::uint32_t thriftiest(const SizeClass& geometry, std::uint32_t most) noexcept {
    std::uint32_t best = geometry.min_pages;
    for (std::uint32_t pages = best + 1; pages <= most; ++pages) {
        if (geometry.slots(pages) * best > geometry.slots(best) * pages) best = pages;
    }
    return best;
}

}  // namespace

std::uint32_t SlabCore::take_pages(const PageWish& where) noexcept {
    bool unsettled = false;
    const std::uint32_t start = pages_.alloc(where, unsettled);
    if (unsettled) note_free();
    return start;
}

// A new slab of which a slot belongs to the caller. Nobody else sees it before it is published.
std::uint32_t SlabCore::birth(std::uint32_t size_class, const PageWish& where, bool smallest, Colour colour,
                              std::uint32_t& slot) noexcept {
    const SizeClass& geometry = kSizeClasses[size_class];
    const std::uint32_t have = tables_.classes[size_class].slab_pages.load(std::memory_order_relaxed);
    std::uint32_t most =
        smallest ? std::uint32_t{geometry.first_pages} : allowance(geometry, have, pages_.free_pages());
    for (const std::uint32_t unit = geometry.later_pages; most > unit;) {
        const std::uint32_t head = found_slab(size_class, most, where, colour, slot);
        if (head != kNoPage) return head;
        most = std::max(most / 2 - most / 2 % unit, unit);
    }
    // Any tail is better than a failure.
    for (;;) {
        const std::uint32_t pages = thriftiest(geometry, most);
        const std::uint32_t head = found_slab(size_class, pages, where, colour, slot);
        if (head != kNoPage || pages == geometry.min_pages) return head;
        most = pages - 1;
    }
}

// Of the slot that a token could mean by the tail of such a slab; nullptr when none could.
SlabCore::Ops::State* SlabCore::tail_state(std::uint32_t head, Shape slab) noexcept {
    const std::uint32_t slots = slab.slots();
    const std::uint64_t used = std::uint64_t{slots} * kSizeClasses[slab.size_class()].bytes;
    if (slots >= kMaxSlabSlots || used >= slab.pages() * kPageBytes) return nullptr;
    return &tables_.state(head, slots, slab.size_class());
}

std::uint32_t SlabCore::found_slab(std::uint32_t size_class, std::uint32_t pages, PageWish where, Colour colour,
                                   std::uint32_t& slot) noexcept {
    where.pages = pages;
    const std::uint32_t head = take_pages(where);
    if (head == kNoPage) return kNoPage;
    // What it writes is published by the bits (W3) and by the index (I2).
    const Ops::Bits bits = tables_.bits(head, describe_slab(head, size_class, pages));
    slot = Ops::birth(bits, favoured_by(colour, bits));
    return head;
}

// All of it but the bits. The pages are the caller's.
Shape SlabCore::describe_slab(std::uint32_t head, std::uint32_t size_class, std::uint32_t pages) noexcept {
    for (std::uint32_t i = 0; i < pages; ++i) {
        const std::uint32_t birth = (tables_.entry(head + i).birth + 1) & 3;
        const std::uint32_t length = i == 0 ? pages : 0;
        tables_.entries[head + i].store(PageEntry{PageEntry::kSlab, birth, i, size_class, length}.pack(),
                                        std::memory_order_relaxed);
    }
    const Shape shape = tables_.shape(head);
    if (Ops::State* const tail = tail_state(head, shape); tail != nullptr)
        tail->store(tail->load(std::memory_order_relaxed) | kTailMark, std::memory_order_relaxed);
    tables_.classes[size_class].slab_pages.fetch_add(pages, std::memory_order_relaxed);
    return shape;
}

void SlabCore::publish(std::uint32_t head, std::uint32_t size_class) noexcept {
    home_.list_born(head, size_class);
    note_free();  // from the time when the pages went, nobody else found what they have become
}

// True when the slab that began on this page was empty: its pages are free.
bool SlabCore::kill(std::uint32_t head) noexcept {
    const Shape shape = tables_.shape(head);
    if (!shape.is_slab()) return false;
    const Ops::Bits bits = tables_.bits(head, shape);
    const std::uint32_t pages = shape.pages();
    bool taken = false;
    const auto back = [&](std::uint32_t index, std::uint64_t got) {
        put_back(bits, index, shape.size_class(), got);
        taken = true;
    };
    const bool dead = Ops::kill(bits, back);
    // As after a claim: it may have been another slab.
    const bool same = dead && tables_.shape(head) == shape;
    if (dead && !same) {
        for (std::uint32_t i = 0; i < bits.count(); ++i) back(i, bits.mask(i));
    }
    if (!same) {
        if (taken) note_free();
        return false;
    }
    ClassInfo& info = tables_.classes[shape.size_class()];
    forget_current(shape.size_class(), head + 1);
    home_.unlist_dead(head);
    // The pages publish what follows (A2).
    if (Ops::State* const tail = tail_state(head, shape); tail != nullptr)
        tail->store(tail->load(std::memory_order_relaxed) & static_cast<std::uint8_t>(~kTailMark),
                    std::memory_order_relaxed);
    forget_shape(head, pages);
    for (std::uint32_t i = 1; i < pages; ++i) {
        PageEntry entry = tables_.entry(head + i);
        entry.kind = PageEntry::kDead;
        tables_.entries[head + i].store(entry.pack(), std::memory_order_relaxed);
    }
    info.slab_pages.fetch_sub(pages, std::memory_order_relaxed);
    pages_.free(head, pages);
    note_free();
    return true;
}

// Empty slabs in the way of others make the rest of a region a heap of small holes, long before it is full. So some
// of them go now and then, before `pages` are taken; all of them (reap()) when pages run out.
void SlabCore::tidy(std::uint32_t pages) noexcept {
    const auto all = static_cast<std::uint32_t>(region_bytes_ / kPageBytes);
    const std::uint32_t more = std::min(pages, all);
    // Relaxed, all of it: when it is done, and by how many at once, matters little.
    if (untidy_pages_.fetch_add(more, std::memory_order_relaxed) + more < all / kTidyShare ||
        pages_.free_pages() > all / 2) {
        return;
    }
    untidy_pages_.store(0, std::memory_order_relaxed);
    const std::uint32_t from = tidied_.load(std::memory_order_relaxed);
    tidied_.store(home_.visit_all(from, kTidyChunks, [this](std::uint32_t head) { kill(head); }),
                  std::memory_order_relaxed);
}

// Kills every empty slab that is found. True when there were some.
bool SlabCore::reap() noexcept {
    bool killed = false;
    home_.visit_all(0, kNoPage, [&](std::uint32_t head) { killed = kill(head) || killed; });
    return killed;
}

// The slabs that a class began with are too small for one that has grown, if there is room for larger ones. Dies when
// it is whole.
bool SlabCore::outgrown(std::uint32_t head) noexcept {
    const Shape shape = tables_.shape(head);
    if (!shape.is_slab()) return false;
    const std::uint32_t have = tables_.classes[shape.size_class()].slab_pages.load(std::memory_order_relaxed);
    const std::uint32_t grown = std::min(have / 2, pages_.free_pages() / 128);
    if (shape.pages() >= grown || shape.pages() == kSizeClasses[shape.size_class()].max_pages) return false;
    return kill(head);
}

void SlabCore::make_current(std::uint32_t head, std::uint32_t size_class) noexcept {
    // C2: release, pairs with C1 in claim_current().
    tables_.classes[size_class].current.store(head + 1, std::memory_order_release);
}

// From the current slab on in the order of addresses, and around: which one comes next had the most time to collect
// bits, and is worth the most to be allocated from.
bool SlabCore::claim_listed(std::uint32_t size_class, unsigned kind, Placement& placement) noexcept {
    const std::uint32_t current = tables_.classes[size_class].current.load(std::memory_order_relaxed);
    return visit(size_class, current == 0 ? 0 : current - 1, [&](std::uint32_t head) {
        if (head + 1 != current && outgrown(head)) return Visit::kKeep;
        const Visit verdict = claim_in(head, size_class, kind, placement);
        if (verdict == Visit::kStop) make_current(head, size_class);
        return verdict;
    });
}

// The current slab has been gone through once. As long as the class has less than the window, a new one is born; then
// the next one that has bits takes its place, without those that are beyond the window and empty.
void SlabCore::next_in_turn(std::uint32_t size_class, std::uint64_t window, std::uint32_t current) noexcept {
    ClassInfo& info = tables_.classes[size_class];
    const auto pages = static_cast<std::uint32_t>(std::min<std::uint64_t>(window / kPageBytes, kNoPage));
    const auto have = [&] { return info.slab_pages.load(std::memory_order_relaxed); };
    if (have() < pages) {
        // It begins as one that is at home whole.
        std::uint32_t slot = 0;
        const std::uint32_t head = birth(size_class, {}, false, {}, slot);
        if (head != kNoPage) {
            const std::uint64_t bit = tables_.bit(head, slot, size_class);
            bring_home(head, size_class, bit / 64, std::uint64_t{1} << bit % 64);
            publish(head, size_class);
        }
    }
    visit(size_class, current, [&](std::uint32_t head) {
        const Shape shape = tables_.shape(head);
        if (!shape.is_slab()) return Visit::kEmpty;
        if (have() > pages && have() - shape.pages() >= pages && kill(head)) return Visit::kKeep;
        if (!Ops::any(tables_.bits(head, shape))) return Visit::kEmpty;
        // C2: release, as in make_current(). When somebody was faster, that one is as good.
        std::uint32_t expected = current;
        if (info.current.compare_exchange_strong(expected, head + 1, std::memory_order_release,
                                                 std::memory_order_relaxed)) {
            info.turn.store(0, std::memory_order_relaxed);
        }
        return Visit::kStop;
    });
}

}  // namespace bounce
