// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The allocator of one region: hands out slots of slabs and runs of pages, and takes them back. It knows offsets only:
// no system calls, no globals, all of its tables in memory that is handed in; never touches the region itself.
//
// Nothing waits for anybody. In layers, each with a protocol of its own:
//   slot_ops.hpp    the slots of a slab: claimed, given home, and all taken when the slab dies
//   home_index.hpp  which slabs have slots at home
//   page_map.hpp    the pages that slabs and runs are made of
// Here: what is looked for where, in which order, and what is remembered.
//
// Slabs. Who has a slab's pages from the page map writes what it is (entries), then its bits, then lists it in
// the index. Who has all of its bits owns it, unlists it, marks its pages dead and gives them back. In between, anybody
// may list or unlist it by what he finds. Of a class one slab is the *current* one, a hint: where all claim first.
// Empty slabs keep their pages until somebody needs pages: reap() kills them all.
//
// Failures that are remembered (epoch_, exhausted, refusals_). Who found nothing marks the epoch (E2), looks once more,
// and may then remember the failure for this epoch. Whatever was out of sight meanwhile and is to be had after all ends
// it (note_free()): slots and pages that came home; a slab that was born, from its pages to its place in the index; one
// that died, from its bits to its pages; bits that were taken by mistake, or by a killer that did not get all; and what
// PageMap calls unsettled.
// Progress: lock-free. A search that begins anew does so because somebody else has got what it saw.
// A thread that stops holds what it has taken: a slot, the bits of a slab that it was about to kill, or the pages of
// one that was about to be born, or of a run. In note_free() it leaves a failure remembered, until anything else is
// freed.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/base/types.hpp"
#include "allocator/slab/refusals.hpp"
#include "allocator/slab/slab_tables.hpp"
#include "allocator/slab/slot_view.hpp"
#include "allocator/slab/usage.hpp"

namespace bounce {

/// A slot or run. Offsets count from the region's first byte.
struct Placement {
    std::uint64_t offset = 0;
    std::uint8_t generation = 0;
    std::uint16_t index = 0;  // slot_index()
};

class SlabCore {
public:
    static constexpr std::uint64_t kNaturalAlign = 8;  // every class is a multiple of it

    struct Request {
        std::uint64_t bytes;         // > 0
        std::uint64_t align;         // power of two up to 2 MiB; of the GPA
        std::uint64_t end;           // [offset, offset + bytes) ends at or below this offset
        unsigned kind;               // 1 to 3
        std::uint64_t boundary = 0;  // power of two >= bytes whose multiples (as GPA) are not crossed; 0: none
        Colour colour{};             // preferred
    };

    /// `memory` is zeroed, has SlabTables::bytes_needed() bytes and outlives the core, and so does `usage`. Unchecked:
    /// frees of slots of kind 1 are not checked for who holds them.
    SlabCore(Gpa base, std::uint64_t bytes, std::byte* memory, Usage& usage, bool checked = true) noexcept;
    SlabCore(const SlabCore&) = delete;
    SlabCore& operator=(const SlabCore&) = delete;

    /// 0, ENOSPC, or EOWNERDEAD in a forked child.
    int alloc(const Request& request, Placement& placement) noexcept;
    /// The same from slabs that are there; never a run. `marked`: only from those (of some) that mark_beyond() has
    /// marked.
    int alloc_from_slabs(const Request& request, bool marked, Placement& placement) noexcept;
    /// The first page of the slab, or run, that a holder's slot is in.
    [[nodiscard]] std::uint32_t head_of(const Placement& placement) const noexcept;
    /// Slabs and runs that somebody beyond its floor has something of are marked until they die. By a holder of a slot
    /// of it: the bytes of its pages, which the caller adds to Usage; 0: it is marked already.
    std::int64_t mark_beyond(std::uint32_t head) noexcept;
    void unmark_beyond(std::uint32_t head) noexcept;
    /// All that there are, whoever has them. Adds them up itself.
    void mark_all() noexcept;
    [[nodiscard]] bool is_beyond(std::uint32_t head) const noexcept {
        return (tables_.entries[head].load(std::memory_order_relaxed) & PageEntry::kBeyond) != 0;
    }
    /// In pages that are in no slab and no run. Acquire: what those did who gave them back was before.
    [[nodiscard]] std::uint64_t free_bytes() const noexcept {
        return std::uint64_t{pages_.free_pages(std::memory_order_acquire)} * kPageBytes;
    }
    /// Takes empty slabs apart, all of them; false: there are none. In vain only once until something comes home.
    bool free_slabs() noexcept;

