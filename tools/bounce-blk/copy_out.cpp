// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-blk/copy_out.hpp"

#include <algorithm>

#include "tools/common/failure.hpp"

namespace bounce::blk {

using tools::text;

CopyOut::CopyOut(Session& session, const TransferConfig& config, const Output& output, const tools::Canary& canary,
                 tools::Report& report, tools::Progress& progress)
    : Transfer(session, config, canary, report, progress), output_(output) {}

std::unique_ptr<Transfer::Chunk> CopyOut::produce() {
    if (asked_ >= output_.length) return nullptr;
    const std::uint64_t block = session_.limits().block_bytes;
    const std::uint64_t offset = config_.offset + asked_;
    const std::uint64_t wanted = std::min(config_.request_bytes, output_.length - asked_);
    // Whole blocks go over the ring; the end of the last one is dropped in retire().
    const std::uint64_t bytes =
        std::min((wanted + block - 1) / block * block, session_.limits().capacity_bytes - offset);
    auto chunk = take_chunk();
    chunk->request.prepare(kTypeIn, offset, static_cast<std::size_t>(bytes));
    asked_ += bytes;
    return chunk;
}

void CopyOut::retire() {
    while (!window_.empty() && window_.front()->state == Chunk::State::kDone) {
        const Request& request = window_.front()->request;
        const std::span<const std::byte> data = request.data();
        const auto bytes =
            data.first(static_cast<std::size_t>(std::min<std::uint64_t>(data.size(), output_.length - given_)));
        output_.sink.consume(bytes, request.offset());
        hash_.update(bytes);
        given_ += bytes.size();
        pop_front();
        engine_.restart_timeout();
    }
}

void CopyOut::lost() {
    for (auto& chunk : window_) {
        if (chunk->state != Chunk::State::kInFlight) continue;
        // Prepared anew: the canary has to be in the buffer before it is mapped.
        chunk->request.prepare(kTypeIn, chunk->request.offset(), chunk->request.bytes());
        chunk->state = Chunk::State::kReady;
    }
}

std::string CopyOut::state_sentence() const {
    const std::string sentence = output_.sink.state(given_, output_.length);
    if (!output_.advise || !output_.sink.can_go_on()) return sentence;
    return text(sentence, ". To go on from there: --offset ", (config_.offset + given_) / kSectorBytes * kSectorBytes,
                " --skip ", output_.skipped + given_ / kSectorBytes * kSectorBytes);
}

void CopyOut::describe(tools::Json& json) const {
    Transfer::describe(json);
    json["length"] = output_.length;
}

}  // namespace bounce::blk
