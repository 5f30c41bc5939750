// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Where bytes from the device go, in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tools/bounce-blk/source.hpp"
#include "tools/common/descriptor.hpp"

namespace bounce::blk {

class Sink {
public:
    virtual ~Sink() = default;
    /// offset: where on the device these bytes are.
    virtual void consume(std::span<const std::byte> bytes, std::uint64_t offset) = 0;
    /// For messages: what has become of the bytes given so far, of all that there were to be.
    [[nodiscard]] virtual std::string state(std::uint64_t given, std::uint64_t length) const = 0;
    /// After a failure: could another run go on from here?
    [[nodiscard]] virtual bool can_go_on() const { return true; }
};

/// A file or pipe; "-" is stdout. Without skip the file is emptied first; with it, what is before stays.
class FileSink final : public Sink {
public:
    FileSink(const std::string& path, std::uint64_t skip);
    void consume(std::span<const std::byte> bytes, std::uint64_t offset) override;
    [[nodiscard]] std::string state(std::uint64_t given, std::uint64_t length) const override;

private:
    std::string name_;
    tools::Descriptor owned_;
    int fd_ = -1;
};

/// Compares with what a source says, piece by piece as it comes.
class CompareSink final : public Sink {
public:
    /// while_waiting is called now and then while the source has nothing yet. When it throws, the same bytes may be
    /// given again later: it goes on where it was.
    CompareSink(Source& expected, std::uint64_t length, std::function<void()> while_waiting)
        : expected_(expected), length_(length), while_waiting_(std::move(while_waiting)) {}
    void consume(std::span<const std::byte> bytes, std::uint64_t offset) override;
    [[nodiscard]] std::string state(std::uint64_t given, std::uint64_t length) const override;
    [[nodiscard]] bool can_go_on() const override { return !ended_early_; }

    [[nodiscard]] std::uint64_t compared_bytes() const noexcept { return compared_; }
    [[nodiscard]] std::uint64_t mismatched_bytes() const noexcept { return mismatched_; }
    [[nodiscard]] std::optional<std::uint64_t> first_mismatch() const noexcept { return first_; }

private:
    std::size_t compare_some(std::span<const std::byte> bytes, std::uint64_t offset);

    Source& expected_;
    std::uint64_t length_;
    std::function<void()> while_waiting_;
    std::vector<std::byte> buffer_;
    std::size_t taken_ = 0;  // of the bytes that are being consumed
    bool ended_early_ = false;
    std::uint64_t compared_ = 0;
    std::uint64_t mismatched_ = 0;
    std::optional<std::uint64_t> first_;  // offset on the device
};

}  // namespace bounce::blk