    /// Up to `want` slots of the slab that is allocated from now, for a context: they have left home, but are not
    /// handed out. Of the context's colour as long as there are some. 0 does not mean that there are none.
    std::uint32_t claim(std::uint32_t size_class, std::uint32_t want, Colour colour, RegionId region,
                        CachedSlot* slots) noexcept;
    /// The same, but slots are reused in turn, over about `window` bytes of them if the class has, or can have, so
    /// many.
    std::uint32_t claim_in_turn(std::uint32_t size_class, std::uint32_t want, std::uint64_t window, RegionId region,
                                CachedSlot* slots) noexcept;
    /// Slots (or a run) that a context kept go home.
    void give_home(std::uint32_t size_class, const CachedSlot* slots, std::uint32_t count) noexcept;
    /// A free has two halves. begin_free() decides, once, and the slot stays out of reach until finish_free(), or until
    /// a context has it. 0; EFAULT (also when the slot is shorter than `bytes`), EALREADY, ESTALE
    /// or EPERM: nothing has changed then; or EOWNERDEAD. offset is inside the region.
    int begin_free(const Placement& placement, unsigned kind, std::uint64_t bytes, FoundSlot& found) noexcept;
    void finish_free(const FoundSlot& found) noexcept;
    int free(const Placement& placement, unsigned kind) noexcept;
    /// Takes back begin_free(): who held it holds it again.
    void hand_back(const FoundSlot& found, unsigned kind, unsigned generation) noexcept;
    /// What begins there: 0, EFAULT, EALREADY or EOWNERDEAD.
    int find(const Placement& placement, FoundSlot& found) const noexcept;
    /// Of the run that begins on this page, if one does.
    [[nodiscard]] std::uint32_t run_pages(std::uint32_t page) const noexcept { return tables_.run_pages(page); }
    /// 0 when [offset, offset + bytes) lies in one slot or run of this kind; EFAULT, EPERM.
    [[nodiscard]] int find_inside(std::uint64_t offset, std::uint64_t bytes, unsigned kind) const noexcept;

    /// slab_adopt.cpp. The slot or run around this offset, of a slab or run that is there; false when there is none.
    /// `start`: the offset of its first byte.
    [[nodiscard]] bool locate(std::uint64_t offset, FoundSlot& found, std::uint64_t& start) const noexcept;
    /// Of the slab or run that begins on a page; `pages` is 0 when none does.
    struct Extent {
        std::uint64_t offset;  // of its first byte
        std::uint32_t pages;
        std::uint32_t size_class;  // kRunClass: a run
        std::uint32_t slots;
    };
    /// The next one that begins at or after an offset and below `until`; `pages` is 0 when there is none. A snapshot.
    [[nodiscard]] Extent next_extent(std::uint64_t offset, std::uint64_t until = ~std::uint64_t{0}) const noexcept;
    /// How many slots of an extent are away from home, and what is seen of one of them.
    [[nodiscard]] std::uint32_t slots_out(const Extent& extent) const noexcept;
    struct SlotLook {
        bool out;
        std::uint8_t state;  // slot_ops.hpp
    };
    [[nodiscard]] SlotLook look_at(const Extent& extent, std::uint32_t slot) const noexcept;
    /// What the state of a slot says that it is: 0 for kind 1, or free.
    [[nodiscard]] unsigned kind_of(const FoundSlot& found) const noexcept;
    /// The token of a slot or run that is handed out, as far as the core knows it.
    [[nodiscard]] Placement placement_of(const FoundSlot& found) const noexcept;

    /// Builds slabs and runs that existed elsewhere, at the very same place. First all pages are taken, which may fail;
    /// then each extent is founded, with its slots handed out: kinds[i] is that of slot i, 0: it is at home.
    [[nodiscard]] bool take_extent(std::uint64_t offset, std::uint32_t pages) noexcept;
    void leave_extent(std::uint64_t offset, std::uint32_t pages) noexcept;
    void found_extent(const Extent& extent, const std::uint8_t* kinds) noexcept;

    /// Could this be had if nothing were handed out?
    [[nodiscard]] bool could_hold(const Request& request) const noexcept;

    /// What the hot path needs; good as long as the core.
    [[nodiscard]] const SlotView& view() const noexcept { return view_; }
    /// What begin_free() would say.
    [[nodiscard]] int check(const Placement& placement, unsigned kind, std::uint64_t bytes) const noexcept;

    /// slab_drain.cpp. A closed core hands nothing more out once sweep() has returned 0; frees go on.
    void close() noexcept;
    void reopen() noexcept;
    /// Takes empty slabs apart; the bytes of pages that are in use all the same (in slabs with a slot out, and in
    /// runs).
    std::uint64_t sweep() noexcept;
    /// The same without taking anything apart.
    [[nodiscard]] std::uint64_t bytes_in_use() const noexcept;
    /// Begins anew as a region of which nothing exists yet; sweep() returned 0, or nothing was ever handed out.
    void restart() noexcept;
    /// The next bytes of the region exist now, up to `until` (a chunk's end, or the last); not `good`: never hand them
    /// out.
    void extend(std::uint64_t until, bool good) noexcept;

