// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Share hooks that keep the books: what is shared now, what was done wrongly, and which chunk refuses.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>

namespace bounce::test {

class FakePlatform {
public:
    /// Chunks whose conversion fails, by GPA.
    std::set<std::uint64_t> refuse_share;
    std::set<std::uint64_t> refuse_unshare;
    /// Every nth call fails as well, 0: none.
    unsigned refuse_every = 0;

    static int share(void* user, std::uint64_t gpa, void* hva, std::uint64_t bytes) {
        return static_cast<FakePlatform*>(user)->convert(gpa, hva, bytes, true);
    }
    static int unshare(void* user, std::uint64_t gpa, void* hva, std::uint64_t bytes) {
        return static_cast<FakePlatform*>(user)->convert(gpa, hva, bytes, false);
    }

    [[nodiscard]] std::uint64_t shared_bytes() const {
        const std::lock_guard guard(lock_);
        std::uint64_t sum = 0;
        for (const auto& [gpa, bytes] : shared_) sum += bytes;
        return sum;
    }
    [[nodiscard]] bool shared(std::uint64_t gpa, std::uint64_t bytes) const {
        const std::lock_guard guard(lock_);
        auto it = shared_.upper_bound(gpa);
        for (std::uint64_t at = gpa; at < gpa + bytes;) {
            it = shared_.upper_bound(at);
            if (it == shared_.begin() || (--it)->first + it->second <= at) return false;
            at = it->first + it->second;
        }
        return true;
    }
    [[nodiscard]] unsigned calls() const {
        const std::lock_guard guard(lock_);
        return calls_;
    }
    [[nodiscard]] unsigned refusals() const {
        const std::lock_guard guard(lock_);
        return refusals_;
    }
    /// Conversions of what was shared, or was not; larger than a chunk; of memory that was not scrubbed.
    [[nodiscard]] unsigned mistakes() const {
        const std::lock_guard guard(lock_);
        return mistakes_;
    }

private:
    int convert(std::uint64_t gpa, void* hva, std::uint64_t bytes, bool to_shared) {
        const std::lock_guard guard(lock_);
        ++calls_;
        auto* const data = static_cast<std::byte*>(hva);
        const bool scrubbed = std::all_of(data, data + bytes, [](std::byte b) { return b == std::byte{0}; });
        const auto it = shared_.find(gpa);
        const bool was = it != shared_.end() && it->second == bytes;
        if (!scrubbed || was == to_shared || gpa / kChunk != (gpa + bytes - 1) / kChunk) ++mistakes_;
        const auto& refused = to_shared ? refuse_share : refuse_unshare;
        if (refused.count(gpa) != 0 || (refuse_every != 0 && calls_ % refuse_every == 0)) {
            ++refusals_;
            return -EIO;
        }
        if (to_shared) {
            shared_[gpa] = bytes;
        } else {
            shared_.erase(gpa);
        }
        // Content over a conversion is garbage.
        std::fill(data, data + bytes, std::byte{0xdb});
        return 0;
    }

    static constexpr std::uint64_t kChunk = std::uint64_t{2} << 20;
    mutable std::mutex lock_;
    std::map<std::uint64_t, std::uint64_t> shared_;
    unsigned calls_ = 0;
    unsigned refusals_ = 0;
    unsigned mistakes_ = 0;
};

}  // namespace bounce::test
