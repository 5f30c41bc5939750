// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Lists: pieces of private memory on one side, slots on the other, and a token for each stretch that is in one piece on
// both. The tokens of a slot stand in a row: a head, whose state says so and which holds the slot, and parts.
//
// Slots are found greedily: as much as a segment may have, and half of that after each failure. Every failure is one
// that the pool remembers, so what is asked for in vain is bounded by the logarithm of the list's length.
#include <algorithm>
#include <cerrno>

#include "allocator/base/bits.hpp"
#include "api/dma/device_fast.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kLeastPart = 64;  // what is less is not scattered further

/// The tokens of one slot, which must lie in it one behind the other.
struct Group {
    std::size_t count = 0;
    std::uint64_t bytes = 0;  // of all
    bool good = true;
};

Group group_of(std::span<const bounce_mapping> tokens) noexcept {
    const bounce_mapping& head = tokens[0];
    Group group;
    for (const bounce_mapping& token : tokens) {
        if (group.count != 0) {
            if (load_state(token) != kLiveListPart) break;
            group.good = group.good && token.addr == head.addr + group.bytes &&
                         reinterpret_cast<std::uintptr_t>(token.slot) ==
                             reinterpret_cast<std::uintptr_t>(head.slot) + group.bytes &&
                         token.device == head.device && token.handle == head.handle && token.epoch == head.epoch &&
                         token.direction == head.direction && token.orig != nullptr;
        }
        group.good = group.good && token.bytes <= UINT64_MAX - group.bytes;
        group.bytes += token.bytes;
        ++group.count;
    }
    return group;
}

}  // namespace

class Device::ListBuilder {
public:
    ListBuilder(Device& device, Context* context, std::span<const bounce_sg> sg, std::uint64_t align, bool copied,
                bounce_list& list) noexcept
        : device_(device), context_(context), sg_(sg), align_(align), copied_(copied), list_(list), left_(list.bytes) {
        const std::uint32_t most = device.limits_.max_segments;
        max_segments_ = most == 0 ? list.max_segments : std::min<std::size_t>(most, list.max_segments);
    }

    Result<void> build() noexcept {
        while (left_ != 0) {
            if (auto added = add_slot(); !added) return added;
        }
        return {};
    }

    void take_apart() noexcept {
        // Each was handed out just now, so this cannot fail; and the error stays this thread's last one.
        for (std::size_t i = 0; i < list_.n_mappings; ++i) {
            if (list_.mappings[i].state == kLiveListHead)
                static_cast<void>(device_.pool_.free(device_.group_, context_, device_.whole_slot(list_.mappings[i])));
            list_.mappings[i] = bounce_mapping{};
        }
        list_.n_mappings = list_.n_segments = 0;
    }

private:
    [[nodiscard]] std::uintptr_t address() const noexcept {
        return reinterpret_cast<std::uintptr_t>(sg_[piece_].base) + offset_;
    }

    /// How much, from here on, may be in one slot: at most `most`, cut where the next segment can begin. 0: nothing.
    [[nodiscard]] std::uint64_t stretch(std::uint64_t padding, std::uint64_t most) const noexcept {
        const std::uint64_t mask = device_.limits_.min_align_mask;
        std::uint64_t bytes = 0;
        std::uint64_t offset = offset_;
        for (std::size_t i = piece_; i < sg_.size() && bytes < most; ++i, offset = 0) {
            const std::uintptr_t from = reinterpret_cast<std::uintptr_t>(sg_[i].base) + offset;
            if (i != piece_ && ((padding + bytes) & mask) != (from & mask)) break;
            const std::uint64_t rest = sg_[i].bytes - offset;
            if (rest <= most - bytes) {
                bytes += rest;
                continue;
            }
            const std::uint64_t part = most - bytes;
            const std::uint64_t excess = (from + part) & mask;
            return bytes + (part > excess ? part - excess : 0);
        }
        return bytes;
    }

