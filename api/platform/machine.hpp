// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The emulated machine under a guest: who may see which page, and what a device gets that aims at one. Conversions come
// from the library, by the hooks of the platform; accesses from devices, by ports (port.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "allocator/base/error.hpp"
#include "api/platform/cipher.hpp"
#include "api/platform/model.hpp"
#include "api/platform/window.hpp"
#include "bounce/emulator.h"

namespace bounce::emulated {

/// All members are thread-safe. Those that are not noexcept may throw std::bad_alloc, and have changed nothing then.
class Machine {
public:
    Machine(const Model& model, std::uint32_t granule, std::uint64_t key) noexcept
        : model_(model), granule_(granule), cipher_(key) {}

    Result<void> platform(const bounce_audience& audience, bounce_platform& platform);
    Result<void> add_memory(std::uint64_t gpa, void* hva, std::uint64_t bytes);
    Result<void> remove_memory(std::uint64_t gpa) noexcept;
    void fail_on_demand(const bounce_failure& failure) noexcept;
    void fail_no_more() noexcept;
    [[nodiscard]] bounce_emulator_stats stats() const noexcept;
    /// Shared, and to be unshared some day.
    [[nodiscard]] std::uint64_t used_bytes() const noexcept;

    /// Where an address of a device leads.
    struct Target {
        enum class Kind : std::uint8_t { kNothing, kShared, kPrivate };
        Kind kind = Kind::kNothing;
        std::uint64_t bytes = 0;  // from there on that are alike
        const Window* window = nullptr;
        std::uint64_t offset = 0;  // in the window's file
        std::uint64_t gpa = 0;
        std::byte* hva = nullptr;  // of private memory, if it is known
    };
    /// `who` sees what is shared with everyone, and with it. What is private and must not be accessed so is nothing.
    Target find(const bounce_audience& who, std::uint64_t address, bool write) noexcept;
    /// What a device gets out of private memory, at most of one call's bytes, or makes of it. False: it is nothing.
    bool read_private(const bounce_audience& who, std::uint64_t address, std::byte* to, std::uint64_t bytes) noexcept;
    bool write_private(const bounce_audience& who, std::uint64_t address, const std::byte* from,
                       std::uint64_t bytes) noexcept;
    void count_fault() noexcept;

private:
    /// A window with what the hooks need: they are told of no more than this.
    struct View {
        View(Machine& of, const bounce_audience& audience) noexcept : machine(of), window(audience) {}
        Machine& machine;
        Window window;
    };
    struct Memory {
        std::uint64_t gpa;
        std::uint64_t bytes;
        std::byte* hva;  // nullptr: it was the pool's, and may be gone
    };
    struct Mapping {
        std::uint64_t address;
        std::uint64_t gpa;
        std::uint64_t bytes;
    };
    struct Plan {
        bool active = false;
        bounce_failure failure{};
        std::uint32_t seen = 0;
    };

    template <bounce_conversion what>
    static int hook(void* user, const bounce_range* range, const bounce_audience* audience) noexcept;
    int convert(View& view, bounce_conversion what, const bounce_range& range);
    int change(View& view, bounce_conversion what, const bounce_range& range);
    int share(View& view, const bounce_range& range);
    int unshare(View& view, const bounce_range& range);
    int map(const bounce_range& range);
    int unmap(const bounce_range& range);
    std::vector<std::byte> convert_content(const bounce_range& range, bool to_shared) const;
    int planned_failure(bounce_conversion what, const bounce_range& range) noexcept;
    [[nodiscard]] bool shared(std::uint64_t gpa, std::uint64_t bytes) const noexcept;
    [[nodiscard]] Target find_locked(const bounce_audience& who, std::uint64_t address, bool write) const noexcept;
    [[nodiscard]] Target find_page(const bounce_audience& who, std::uint64_t gpa, bool as_shared) const noexcept;

    const Model& model_;
    const std::uint32_t granule_;
    const Cipher cipher_;
    mutable std::mutex lock_;
    std::vector<std::unique_ptr<View>> views_;
    std::vector<Memory> memory_;  // private
    std::vector<Mapping> iommu_;
    Plan plans_[4];
    bounce_emulator_stats stats_{};
};

}  // namespace bounce::emulated
