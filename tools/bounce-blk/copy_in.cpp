// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-blk/copy_in.hpp"

#include <algorithm>
#include <cstring>

#include "tools/common/failure.hpp"
#include "tools/common/units.hpp"

namespace bounce::blk {

using tools::Failure;
using tools::text;

namespace {

constexpr std::uint64_t kFlushBytes = std::uint64_t{64} << 20;
constexpr auto kFlushInterval = std::chrono::seconds(1);
constexpr std::uint64_t kMaxRetainedBytes = 2 * kFlushBytes;

}  // namespace

CopyIn::CopyIn(Session& session, const TransferConfig& config, const Input& input, const tools::Canary& canary,
               tools::Report& report, tools::Progress& progress)
    : Transfer(session, config, canary, report, progress),
      input_(input),
      retain_(config.reconnect_seconds.has_value()),
      flush_(canary, 0),
      last_flush_(Clock::now()) {}

/// True: the chunk is full, or the input has ended.
bool CopyIn::fill_staging() {
    if (!staging_) {
        staging_ = take_chunk();
        staged_ = 0;
    }
    const auto buffer = staging_->request.buffer();
    while (staged_ < buffer.size()) {
        const auto got = input_.source.read_some(buffer.subspan(staged_));
        if (!got) return false;
        if (*got == 0) {
            end_of_input_ = true;
            break;
        }
        staged_ += *got;
    }
    return true;
}

/// The length of the staged chunk in whole blocks; the rest of the last one is zeros.
std::size_t CopyIn::pad_end() {
    const std::uint64_t block = session_.limits().block_bytes;
    const std::uint64_t over = staged_ % block;
    if (over == 0) return staged_;
    if (!input_.pad) {
        throw Failure(text(input_.source.name(), " has ", taken_ + staged_, " bytes, not a multiple of ", block,
                           " (copy-in pads the end with zeros)"));
    }
    const auto zeros = static_cast<std::size_t>(block - over);
    std::memset(staging_->request.buffer().data() + staged_, 0, zeros);
    return staged_ + zeros;
}

std::unique_ptr<Transfer::Chunk> CopyIn::produce() {
    if (end_of_input_ || !fill_staging()) return nullptr;
    if (end_of_input_ && input_.expected && taken_ + staged_ < *input_.expected) {
        throw Failure(
            text(input_.source.name(), " ended after ", taken_ + staged_, " bytes; expected ", *input_.expected));
    }
    if (staged_ == 0) return nullptr;
    const std::size_t bytes = pad_end();
    const std::uint64_t capacity = session_.limits().capacity_bytes;
    const std::uint64_t offset = config_.offset + produced_;
    if (bytes > capacity - offset) {
        too_long_ = true;
        throw Failure(text(input_.source.name(), " is longer than the ", capacity - config_.offset,
                           " bytes that the device has from offset ", config_.offset, " on"));
    }
    hash_.update(std::span(staging_->request.buffer()).first(staged_));
    taken_ += staged_;
    produced_ += bytes;
    staging_->request.prepare(kTypeOut, offset, bytes);
    engine_.restart_timeout();
    return std::move(staging_);
}

void CopyIn::retire() {
    while (done_chunks_ < window_.size() && window_[done_chunks_]->state == Chunk::State::kDone) {
        contiguous_ += window_[done_chunks_]->request.bytes();
        ++done_chunks_;
    }
    if (!session_.limits().flush) durable_ = contiguous_;  // a device without FLUSH has written what it has completed
    const std::uint64_t keep_from = config_.offset + (retain_ ? durable_ : contiguous_);
    while (done_chunks_ > 0 && window_.front()->request.offset() + window_.front()->request.bytes() <= keep_from) {
        pop_front();
        --done_chunks_;
    }
}

bool CopyIn::flush_due() const {
    if (!session_.limits().flush || flush_pending_ || contiguous_ == flush_mark_) return false;
    const bool all_written = end_of_input_ && contiguous_ == produced_;
    return all_written || contiguous_ - flush_mark_ >= kFlushBytes || Clock::now() - last_flush_ >= kFlushInterval ||
           (retain_ && window_full());
}

bool CopyIn::add_extra() {
    return flush_due() && start_flush();
}

bool CopyIn::add_last() {
    retire();
    return session_.limits().flush && !flush_pending_ && contiguous_ > durable_ && start_flush();
}

bool CopyIn::start_flush() {
    flush_.prepare(kTypeFlush, 0, 0);
    if (!engine_.add(flush_)) return false;
    flush_pending_ = true;
    flush_mark_ = contiguous_;
    last_flush_ = Clock::now();
    return true;
}

void CopyIn::extra_done(Request& /*request*/) {
    flush_pending_ = false;
    durable_ = flush_mark_;
    last_flush_ = Clock::now();
    ++flushes_;
}

void CopyIn::lost() {
    flush_pending_ = false;
    for (auto& chunk : window_) {
        // Written but not flushed counts for nothing: the successor need not have it.
        if (!retain_ && chunk->state != Chunk::State::kInFlight) continue;
        chunk->request.prepare(kTypeOut, chunk->request.offset(), chunk->request.bytes());
        chunk->state = Chunk::State::kReady;
    }
    if (!retain_) return;
    contiguous_ = durable_;
    flush_mark_ = durable_;
    done_chunks_ = 0;
}

bool CopyIn::finished() const {
    return end_of_input_ && window_.empty() && contiguous_ == produced_ && durable_ == produced_;
}

bool CopyIn::window_full() const {
    if (window_.size() < 2 * total_depth()) return false;
    return !retain_ || window_.size() * config_.request_bytes >= kMaxRetainedBytes;
}

std::string CopyIn::state_sentence() const {
    const auto total = input_.source.size();
    std::string sentence = text("Safely written: ", safe_bytes(), " bytes", total ? text(" of ", *total) : "",
                                session_.limits().flush ? " (flushed)" : "");
    // To go on, one begins on a whole block: the padded end is all or nothing.
    if (total && safe_bytes() == *total) return sentence + ", all there is";
    if (!input_.advise || too_long_) return sentence;
    return text(sentence, ". To go on from there: --offset ", config_.offset + safe_bytes(), " --skip ",
                input_.skipped + safe_bytes());
}

void CopyIn::describe(tools::Json& json) const {
    Transfer::describe(json);
    json["padding"] = padding();
    json["safe_bytes"] = safe_bytes();
    json["next_offset"] = config_.offset + durable_;
    json["next_skip"] = input_.skipped + safe_bytes();
    json["flushes"] = flushes_;
}

}  // namespace bounce::blk
