// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/slab/hole_tree.hpp"

namespace bounce {

HoleTree::HoleTree(std::span<const ChunkBits> bits, std::span<HoleNode> nodes) noexcept
    : leaves_(static_cast<std::uint32_t>(std::bit_ceil(bits.size()))), bits_(bits), nodes_(nodes) {
    const auto chunks = static_cast<std::uint32_t>(bits.size());
    // Leaves without a chunk count as used: the nodes that have no others. Those that have both are above the last.
    for (std::uint32_t from = chunks; from < leaves_;) {
        const std::uint32_t size = from & (0 - from);
        const std::uint32_t length = size * kChunkPages;
        nodes_[(leaves_ + from) / size] = {length, length, length};
        from += size;
    }
    for (const std::uint32_t chunk : {std::uint32_t{0}, chunks - 1}) {
        set_leaf(chunk, leaf_of(bits_[chunk], [](std::uint32_t, std::uint32_t) {}));
    }
    settle();
}

// True when that changed anything.
bool HoleTree::merge(std::uint32_t node, std::uint64_t length) noexcept {
    const HoleNode& left = nodes_[2 * node];
    const HoleNode& right = nodes_[2 * node + 1];
    const std::uint64_t half = length / 2;
    const auto cap = [](std::uint64_t missing) {
        return static_cast<std::uint32_t>(std::min<std::uint64_t>(missing, ~std::uint32_t{0}));
    };
    const std::uint64_t across = std::uint64_t{left.no_end} + right.no_start;
    const HoleNode merged{cap(left.no_start == 0 ? right.no_start : half + left.no_start),
                          cap(right.no_end == 0 ? left.no_end : half + right.no_end),
                          cap(std::min(half + std::min(left.no_max, right.no_max), across))};
    if (nodes_[node] == merged) return false;
    nodes_[node] = merged;
    return true;
}

void HoleTree::climb(std::uint32_t chunk) noexcept {
    std::uint64_t length = kChunkPages;
    for (std::uint32_t node = leaves_ + chunk; node > 1;) {
        node /= 2;
        length *= 2;
        if (!merge(node, length)) return;
    }
}

}  // namespace bounce
