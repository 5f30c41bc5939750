// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Where bytes from the device go, in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tools/bounce-blk/source.hpp"
#include "tools/common/descriptor.hpp"

namespace bounce::blk {

class Sink {
public:
    virtual ~Sink() = default;
    /// offset: where on the device these bytes are.
    virtual void consume(std::span<const std::byte> bytes, std::uint64_t offset) = 0;
    /// For messages: what N bytes have become ("are in 'FILE'").
    [[nodiscard]] virtual std::string fate() const = 0;
};

/// A file or pipe; "-" is stdout. Without skip the file is emptied first; with it, what is before stays.
class FileSink final : public Sink {
public:
    FileSink(const std::string& path, std::uint64_t skip);
    void consume(std::span<const std::byte> bytes, std::uint64_t offset) override;
    [[nodiscard]] std::string fate() const override;

private:
    std::string name_;
    tools::Descriptor owned_;
    int fd_ = -1;
};

/// Compares with what a source says.
class CompareSink final : public Sink {
public:
    explicit CompareSink(Source& expected) : expected_(expected) {}
    void consume(std::span<const std::byte> bytes, std::uint64_t offset) override;
    [[nodiscard]] std::string fate() const override { return "were compared"; }

    [[nodiscard]] std::uint64_t mismatched_bytes() const noexcept { return mismatched_; }
    [[nodiscard]] std::optional<std::uint64_t> first_mismatch() const noexcept { return first_; }

private:
    Source& expected_;
    std::vector<std::byte> buffer_;
    std::uint64_t mismatched_ = 0;
    std::optional<std::uint64_t> first_;  // offset on the device
};

}  // namespace bounce::blk
