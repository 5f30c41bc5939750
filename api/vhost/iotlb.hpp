// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a back-end that translates may reach: ranges of IOVAs, and where they are in the memory that it was shown. It is
// private memory, and the only word on what a translation is: a range that is not here has none, and is not made up.
//
// Sorted, without overlaps. A lookup is a binary search; adding and taking away move what is behind. For the control
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "allocator/base/error.hpp"

namespace bounce::vhost {

/// In the order of the message (virtio's VHOST_ACCESS_RO and so on).
enum class IotlbAccess : std::uint8_t { kRead = 1, kWrite = 2, kBoth = 3 };

constexpr bool allows(IotlbAccess have, IotlbAccess need) noexcept {
    return (static_cast<unsigned>(need) & ~static_cast<unsigned>(have)) == 0;
}

struct Translation {
    std::uint64_t iova = 0;
    std::uint64_t bytes = 0;
    std::uint64_t user_address = 0;  // of the memory table
    IotlbAccess access = IotlbAccess::kBoth;

    /// The last byte: a range may end at the top of the address space.
    [[nodiscard]] std::uint64_t last() const noexcept { return iova + (bytes - 1); }
    [[nodiscard]] bool holds(std::uint64_t address) const noexcept { return address >= iova && address <= last(); }
};

class Iotlb {
public:
    static constexpr std::size_t kMaxTranslations = 65536;

    /// EINVAL: empty, or beyond 64 bits; EEXIST: something of it is translated already; ENOMEM; ENOSPC: too many.
    Result<void> map(const Translation& range) noexcept;
    /// Takes away what of [iova, iova + bytes) is translated: what is partly in it is cut. How many bytes that was.
    /// ENOMEM, ENOSPC (cutting one in the middle makes two): nothing has changed.
    Result<std::uint64_t> unmap(std::uint64_t iova, std::uint64_t bytes) noexcept;
    /// The one that holds this address, or nullptr.
    [[nodiscard]] const Translation* find(std::uint64_t iova) const noexcept;
    void clear() noexcept { count_ = 0; }
    [[nodiscard]] std::size_t count() const noexcept { return count_; }

private:
    [[nodiscard]] std::size_t first_ending_at_or_after(std::uint64_t iova) const noexcept;
    Result<void> reserve(std::size_t count) noexcept;
    void insert(std::size_t at, const Translation& range) noexcept;
    void erase(std::size_t from, std::size_t to) noexcept;

    std::unique_ptr<Translation[]> ranges_;
    std::size_t count_ = 0;
    std::size_t room_ = 0;
};

}  // namespace bounce::vhost