    Result<void> add_slot() noexcept {
        const DeviceLimits& limits = device_.limits_;
        const std::uint64_t padding = limits.padding(address());
        std::uint64_t most = std::min({left_, limits.max_segment_bytes, most_});
        if (const std::uint64_t boundary = limits.segment_boundary; boundary != 0)
            most = std::min(most, boundary - (padding & (boundary - 1)));
        for (;;) {
            const std::uint64_t bytes = stretch(padding, most);
            if (bytes == 0) {
                return fail(EDOM,
                            "a piece at 0x%llx cannot be cut into segments of at most %llu bytes with the device's "
                            "min_align_mask 0x%llx",
                            address(), most, limits.min_align_mask);
            }
            auto wish = device_.wish_for(padding, bytes, align_);
            if (!wish) return wish.error();
            // With one segment left there is nothing less to ask for.
            const std::uint64_t least = std::max(limits.min_align_mask + 1, kLeastPart);
            const bool last = bytes <= least || list_.n_segments + 2 > max_segments_;
            wish->attempt = !last;
            Slot slot;
            const auto taken = device_.pool_.alloc_placed(device_.group_, context_, *wish, slot);
            if (taken) return place(slot, *wish, padding, bytes);
            const int code = taken.code();
            if (last || (code != ENOSPC && code != E2BIG && code != ERANGE)) {
                // Of what is left of a list the pool knows nothing.
                if (list_.n_mappings == 0 || code != E2BIG) return taken;
                return fail(ENOSPC, "a list of %llu bytes: for %llu of them the pool is full", list_.bytes, left_);
            }
            scattered_ = true;
            most_ = most = std::max(round_down(bytes / 2, least), least);
        }
    }

    /// The slot becomes a segment, or part of the last one; and its tokens are made.
    Result<void> place(const Slot& slot, const Wish& wish, std::uint64_t padding, std::uint64_t bytes) noexcept {
        const std::uint64_t addr = slot.gpa.value + padding;
        const std::uint32_t of_slot = kSlotSizes[slot.handle.size_class()].bytes;
        const std::uint64_t room = of_slot != 0 ? of_slot : round_up(wish.bytes, kPageBytes);
        const bool joined = joins(addr, bytes);
        if ((!joined && list_.n_segments == max_segments_) ||
            tokens_for(bytes) > list_.max_mappings - list_.n_mappings) {
            static_cast<void>(device_.pool_.free(device_.group_, context_, slot));
            if (scattered_) device_.pool_.count_full();
            return fail(scattered_ ? ENOSPC : E2BIG,
                        scattered_
                            ? "a list of %llu bytes: the pool has it in more than %llu segments (%llu bytes are "
                              "left)"
                            : "a list of %llu bytes in at most %llu segments: the device's limits leave %llu of them",
                        list_.bytes, max_segments_, left_);
        }
        if (joined)
            list_.segments[list_.n_segments - 1].bytes += bytes;
        else
            list_.segments[list_.n_segments++] = {addr, bytes};
        device_.scrub_mapped(slot.hva, room, padding, bytes, copied_);
        for (std::uint64_t done = 0; done < bytes;) {
            const bounce_sg& from = sg_[piece_];
            const std::uint64_t part = std::min<std::uint64_t>(bytes - done, from.bytes - offset_);
            bounce_mapping& token = list_.mappings[list_.n_mappings++];
            token = bounce_mapping{};
            token.addr = addr + done;
            token.bytes = part;
            token.orig = static_cast<std::byte*>(from.base) + offset_;
            token.slot = slot.hva + padding + done;
            token.epoch = slot.epoch;
            token.handle = slot.handle.bits();
            token.state = done == 0 ? kLiveListHead : kLiveListPart;
            done += part;
            offset_ += part;
            if (offset_ == from.bytes) {
                ++piece_;
                offset_ = 0;
            }
        }
        left_ -= bytes;
        return {};
    }

    [[nodiscard]] bool joins(std::uint64_t addr, std::uint64_t bytes) const noexcept {
        if (list_.n_segments == 0) return false;
        const bounce_segment& last = list_.segments[list_.n_segments - 1];
        const std::uint64_t boundary = device_.limits_.segment_boundary;
        return last.addr + last.bytes == addr && bytes <= device_.limits_.max_segment_bytes - last.bytes &&
               (boundary == 0 || ((last.addr ^ (addr + bytes - 1)) & (0 - boundary)) == 0);
    }

    [[nodiscard]] std::size_t tokens_for(std::uint64_t bytes) const noexcept {
        std::size_t n = 0;
        std::uint64_t offset = offset_;
        for (std::size_t i = piece_; bytes != 0; ++i, offset = 0, ++n)
            bytes -= std::min<std::uint64_t>(bytes, sg_[i].bytes - offset);
        return n;
    }

    Device& device_;
    Context* const context_;
    std::span<const bounce_sg> sg_;
    const std::uint64_t align_;
    const bool copied_;
    bounce_list& list_;
    std::size_t max_segments_;
    std::size_t piece_ = 0;  // where it goes on
    std::uint64_t offset_ = 0;
    std::uint64_t left_;
    std::uint64_t most_ = DeviceLimits::kNone;  // more was not to be had
    bool scattered_ = false;
};

