// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Conversion of a region's chunks between private and shared, by hooks of the platform (an ultravisor call, a C-bit, a
// hypercall). Content is undefined after a conversion, so it is scrubbed both ways: nothing private becomes visible,
// and nothing that the device side left is taken for ours.
//
// Where devices are behind an IOMMU the chunk is put into its tables after it was shared, and taken out before it is
// unshared.
//
//   private --share()--> shared --unshare()--> private
//                        shared --unshare() fails--> lost: never used again, never unmapped, for ever
//   private --share() fails half way, and it cannot be undone--> lost
#pragma once

#include <cstddef>
#include <cstdint>

#include "allocator/base/error.hpp"
#include "allocator/base/private_memory.hpp"
#include "allocator/base/types.hpp"

namespace bounce {

/// What the platform does; each returns 0 or -errno. Both of a pair or none.
struct ShareHooks {
    using Hook = int (*)(void* user, std::uint64_t gpa, void* hva, std::uint64_t bytes);
    /// `address` is the one that the device uses.
    using MapHook = int (*)(void* user, std::uint64_t address, std::uint64_t gpa, void* hva, std::uint64_t bytes);

    Hook share = nullptr;
    Hook unshare = nullptr;
    void* user = nullptr;
    std::uint64_t granule = kPageBytes;  // what is converted begins and ends at multiples of it; a power of two
    MapHook map = nullptr;               // in and out of the tables of an IOMMU
    MapHook unmap = nullptr;

    [[nodiscard]] bool any() const noexcept { return share != nullptr || map != nullptr; }
};

/// A piece of a region: of one chunk, or of several in a row.
struct Extent {
    std::uint64_t offset = 0;  // from the region's first byte
    std::uint64_t bytes = 0;
};

/// The states of one region's chunks. Without hooks nothing is converted, and every chunk counts as private for ever.
/// Not thread-safe.
class Sharing {
public:
    /// ENOMEM.
    static Result<Sharing> create(const ShareHooks& hooks, std::uint32_t chunks) noexcept;

    [[nodiscard]] bool by_hooks() const noexcept { return hooks_.any(); }
    [[nodiscard]] bool shared(std::uint32_t chunk) const noexcept { return state(chunk) == State::kShared; }
    [[nodiscard]] bool lost(std::uint32_t chunk) const noexcept { return state(chunk) == State::kLost; }

    /// A chunk, where it is for the guest, for its devices, and here.
    struct Place {
        Gpa gpa;
        Gpa address;
        std::byte* hva;
        std::uint64_t bytes;
    };
    /// The hook's error, or EIO when what it returned is none; the chunk stays private then, or is lost when the hook
    /// said ENOTRECOVERABLE or what was done could not be undone.
    Result<void> share(std::uint32_t chunk, const Place& at) noexcept;
    /// The same; the chunk is lost then.
    Result<void> unshare(std::uint32_t chunk, const Place& at) noexcept;

private:
    enum class State : std::uint8_t { kPrivate = 0, kShared = 1, kLost = 2 };

    explicit Sharing(const ShareHooks& hooks, PrivateMemory states) noexcept
        : hooks_(hooks), states_(std::move(states)) {}
    [[nodiscard]] State state(std::uint32_t chunk) const noexcept {
        return hooks_.any() ? static_cast<State>(states_.data()[chunk]) : State::kPrivate;
    }
    [[nodiscard]] int convert(const Place& at, bool to_shared) const noexcept;
    [[nodiscard]] int enter_tables(const Place& at) const noexcept;
    [[nodiscard]] int leave_tables(const Place& at) const noexcept;
    void become(std::uint32_t chunk, State state) noexcept { states_.data()[chunk] = static_cast<std::byte>(state); }

    ShareHooks hooks_;
    PrivateMemory states_;  // a State each; sparse
};

}  // namespace bounce
