// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Canaries: 32 bytes that stand in front of and behind every private buffer of a tool, and fill the buffers that a
// device is to write, before they are mapped. They are private: found in the pool, they prove that something private
// went there; changed, they prove that a copy ran over.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace bounce::tools {

class Canary {
public:
    static constexpr std::size_t kBytes = 32;

    /// A random one.
    Canary();
    /// From 64 hexadecimal digits. Throws UsageError.
    explicit Canary(std::string_view digits);

    [[nodiscard]] std::span<const std::byte, kBytes> bytes() const noexcept { return bytes_; }
    [[nodiscard]] std::string hex() const;

private:
    std::array<std::byte, kBytes> bytes_{};
};

/// A private buffer with a canary at both ends.
class GuardedBuffer {
public:
    static constexpr std::size_t kAlign = 64;

    GuardedBuffer(const Canary& canary, std::size_t bytes);

    [[nodiscard]] std::byte* data() const noexcept { return memory_.get() + kAlign; }
    [[nodiscard]] std::size_t size() const noexcept { return bytes_; }
    [[nodiscard]] std::span<std::byte> span() const noexcept { return {data(), bytes_}; }

    /// Fills the first so many bytes with the canary, over and over.
    void fill_with_canary(std::size_t bytes) const noexcept;
    /// Are both canaries as they were?
    [[nodiscard]] bool intact() const noexcept;

private:
    struct Free {
        void operator()(std::byte* memory) const noexcept { ::operator delete (memory, std::align_val_t{kAlign}); }
    };

    std::span<const std::byte, Canary::kBytes> canary_;
    std::size_t bytes_;
    std::unique_ptr<std::byte, Free> memory_;
};

}  // namespace bounce::tools
