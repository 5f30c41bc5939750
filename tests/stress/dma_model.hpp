// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The reference that the DMA API is compared with: plain vectors of bytes, no pool. A mapping has a private side and a
// device side of the same length; what the device side holds before anybody wrote it is not known.
#pragma once

#include <bounce/bounce.h>
#include <bounce/quarantine.h>
#include <bounce/quota.h>
#include <bounce/streaming.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

namespace bounce::model {

using Bytes = std::vector<std::uint8_t>;

/// The bytes of the device's side, and which of them are known.
struct Side {
    Bytes bytes;
    std::vector<bool> known;

    explicit Side(std::size_t n = 0, bool zeroed = false) : bytes(n), known(n, zeroed) {}
    void put(std::size_t at, const std::uint8_t* from, std::size_t n) {
        std::copy_n(from, n, bytes.begin() + static_cast<std::ptrdiff_t>(at));
        std::fill_n(known.begin() + static_cast<std::ptrdiff_t>(at), n, true);
    }
    /// Everything is zero: other memory is there now.
    void renew() {
        std::fill(bytes.begin(), bytes.end(), std::uint8_t{0});
        std::fill(known.begin(), known.end(), true);
    }
    [[nodiscard]] bool is(const std::uint8_t* seen) const {
        for (std::size_t i = 0; i < bytes.size(); ++i)
            if (known[i] && bytes[i] != seen[i]) return false;
        return true;
    }
};

inline bool copies_in(int direction, std::uint32_t flags) {
    if ((flags & BOUNCE_MAP_SKIP_SYNC) != 0) return false;
    return direction != BOUNCE_FROM_DEVICE || (flags & BOUNCE_MAP_PRESERVE) != 0;
}

/// One mapping, one list of a scatter list, or one bounce_list: private pieces in a row, and one device side.
struct Mapped {
    enum class Kind { kOne, kSg, kList };
    Kind kind = Kind::kOne;
    std::size_t device = 0;
    int direction = 0;
    std::uint32_t flags = 0;
    bool stale = false;  // the memory was renewed since
    std::vector<std::size_t> sizes;
    // What the library sees and may write, and what the model says should be there.
    std::vector<std::unique_ptr<std::uint8_t[]>> storage;  // with room to be misaligned
    std::vector<std::uint8_t*> buffers;
    std::vector<Bytes> privately;
    std::vector<bounce_mapping> tokens;
    std::vector<bounce_segment> segments;  // where the device finds the bytes, in order
    bounce_list list{};
    Side side;

    [[nodiscard]] std::size_t total() const {
        std::size_t sum = 0;
        for (const std::size_t size : sizes) sum += size;
        return sum;
    }
    /// [at, at + n) of the private pieces in a row: visit(piece, offset in it, position in the row, bytes).
    template <class Visit>
    void for_range(std::size_t at, std::size_t n, Visit&& visit) const {
        std::size_t start = 0;
        for (std::size_t i = 0; i < sizes.size(); start += sizes[i++]) {
            const std::size_t from = std::max(at, start);
            const std::size_t until = std::min(at + n, start + sizes[i]);
            if (from < until) visit(i, from - start, from, until - from);
        }
    }
    void to_device(std::size_t at, std::size_t n) {
        for_range(at, n, [&](std::size_t i, std::size_t offset, std::size_t position, std::size_t bytes) {
            side.put(position, privately[i].data() + offset, bytes);
        });
    }
    /// What is not known on the device's side is taken from what the library has copied: old content of the pool.
    void to_cpu(std::size_t at, std::size_t n) {
        for_range(at, n, [&](std::size_t i, std::size_t offset, std::size_t position, std::size_t bytes) {
            for (std::size_t b = 0; b < bytes; ++b) {
                if (!side.known[position + b]) {
                    side.bytes[position + b] = buffers[i][offset + b];
                    side.known[position + b] = true;
                }
                privately[i][offset + b] = side.bytes[position + b];
            }
        });
    }
    [[nodiscard]] bool private_is_right() const {
        for (std::size_t i = 0; i < sizes.size(); ++i)
            if (std::memcmp(buffers[i], privately[i].data(), sizes[i]) != 0) return false;
        return true;
    }
};

struct Block {
    std::size_t device = 0;
    bool coherent = false;
    bounce_block block{};
    Side side;
};

/// What a device of the test asks for.
struct Limits {
    std::uint64_t min_align_mask = 0;
    std::uint64_t boundary = 0;
    std::uint64_t max_segment = ~std::uint64_t{0};
    bool scrubbed = false;  // ALL at map

    /// The error of a mapping whatever the pool has, or 0.
    [[nodiscard]] int refusal(std::uint64_t address, std::uint64_t bytes) const {
        if (bytes > max_segment) return E2BIG;
        const std::uint64_t padding = address & min_align_mask;
        if (boundary != 0 && (padding & (boundary - 1)) + bytes > boundary) return EDOM;
        return 0;
    }
    /// Does [addr, addr + bytes) keep to it, for a buffer at this address?
    [[nodiscard]] bool kept_by(std::uint64_t addr, std::uint64_t bytes, std::uint64_t address) const {
        return ((addr ^ address) & min_align_mask) == 0 &&
               (boundary == 0 || addr / boundary == (addr + bytes - 1) / boundary) && bytes <= max_segment;
    }
};

/// What the pool's figures have to be.
struct Accounts {
    std::uint64_t maps = 0;
    std::uint64_t full = 0;
    std::uint64_t over = 0;  // a ceiling
    std::uint64_t quotas = 0;
    std::uint64_t no_quota = 0;
    std::uint64_t mappings = 0;
    std::uint64_t coherent = 0;
    std::uint64_t buffers = 0;
    std::uint64_t quarantined = 0;
    std::uint64_t payload = 0;  // of what is mapped and allocated
};

}  // namespace bounce::model
