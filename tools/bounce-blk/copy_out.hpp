// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// From the device into a sink.
#pragma once

#include <memory>
#include <string>

#include "tools/bounce-blk/sink.hpp"
#include "tools/bounce-blk/transfer.hpp"
#include "tools/common/sha256.hpp"

namespace bounce::blk {

class CopyOut final : public Transfer {
public:
    struct Output {
        Sink& sink;
        std::uint64_t length = 0;   // bytes
        std::uint64_t skipped = 0;  // where in the file the first byte goes, for the advice how to go on
        bool advise = true;         // say how to go on after a failure (--offset, --skip)
    };

    CopyOut(Session& session, const TransferConfig& config, const Output& output, const tools::Canary& canary,
            tools::Report& report, tools::Progress& progress);

    void describe(tools::Json& json) const override;
    [[nodiscard]] std::uint64_t bytes() const override { return given_; }
    /// Of the bytes that went into the sink. Once, after run().
    std::string sha256() { return hash_.finish(); }

private:
    std::unique_ptr<Chunk> produce() override;
    void retire() override;
    void lost() override;
    [[nodiscard]] bool finished() const override { return given_ == output_.length; }
    [[nodiscard]] bool window_full() const override { return window_.size() >= 2 * total_depth(); }
    [[nodiscard]] std::string state_sentence() const override;

    const Output output_;
    tools::Sha256 hash_;
    std::uint64_t asked_ = 0;  // bytes that chunks were made for
    std::uint64_t given_ = 0;  // bytes in the sink
};

}  // namespace bounce::blk