Result<void> Device::map_list(std::span<const bounce_sg> sg, Direction direction, std::uint32_t flags,
                              std::uint64_t align, bounce_list& list) noexcept {
    list.n_mappings = list.n_segments = 0;
    list.bytes = 0;
    if (watched())
        return fail(ENOTSUP,
                    "the device has records or is debugged: these know mappings (bounce_device_map_sg()), not "
                    "lists");
    if (direct_ != nullptr)
        return fail(ENOTSUP, "a device whose buffers go as they are has mappings (bounce_device_map_sg()), not lists");
    if (sg.empty()) return fail(EINVAL, "a list of 0 pieces, expected at least 1");
    if (list.mappings == nullptr || list.segments == nullptr || list.max_segments == 0)
        return fail(EINVAL, "the list has no room: its arrays are NULL, or max_segments is 0");
    if (list.max_segments > SIZE_MAX - sg.size() || list.max_mappings < sg.size() + list.max_segments)
        return fail(EINVAL, "the list has room for %llu tokens, expected one for each of %llu pieces and %llu segments",
                    list.max_mappings, sg.size(), list.max_segments);
    if (align == 0) align = 1;
    if (!is_power_of_two(align) || align > kChunkBytes)
        return fail(EINVAL, "alignment %llu, expected 0 or a power of two up to %llu", align, kChunkBytes);
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < sg.size(); ++i) {
        if ((sg[i].flags | sg[i].offset) != 0)
            return fail(EINVAL, "piece %llu has flags 0x%llx and offset 0x%llx, both must be 0", i, sg[i].flags,
                        sg[i].offset);
        // A piece may be longer than a segment.
        if (!can_map(sg[i].base, sg[i].bytes, flags) &&
            !can_map(sg[i].base, std::min<std::size_t>(sg[i].bytes, 1), flags))
            return why_not_map(sg[i].base, sg[i].bytes, flags);
        if (reinterpret_cast<std::uintptr_t>(sg[i].base) > UINTPTR_MAX - sg[i].bytes)
            return why_not_map(sg[i].base, sg[i].bytes, flags);
        if (sg[i].bytes > kMostListBytes - total) return fail(E2BIG, "a list of more than %llu bytes", kMostListBytes);
        total += sg[i].bytes;
    }
    list.bytes = total;
    Context* const mine = context();
    const bool copied =
        (copies_in(direction) || (flags & BOUNCE_MAP_PRESERVE) != 0) && (flags & BOUNCE_MAP_SKIP_SYNC) == 0;
    ListBuilder builder(*this, mine, sg, align, copied, list);
    if (const auto built = builder.build(); !built) {
        builder.take_apart();
        list.bytes = 0;
        return no_slot(built.error(), sg[0].base, total, flags);
    }
    bool streamed = false;
    std::uint32_t slots = 0;
    for (std::size_t i = 0; i < list.n_mappings; ++i) {
        bounce_mapping& token = list.mappings[i];
        const std::uint8_t state = token.state;
        streamed |= fill(token, static_cast<std::byte*>(token.slot), token.orig, token.bytes, direction, flags,
                         state == kLiveListHead);
        token.state = state;
        slots += state == kLiveListHead ? 1U : 0U;
    }
    if (streamed) fence_streams();  // one for all of them
    note_maps(slots);
    return {};
}

/// Of one slot.
Result<void> Device::end_of_list(std::span<bounce_mapping> tokens, std::size_t written) noexcept {
    bounce_mapping& head = tokens[0];
    const std::uint64_t padding = limits_.padding(head.addr);
    std::uint64_t bytes = 0;
    for (const bounce_mapping& token : tokens) bytes += token.bytes;
    Pool::Ending ending;
    if (const auto begun = pool_.begin_free(whole_slot(head), SlotKind::kStreaming, padding + bytes, ending); !begun)
        return begun;
    bool renewed = false;
    for (bounce_mapping& token : tokens) {
        store_ended(token);
        const std::size_t part = std::min<std::size_t>(written, token.bytes);
        written -= part;
        renewed |= copy_back(token, part);
    }
    scrub_ended(ending, padding, bytes);
    pool_.finish_free(group_, context(), ending);
    return renewed ? lost(head) : Result<void>();
}

