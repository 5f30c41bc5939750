// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/vhost/iotlb.hpp"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <new>

namespace bounce::vhost {
namespace {

Result<void> check_range(std::uint64_t iova, std::uint64_t bytes) noexcept {
    if (bytes != 0 && iova <= std::numeric_limits<std::uint64_t>::max() - (bytes - 1)) return {};
    return fail(EINVAL, "a translation of %llu bytes at IOVA 0x%llx, expected at least 1 and none beyond 64 bits",
                bytes, iova);
}

}  // namespace

std::size_t Iotlb::first_ending_at_or_after(std::uint64_t iova) const noexcept {
    const Translation* begin = ranges_.get();
    const Translation* found = std::lower_bound(
        begin, begin + count_, iova, [](const Translation& range, std::uint64_t at) { return range.last() < at; });
    return static_cast<std::size_t>(found - begin);
}

Result<void> Iotlb::reserve(std::size_t count) noexcept {
    if (count <= room_) return {};
    if (count > kMaxTranslations)
        return fail(ENOSPC, "there are %llu translations, no more than %llu are possible", count_, kMaxTranslations);
    const std::size_t room = std::min(kMaxTranslations, std::max<std::size_t>(16, 2 * room_));
    std::unique_ptr<Translation[]> more(new (std::nothrow) Translation[room]);
    if (more == nullptr) return fail(ENOMEM, "no memory for %llu translations", room);
    std::copy_n(ranges_.get(), count_, more.get());
    ranges_ = std::move(more);
    room_ = room;
    return {};
}

void Iotlb::insert(std::size_t at, const Translation& range) noexcept {
    std::copy_backward(ranges_.get() + at, ranges_.get() + count_, ranges_.get() + count_ + 1);
    ranges_[at] = range;
    ++count_;
}

void Iotlb::erase(std::size_t from, std::size_t to) noexcept {
    std::copy(ranges_.get() + to, ranges_.get() + count_, ranges_.get() + from);
    count_ -= to - from;
}

Result<void> Iotlb::map(const Translation& range) noexcept {
    if (auto good = check_range(range.iova, range.bytes); !good) return good;
    if (auto good = check_range(range.user_address, range.bytes); !good) return good;
    const std::size_t at = first_ending_at_or_after(range.iova);
    if (at < count_ && ranges_[at].iova <= range.last())
        return fail(EEXIST, "[0x%llx, 0x%llx] overlaps what is translated already at IOVA 0x%llx", range.iova,
                    range.last(), ranges_[at].iova);
    if (auto room = reserve(count_ + 1); !room) return room;
    insert(at, range);
    return {};
}

Result<std::uint64_t> Iotlb::unmap(std::uint64_t iova, std::uint64_t bytes) noexcept {
    if (auto good = check_range(iova, bytes); !good) return good.error();
    const std::uint64_t last = iova + (bytes - 1);
    std::size_t at = first_ending_at_or_after(iova);
    std::uint64_t taken = 0;
    if (at < count_ && ranges_[at].iova < iova) {  // begins before
        const Translation whole = ranges_[at];
        if (whole.last() > last) {  // and ends behind: two are left
            if (auto room = reserve(count_ + 1); !room) return room.error();
            const std::uint64_t skip = last + 1 - whole.iova;
            insert(at + 1, {last + 1, whole.last() - last, whole.user_address + skip, whole.access});
        }
        ranges_[at].bytes = iova - whole.iova;
        taken += std::min(whole.last(), last) - iova + 1;
        ++at;
    }
    std::size_t end = at;
    for (; end < count_ && ranges_[end].last() <= last; ++end) taken += ranges_[end].bytes;
    erase(at, end);
    if (at < count_ && ranges_[at].iova <= last) {  // ends behind
        const std::uint64_t cut = last + 1 - ranges_[at].iova;
        ranges_[at].iova += cut;
        ranges_[at].user_address += cut;
        ranges_[at].bytes -= cut;
        taken += cut;
    }
    return taken;
}

const Translation* Iotlb::find(std::uint64_t iova) const noexcept {
    const std::size_t at = first_ending_at_or_after(iova);
    return at < count_ && ranges_[at].iova <= iova ? &ranges_[at] : nullptr;
}

}  // namespace bounce::vhost
