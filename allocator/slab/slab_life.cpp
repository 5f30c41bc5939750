// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Slabs come and go, and move between the lists. All under the page lock.
#include <algorithm>

#include "allocator/slab/slab_core.hpp"
#include "allocator/slab/slab_fast.hpp"

namespace bounce {

using Place = SlabInfo::Place;

namespace {

// A slab of a size that its class does not need yet has to leave this many times its pages free.
constexpr std::uint32_t kRoomy = 256;
// Empty slabs are looked for when this share of the region has been handed out since the last time, in pages and
// slabs, and less than half of it is free.
constexpr std::uint32_t kTidyShare = 32;
// How many partial slabs of a class are looked at then: in a small pool all of them.
constexpr std::uint32_t kTidySlabs = 256;

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

std::uint32_t SlabCore::birth(std::uint32_t size_class, const PageRequest& where, bool smallest) noexcept {
    const SizeClass& geometry = kSizeClasses[size_class];
    const std::uint32_t have = tables_.classes[size_class].slab_pages;
    std::uint32_t most =
        smallest ? std::uint32_t{geometry.first_pages} : allowance(geometry, have, pages_.free_pages());
    for (const std::uint32_t unit = geometry.later_pages; most > unit;) {
        const std::uint32_t head = found_slab(size_class, most, where);
        if (head != kNoPage) return head;
        most = std::max(most / 2 - most / 2 % unit, unit);
    }
    // Any tail is better than a failure.
    for (;;) {
        const std::uint32_t pages = thriftiest(geometry, most);
        const std::uint32_t head = found_slab(size_class, pages, where);
        if (head != kNoPage || pages == geometry.min_pages) return head;
        most = pages - 1;
    }
}

// A new slab whose first slot belongs to the caller.
std::uint32_t SlabCore::found_slab(std::uint32_t size_class, std::uint32_t pages, PageRequest where) noexcept {
    where.pages = pages;
    const std::uint32_t head = pages_.alloc(where);
    if (head == kNoPage) return kNoPage;
    const std::uint32_t slots = kSizeClasses[size_class].slots(pages);
    for (std::uint32_t i = 0; i < pages; ++i) {
        const std::uint32_t birth = (tables_.entry(head + i).birth + 1) & 3;
        tables_.entries[head + i].store(PageEntry{PageEntry::kSlab, birth, i, size_class}.pack(),
                                        std::memory_order_relaxed);
    }
    SlabInfo& info = tables_.slabs[head];
    info.shape.store(Shape{size_class, slots, pages}.pack(), std::memory_order_relaxed);
    info.place = Place::kNowhere;
    // L4: seq_cst, pairs with must_return() of a giver of the slab that was here before: it may still be about to
    // return that one, or have done so. Then drain_returned() finds this one in its place, and no harm is done.
    auto expected = static_cast<std::uint32_t>(Listing::kUnlisted);
    info.listing.compare_exchange_strong(expected, static_cast<std::uint32_t>(Listing::kListed),
                                         std::memory_order_seq_cst, std::memory_order_seq_cst);
    tables_.classes[size_class].slab_pages += pages;
    Ops::birth(&tables_.words[head], slots, 1);
    return head;
}

// The slab is dead (all bits taken) and in no list: its pages go back.
void SlabCore::bury(std::uint32_t head) noexcept {
    SlabInfo& info = tables_.slabs[head];
    const Shape shape = tables_.shape(head);
    info.shape.store(0, std::memory_order_relaxed);
    info.place = Place::kNowhere;
    // L5: seq_cst, as L4. When it is on the stack of returned slabs it stays marked so until the stack is drained.
    auto expected = static_cast<std::uint32_t>(Listing::kListed);
    info.listing.compare_exchange_strong(expected, static_cast<std::uint32_t>(Listing::kUnlisted),
                                         std::memory_order_seq_cst, std::memory_order_seq_cst);
    for (std::uint32_t i = 0; i < shape.pages; ++i) {
        PageEntry entry = tables_.entry(head + i);
        entry.kind = PageEntry::kDead;
        tables_.entries[head + i].store(entry.pack(), std::memory_order_relaxed);
    }
    tables_.classes[shape.size_class].slab_pages -= shape.pages;
    pages_.free(head, shape.pages);
}

// Empty slabs in the way of others make the rest of a region a heap of small holes, long before it is full. So some
// of them go now and then, before `pages` are taken; all of them (reap()) when pages run out.
void SlabCore::tidy(std::uint32_t pages) noexcept {
    const auto all = static_cast<std::uint32_t>(region_bytes_ / kPageBytes);
    untidy_pages_ += std::min(pages, all);
    if (untidy_pages_ < all / kTidyShare || pages_.free_pages() > all / 2) return;
    untidy_pages_ = 0;
    reap(kTidySlabs);
}

// Kills the empty slabs among the current one and the first `most` partial ones of each class. True when some were.
bool SlabCore::reap(std::uint32_t most) noexcept {
    drain_returned();
    const std::uint32_t before = pages_.free_pages();
    for (std::uint32_t c = 0; c < kClasses; ++c) {
        ClassInfo& info = tables_.classes[c];
        for (std::uint32_t at = info.partial, looks = 0; at != 0 && looks < most; ++looks) {
            const std::uint32_t head = at - 1;
            at = tables_.slabs[head].next;
            if (!Ops::kill(&tables_.words[head], tables_.shape(head).slots)) continue;
            unlink_partial(head, c);
            bury(head);
        }
        const std::uint32_t current = info.current.load(std::memory_order_relaxed);
        if (current != 0 && Ops::kill(&tables_.words[current - 1], tables_.shape(current - 1).slots)) {
            info.current.store(0, std::memory_order_relaxed);
            bury(current - 1);
        }
    }
    return pages_.free_pages() != before;
}

// The slabs that a class began with are too small for one that has grown, if there is room for larger ones. Dies when
// it is whole.
bool SlabCore::outgrown(std::uint32_t head) noexcept {
    const Shape shape = tables_.shape(head);
    const std::uint32_t grown = std::min(tables_.classes[shape.size_class].slab_pages / 2, pages_.free_pages() / 128);
    if (shape.pages >= grown || shape.pages == kSizeClasses[shape.size_class].max_pages) return false;
    if (!Ops::kill(&tables_.words[head], shape.slots)) return false;
    bury(head);
    return true;
}

// The current slab has nothing left: the next partial one takes its place. False when there is none.
bool SlabCore::advance(std::uint32_t size_class) noexcept {
    drain_returned();
    ClassInfo& info = tables_.classes[size_class];
    const std::uint32_t current = info.current.load(std::memory_order_relaxed);
    if (current != 0) {
        const std::uint32_t head = current - 1;
        info.current.store(0, std::memory_order_relaxed);
        tables_.slabs[head].place = Place::kNowhere;
        if (!Ops::unlist(tables_.slabs[head].listing, &tables_.words[head], Ops::words_of(tables_.shape(head).slots))) {
            link_partial(head, size_class);
        }
    }
    std::uint32_t head = 0;
    do {
        if (info.partial == 0) return false;
        head = info.partial - 1;
        unlink_partial(head, size_class);
    } while (outgrown(head));
    tables_.slabs[head].place = Place::kCurrent;
    // C2: release, pairs with C1 in claim_current().
    info.current.store(head + 1, std::memory_order_release);
    return true;
}

// The current slab has been gone through once. As long as the class has less than the window, a new one is next; then
// the one that has waited longest, without those that are beyond the window and empty.
void SlabCore::next_in_turn(std::uint32_t size_class, std::uint64_t window) noexcept {
    ClassInfo& info = tables_.classes[size_class];
    info.turn.store(0, std::memory_order_relaxed);
    const auto pages = static_cast<std::uint32_t>(std::min<std::uint64_t>(window / kPageBytes, kNoPage));
    if (info.slab_pages < pages) {
        // It begins as one that came home whole, behind all others.
        const std::uint32_t head = birth(size_class, {}, false);
        if (head != kNoPage) {
            link_partial(head, size_class);
            put_back(head, 1);
        }
    }
    drain_returned();
    while (info.partial != 0 && info.slab_pages > pages) {
        const std::uint32_t head = info.partial - 1;
        if (info.slab_pages - tables_.shape(head).pages < pages ||
            !Ops::kill(&tables_.words[head], tables_.shape(head).slots))
            break;
        unlink_partial(head, size_class);
        bury(head);
    }
    advance(size_class);
}

void SlabCore::drain_returned() noexcept {
    // S2: acquire, pairs with S1 in push_returned().
    std::uint32_t at = returned_.exchange(0, std::memory_order_acquire);
    while (at != 0) {
        const std::uint32_t head = at - 1;
        SlabInfo& info = tables_.slabs[head];
        at = info.next_returned;
        const Shape shape = tables_.shape(head);
        // L6: seq_cst, only the page lock's holder changes it from kReturned; pairs with must_return(), whose winner
        // writes the link next.
        info.listing.store(static_cast<std::uint32_t>(shape.is_slab() ? Listing::kListed : Listing::kUnlisted),
                           std::memory_order_seq_cst);
        // No slab, or one that is listed: a giver was slow, and the slab that it meant has gone.
        if (shape.is_slab() && info.place == Place::kNowhere) link_partial(head, shape.size_class);
    }
}

// At the end: who came first had the most time to collect bits, and is worth the most to be allocated from.
void SlabCore::link_partial(std::uint32_t head, std::uint32_t size_class) noexcept {
    ClassInfo& list = tables_.classes[size_class];
    SlabInfo& info = tables_.slabs[head];
    info.place = Place::kPartial;
    info.prev = list.partial_last;
    info.next = 0;
    if (info.prev != 0) {
        tables_.slabs[info.prev - 1].next = head + 1;
    } else {
        list.partial = head + 1;
    }
    list.partial_last = head + 1;
}

void SlabCore::unlink_partial(std::uint32_t head, std::uint32_t size_class) noexcept {
    ClassInfo& list = tables_.classes[size_class];
    SlabInfo& info = tables_.slabs[head];
    if (info.prev != 0) {
        tables_.slabs[info.prev - 1].next = info.next;
    } else {
        list.partial = info.next;
    }
    if (info.next != 0) {
        tables_.slabs[info.next - 1].prev = info.prev;
    } else {
        list.partial_last = info.prev;
    }
    info.place = Place::kNowhere;
}

}  // namespace bounce
