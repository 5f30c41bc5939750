// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Where bytes for the device come from, in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "tools/common/descriptor.hpp"

namespace bounce::blk {

class Source {
public:
    virtual ~Source() = default;

    /// Some bytes, at least one; 0 at the end; nullopt: nothing there yet (a pipe), try again later.
    virtual std::optional<std::size_t> read_some(std::span<std::byte> into) = 0;
    /// Waits a short while for read_some() to have something.
    virtual void wait() {}
    /// How many bytes there will be; nullopt when only the end will tell.
    [[nodiscard]] virtual std::optional<std::uint64_t> size() const = 0;
    /// For messages.
    [[nodiscard]] virtual const std::string& name() const = 0;
};

/// Fills all of `into` unless the end comes before. Waits. Returns what there was.
std::size_t read_full(Source& source, std::span<std::byte> into);

/// A file, block device or pipe; "-" is stdin. Leaves out `skip` bytes at the beginning and ends after `limit`.
class FileSource final : public Source {
public:
    FileSource(const std::string& path, std::uint64_t skip, std::optional<std::uint64_t> limit);

    std::optional<std::size_t> read_some(std::span<std::byte> into) override;
    void wait() override;
    [[nodiscard]] std::optional<std::uint64_t> size() const override { return size_; }
    [[nodiscard]] const std::string& name() const override { return name_; }

private:
    void find_size(std::uint64_t skip);
    void skip_by_reading(std::uint64_t bytes);

    std::string name_;
    tools::Descriptor owned_;
    int fd_ = -1;
    bool may_block_ = false;
    std::optional<std::uint64_t> size_;
    std::optional<std::uint64_t> left_;  // of the limit
};

/// Bytes that depend on the seed and on where they are on the device: a block that went to the wrong place shows.
class PatternSource final : public Source {
public:
    PatternSource(std::uint64_t seed, std::uint64_t offset, std::uint64_t bytes);

    std::optional<std::size_t> read_some(std::span<std::byte> into) override;
    [[nodiscard]] std::optional<std::uint64_t> size() const override { return size_; }
    [[nodiscard]] const std::string& name() const override { return name_; }

private:
    std::string name_ = "the pattern";
    std::uint64_t seed_;
    std::uint64_t at_;
    std::uint64_t end_;
    std::uint64_t size_;
};

}  // namespace bounce::blk