    /// False in a forked child.
    [[nodiscard]] bool alive() const noexcept;

private:
    using Ops = SlabTables::Ops;
    using Home = SlabTables::Home;
    using Pages = SlabTables::Pages;
    // slab_fast.hpp and slab_core.cpp: by address
    bool claim_current(std::uint32_t size_class, unsigned kind, Placement& placement) noexcept;
    Visit claim_in(std::uint32_t head, std::uint32_t size_class, unsigned kind, Placement& placement) noexcept;
    void forget_current(std::uint32_t size_class, std::uint32_t current) noexcept;
    void hand_out(std::uint32_t head, std::uint32_t slot, std::uint32_t size_class, unsigned kind,
                  Placement& placement) noexcept;
    std::uint32_t claim_from(std::uint32_t size_class, std::uint32_t from, std::uint32_t want, Colour colour,
                             RegionId region, CachedSlot* slots, std::uint32_t& next) noexcept;
    void put_back(const Ops::Bits& taken_for, std::uint32_t index, std::uint32_t size_class,
                  std::uint64_t bits) noexcept;
    void bring_home(std::uint32_t head, std::uint32_t size_class, std::uint64_t word, std::uint64_t bits) noexcept;
    void note_free() noexcept;
    [[nodiscard]] Ops::State& state_of(const FoundSlot& found) const noexcept {
        return tables_.state(found.head, found.slot, found.size_class);
    }
    [[nodiscard]] bool at_home(std::uint32_t head, std::uint32_t slot, std::uint32_t size_class) const noexcept;
    [[nodiscard]] int diagnose(const FoundSlot& found, std::uint8_t seen, unsigned kind,
                               std::uint8_t generation) const noexcept;

    // slab_slow.cpp: when the current slab has nothing, or cannot serve
    int alloc_slot(std::uint32_t size_class, const Request& request, Placement& placement) noexcept;
    int alloc_special(std::uint64_t rounded, const Request& request, Placement& placement) noexcept;
    bool search_slot(std::uint32_t size_class, const Request& request, Placement& placement) noexcept;
    bool search_limited(std::uint32_t size_class, const Request& request, Placement& placement) noexcept;
    bool search_run(const Request& request, Placement& placement) noexcept;
    bool search_picky(std::uint32_t from, std::uint32_t to, const Request& request, Placement& placement) noexcept;
    Visit claim_fitting(std::uint32_t head, std::uint32_t size_class, const Request& request,
                        Placement& placement) noexcept;
    bool place_run(const PageWish& where, unsigned kind, Placement& placement) noexcept;
    void found_run(std::uint32_t head, std::uint32_t pages, unsigned kind, Placement& placement) noexcept;
    [[nodiscard]] PageWish pages_of(const Request& request) const noexcept;
    [[nodiscard]] bool lies_well(std::uint64_t position, const Request& request) const noexcept;
    void free_run(std::uint32_t head) noexcept;

    void forget_shape(std::uint32_t head, std::uint32_t pages) noexcept;

    // slab_life.cpp: slabs
    std::uint32_t take_pages(const PageWish& where) noexcept;
    std::uint32_t birth(std::uint32_t size_class, const PageWish& where, bool smallest, Colour colour,
                        std::uint32_t& slot) noexcept;
    Ops::State* tail_state(std::uint32_t head, Shape slab) noexcept;
    std::uint32_t found_slab(std::uint32_t size_class, std::uint32_t pages, PageWish where, Colour colour,
                             std::uint32_t& slot) noexcept;
    [[nodiscard]] auto favoured_by(Colour colour, const Ops::Bits& bits) const noexcept {
        const auto first = static_cast<std::uint64_t>(bits.words - tables_.words);
        return [colour, first](std::uint32_t i) { return colour.bits(first + i); };
    }
    Shape describe_slab(std::uint32_t head, std::uint32_t size_class, std::uint32_t pages) noexcept;
    void publish(std::uint32_t head, std::uint32_t size_class) noexcept;
    bool kill(std::uint32_t head) noexcept;
    void tidy(std::uint32_t pages) noexcept;
    bool reap() noexcept;
    bool claim_listed(std::uint32_t size_class, unsigned kind, Placement& placement) noexcept;
    void make_current(std::uint32_t head, std::uint32_t size_class) noexcept;
    void next_in_turn(std::uint32_t size_class, std::uint64_t window, std::uint32_t current) noexcept;
    bool outgrown(std::uint32_t head) noexcept;
    [[nodiscard]] std::uint32_t class_at(std::uint32_t page) const noexcept;
    [[nodiscard]] std::uint32_t class_at_home(std::uint32_t page) const noexcept;
    template <class Visitor>
    bool visit(std::uint32_t size_class, std::uint32_t from, Visitor&& visitor) noexcept;

    SlabTables tables_;
    std::uint64_t phase_;   // of the region's first byte, from page 0
    std::uint64_t origin_;  // GPA of page 0
    std::uint64_t region_bytes_;
    Usage& usage_;
    SlotView view_;
    Home home_;
    Pages pages_;
    // Odd: somebody looked everywhere and found nothing in this epoch; the next free begins a new one.
    alignas(kCacheLine) std::atomic<std::uint64_t> epoch_{2};
    std::atomic<std::uint32_t> untidy_pages_{0};   // handed out since empty slabs were looked for
    std::atomic<std::uint32_t> tidied_{0};         // the chunk where that ended
    std::atomic<std::uint64_t> no_empty_slab_{0};  // the epoch of which that is known
    Refusals refusals_;
};

}  // namespace bounce
