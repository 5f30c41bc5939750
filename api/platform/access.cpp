// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a device gets that aims at an address.
#include <algorithm>
#include <cstring>

#include "allocator/base/bits.hpp"
#include "api/platform/machine.hpp"

namespace bounce::emulated {
namespace {

constexpr std::uint64_t kMostBytes = 4096;  // of private memory in one call

bool may_see(const bounce_audience& who, const bounce_audience& audience) noexcept {
    if (audience.kind == BOUNCE_AUDIENCE_EVERYONE) return true;
    return who.kind == audience.kind && who.id == audience.id;
}

}  // namespace

Machine::Target Machine::find_page(const bounce_audience& who, std::uint64_t gpa, bool as_shared) const noexcept {
    Target target;
    target.gpa = gpa;
    for (const auto& view : views_) {
        const Window::Piece* const piece = view->window.find(gpa);
        if (piece == nullptr) continue;
        if (!as_shared || !may_see(who, view->window.audience())) return target;
        target.kind = Target::Kind::kShared;
        target.window = &view->window;
        target.offset = piece->offset + (gpa - piece->gpa);
        target.bytes = piece->bytes - (gpa - piece->gpa);
        return target;
    }
    for (const Memory& memory : memory_) {
        const std::uint64_t offset = gpa - memory.gpa;
        if (offset >= memory.bytes) continue;
        target.kind = Target::Kind::kPrivate;
        target.hva = memory.hva != nullptr ? memory.hva + offset : nullptr;
        target.bytes = memory.bytes - offset;
        break;
    }
    return target;
}

Machine::Target Machine::find_locked(const bounce_audience& who, std::uint64_t address, bool write) const noexcept {
    std::uint64_t gpa = address;
    std::uint64_t alike = ~std::uint64_t{0};
    bool as_shared = true;
    switch (model_.encoding) {
        case BOUNCE_ENCODING_C_BIT:
            if ((address & model_.encoding_value) != 0) return {};
            break;
        case BOUNCE_ENCODING_SHARED_BIT:
            as_shared = (address & model_.encoding_value) != 0;
            gpa = address & ~model_.encoding_value;
            break;
        case BOUNCE_ENCODING_BIAS:
            as_shared = address >= model_.encoding_value;
            gpa = as_shared ? address - model_.encoding_value : address;
            break;
        case BOUNCE_ENCODING_IOVA: {
            const auto entry = std::find_if(iommu_.begin(), iommu_.end(),
                                            [&](const Mapping& each) { return address - each.address < each.bytes; });
            if (entry == iommu_.end()) return {};
            gpa = entry->gpa + (address - entry->address);
            alike = entry->bytes - (address - entry->address);
            break;
        }
        default: break;
    }
    Target target = find_page(who, gpa, as_shared);
    if (target.kind == Target::Kind::kPrivate &&
        (write ? model_.writes == Writes::kFault : model_.reads == Reads::kFault))
        return {};
    target.bytes = std::min(target.bytes, alike);
    return target;
}

Machine::Target Machine::find(const bounce_audience& who, std::uint64_t address, bool write) noexcept {
    const std::lock_guard guard(lock_);
    return find_locked(who, address, write);
}

bool Machine::read_private(const bounce_audience& who, std::uint64_t address, std::byte* to,
                           std::uint64_t bytes) noexcept {
    const std::lock_guard guard(lock_);
    const Target target = find_locked(who, address, false);
    if (target.kind != Target::Kind::kPrivate || bytes > std::min(target.bytes, kMostBytes)) return false;
    if (model_.reads == Reads::kPlaintext) {
        if (target.hva != nullptr) {
            std::memcpy(to, target.hva, bytes);
        } else {
            std::memset(to, 0, bytes);
        }
        return true;
    }
    // Memory is in multiples of pages, so whole blocks lie inside of it.
    const std::uint64_t before = target.gpa % Cipher::kBlock;
    const std::uint64_t whole = round_up(before + bytes, Cipher::kBlock);
    std::byte blocks[kMostBytes + 2 * Cipher::kBlock] = {};
    if (target.hva != nullptr) std::memcpy(blocks, target.hva - before, whole);
    cipher_.encrypt(target.gpa - before, blocks, whole);
    std::memcpy(to, blocks + before, bytes);
    stats_.ciphertext_reads += bytes;
    return true;
}

bool Machine::write_private(const bounce_audience& who, std::uint64_t address, const std::byte* from,
                            std::uint64_t bytes) noexcept {
    const std::lock_guard guard(lock_);
    const Target target = find_locked(who, address, true);
    if (target.kind != Target::Kind::kPrivate || bytes > target.bytes || bytes > kMostBytes) return false;
    if (model_.writes == Writes::kThrough) {
        if (target.hva != nullptr) std::memcpy(target.hva, from, bytes);
        return true;
    }
    stats_.garbled_writes += bytes;
    if (target.hva == nullptr) return true;  // nobody reads it any more
    // The device writes over ciphertext; the guest gets what that is the ciphertext of.
    const std::uint64_t before = target.gpa % Cipher::kBlock;
    std::byte blocks[kMostBytes + 2 * Cipher::kBlock];
    const std::uint64_t whole = std::min<std::uint64_t>(round_up(before + bytes, Cipher::kBlock), sizeof blocks);
    std::memcpy(blocks, target.hva - before, whole);
    cipher_.encrypt(target.gpa - before, blocks, whole);
    std::memcpy(blocks + before, from, std::min(bytes, whole - before));
    cipher_.decrypt(target.gpa - before, blocks, whole);
    std::memcpy(target.hva - before, blocks, whole);
    return true;
}

void Machine::count_fault() noexcept {
    const std::lock_guard guard(lock_);
    ++stats_.faults;
}

}  // namespace bounce::emulated
