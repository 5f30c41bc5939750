// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-net/packet_memory.hpp"

#include <cstring>

#include "tools/common/failure.hpp"
#include "tools/common/units.hpp"

namespace bounce::net {

PacketMemory::PacketMemory(const Session& session, std::uint32_t count, std::size_t bytes, const tools::Canary* canary)
    : bytes_(bytes), device_(session.device()) {
    at_.reserve(count);
    if (canary != nullptr) {
        private_.reserve(count);
        for (std::uint32_t i = 0; i < count; ++i) {
            private_.emplace_back(*canary, bytes);
            private_.back().fill_with_canary(bytes);
            at_.push_back(private_.back().data());
        }
        return;
    }
    flags_ = BOUNCE_SG_SHARED | BOUNCE_SG_SHARED_IN;  // what comes is read once, before it is checked
    blocks_.resize(count);
    if (bounce_buffer_alloc_bulk(device_, bytes, tools::GuardedBuffer::kAlign, blocks_.data(), count) < 0) {
        blocks_.clear();
        throw tools::Failure(tools::text(count, " buffers of ", tools::format_bytes(bytes),
                                         " do not fit into the pool of ",
                                         tools::format_bytes(session.config().pool_bytes),
                                         ": choose a larger --pool-size (", bounce_last_error(), ")"));
    }
    for (const bounce_block& block : blocks_) {
        std::memset(block.ptr, 0, block.bytes);
        at_.push_back(static_cast<std::byte*>(block.ptr));
    }
}

PacketMemory::~PacketMemory() {
    if (!blocks_.empty()) (void)bounce_buffer_free_bulk(device_, blocks_.data(), blocks_.size());
}

void PacketMemory::check_canaries() const {
    for (const tools::GuardedBuffer& buffer : private_) {
        if (!buffer.intact()) throw tools::Failure("a canary around a private buffer was overwritten");
    }
}

}  // namespace bounce::net
