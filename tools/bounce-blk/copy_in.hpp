// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// From a source onto the device, with a watermark: how much, from the beginning on, is written and flushed.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "tools/bounce-blk/source.hpp"
#include "tools/bounce-blk/transfer.hpp"
#include "tools/common/sha256.hpp"

namespace bounce::blk {

class CopyIn final : public Transfer {
public:
    struct Input {
        Source& source;
        std::uint64_t skipped = 0;  // bytes that the source left out, for the advice how to go on
        std::optional<std::uint64_t> expected = std::nullopt;  // an input that ends earlier is an error
        bool pad = true;     // the end with zeros to a whole block; otherwise that is an error
        bool advise = true;  // say how to go on after a failure (--offset, --skip)
    };

    CopyIn(Session& session, const TransferConfig& config, const Input& input, const tools::Canary& canary,
           tools::Report& report, tools::Progress& progress);

    void describe(tools::Json& json) const override;
    [[nodiscard]] std::uint64_t bytes() const override { return std::min(contiguous_, taken_); }
    [[nodiscard]] std::uint64_t padding() const noexcept { return produced_ - taken_; }
    [[nodiscard]] std::uint32_t flushes() const noexcept { return flushes_; }
    /// Of the bytes of the source. Once, after run().
    std::string sha256() { return hash_.finish(); }

private:
    using Clock = std::chrono::steady_clock;

    std::unique_ptr<Chunk> produce() override;
    void retire() override;
    bool add_extra() override;
    bool add_last() override;
    void extra_done(Request& request) override;
    void lost() override;
    [[nodiscard]] bool finished() const override;
    [[nodiscard]] bool window_full() const override;
    void wait_for_input() override { input_.source.wait(); }
    [[nodiscard]] std::string state_sentence() const override;

    bool fill_staging();
    std::size_t pad_end();
    [[nodiscard]] bool flush_due() const;
    bool start_flush();
    [[nodiscard]] std::uint64_t safe_bytes() const { return std::min(durable_, taken_); }

    const Input input_;
    /// With --reconnect, chunks stay until they are flushed: the successor may have lost them.
    const bool retain_;
    tools::Sha256 hash_;
    std::unique_ptr<Chunk> staging_;
    std::size_t staged_ = 0;  // bytes in it
    bool end_of_input_ = false;
    bool too_long_ = false;       // the input, for the device: there is no going on
    std::uint64_t taken_ = 0;     // bytes from the source
    std::uint64_t produced_ = 0;  // the same, with padding
    std::uint64_t contiguous_ = 0;
    std::uint64_t durable_ = 0;
    std::size_t done_chunks_ = 0;  // at the front of the window: done, not yet flushed
    Request flush_;
    std::uint64_t flush_mark_ = 0;  // what the flush in flight covers; without one, the last did
    bool flush_pending_ = false;    // in flight, or failed: then no later one vouches for what it was to cover
    std::uint32_t flushes_ = 0;
    Clock::time_point last_flush_;
};

}  // namespace bounce::blk