Result<void> Device::unmap_list(bounce_list& list, std::size_t written) noexcept {
    if (list.mappings == nullptr || list.n_mappings == 0 || list.n_mappings > list.max_mappings)
        return fail(EALREADY, "the list is not mapped: it has %llu tokens and room for %llu", list.n_mappings,
                    list.max_mappings);
    Result<void> first;
    const std::span tokens(list.mappings, list.n_mappings);
    for (std::size_t i = 0; i < tokens.size();) {
        const Group group = group_of(tokens.subspan(i));
        const std::span mine = tokens.subspan(i, group.count);
        i += group.count;
        const std::size_t part = std::min<std::size_t>(written, group.bytes);
        written -= part;
        Result<void> one = check_head(mine[0], group.good);
        if (one) one = end_of_list(mine, part);
        if (first && !one) first = one;
    }
    return first;
}

Result<void> Device::check_head(const bounce_mapping& head, bool good_group) const noexcept {
    const std::uint8_t state = load_state(head);
    if (state == kLiveMapping || state == kLiveSpecial || state == kLiveListPart || state == kWatchedMapping ||
        state == kLiveShared)
        return fail(EPERM, "the token (address 0x%llx) is not the first of a slot of a list", head.addr);
    if (state != kLiveListHead) return not_live(head);
    if (const auto good = check_live(head); !good) return good;
    if (!good_group || head.bytes > kMostListBytes)
        return fail(EINVAL, "the tokens of the slot at 0x%llx are damaged: they do not follow each other", head.addr);
    return {};
}

// Everything is looked at before anything is copied.
Result<void> Device::sync_list(const bounce_list& list, std::size_t offset, std::size_t bytes, Direction direction,
                               bool for_cpu) noexcept {
    if (list.mappings == nullptr || list.n_mappings == 0 || list.n_mappings > list.max_mappings)
        return fail(EALREADY, "the list is not mapped: it has %llu tokens and room for %llu", list.n_mappings,
                    list.max_mappings);
    if (bytes == 0) return fail(EINVAL, "sync of 0 bytes, expected at least 1");
    if (!fits(offset, bytes, list.bytes))
        return fail(EINVAL, "sync of %llu bytes at offset %llu, but the list has %llu bytes", bytes, offset,
                    list.bytes);
    const std::span<const bounce_mapping> tokens(list.mappings, list.n_mappings);
    const bool copies = for_cpu ? copies_back(direction) : copies_in(direction);
    bool streamed = false;
    for (const bool copying : {false, true}) {
        if (copying && !copies) break;
        std::uint64_t at = 0;
        for (std::size_t i = 0; i < tokens.size();) {
            const Group group = group_of(tokens.subspan(i));
            const std::span mine = tokens.subspan(i, group.count);
            i += group.count;
            if (at + group.bytes > offset && at < offset + bytes) {
                if (copying)
                    sync_pieces(mine, at, offset, bytes, for_cpu, streamed);
                else if (const auto good = check_group(mine[0], group.good, group.bytes, direction); !good)
                    return good;
                if (copying && for_cpu) {
                    if (const auto fresh = check_fresh(whole_slot(mine[0])); !fresh) return fresh;
                }
            }
            at += group.bytes;
        }
    }
    if (streamed) fence_streams();
    probes::sync(id_, tokens[0].addr, bytes, for_cpu ? 1 : 0);
    return {};
}

Result<void> Device::check_group(const bounce_mapping& head, bool good_group, std::uint64_t bytes,
                                 Direction direction) const noexcept {
    if (const auto good = check_head(head, good_group); !good) return good;
    const Direction mapped = Direction{head.direction};
    if (mapped != Direction::kBidirectional && mapped != direction)
        return fail(EPERM, "sync in direction %llu of a list with direction %llu",
                    static_cast<std::uint64_t>(direction), head.direction);
    const Slot slot = whole_slot(head);
    if (const auto live = pool_.check(slot, SlotKind::kStreaming, limits_.padding(head.addr) + bytes); !live)
        return live;
    return check_fresh(slot);
}

/// What [offset, offset + bytes) of the list has of the tokens of a slot, which begins at `at`.
void Device::sync_pieces(std::span<const bounce_mapping> tokens, std::uint64_t at, std::uint64_t offset,
                         std::uint64_t bytes, bool for_cpu, bool& streamed) noexcept {
    const std::uint32_t mode = mode_.load(std::memory_order_relaxed);  // M1
    for (const bounce_mapping& token : tokens) {
        const std::uint64_t from = std::max(at, offset);
        const std::uint64_t until = std::min(at + token.bytes, offset + bytes);
        if (from < until) {
            std::byte* const slot = static_cast<std::byte*>(token.slot) + (from - at);
            std::byte* const buf = static_cast<std::byte*>(token.orig) + (from - at);
            if (for_cpu)
                copy_from_slot(buf, slot, until - from);
            else
                streamed |= copy_in(mode, slot, buf, until - from);
        }
        at += token.bytes;
    }
}

}  // namespace bounce
