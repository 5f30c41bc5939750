// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Scatter lists: all or nothing on the way in, everything on the way out.
#include <algorithm>
#include <cerrno>

#include "api/dma/copy.hpp"
#include "api/dma/device.hpp"

namespace bounce {

Result<void> Device::map_sg(std::span<const bounce_sg> sg, Direction direction, std::uint32_t flags,
                            bounce_mapping* mappings) noexcept {
    if (sg.empty()) return fail(EINVAL, "a scatter list of 0 segments, expected at least 1");
    Context* const mine = context();
    bool streamed = false;
    for (std::size_t i = 0; i < sg.size(); ++i) {
        auto mapped = sg[i].flags == 0 && sg[i].reserved == 0
                          ? map_unfenced(mine, sg[i].base, sg[i].bytes, direction, flags, mappings[i], streamed)
                          : fail(EINVAL, "segment %llu has flags 0x%llx and reserved 0x%llx, both must be 0", i,
                                 sg[i].flags, sg[i].reserved);
        if (mapped) continue;
        if (streamed) fence_streams();
        // Each was mapped just above, so this cannot fail. The error of map() stays this thread's last one.
        for (std::size_t j = 0; j < i; ++j) static_cast<void>(discard(mine, mappings[j]));
        std::fill_n(mappings, sg.size(), bounce_mapping{});
        return mapped;
    }
    if (streamed) fence_streams();  // one for all of them
    return {};
}

Result<void> Device::unmap_sg(std::span<bounce_mapping> mappings, std::size_t written) noexcept {
    if (mappings.empty()) return fail(EINVAL, "a scatter list of 0 mappings, expected at least 1");
    Context* const mine = context();
    Result<void> first;
    std::size_t left = written;
    for (bounce_mapping& mapping : mappings) {
        const std::size_t part = std::min<std::size_t>(left, mapping.bytes);
        left -= part;
        const auto ended = unmap(mine, mapping, part);
        if (first && !ended) first = ended;
    }
    return first;
}

}  // namespace bounce
