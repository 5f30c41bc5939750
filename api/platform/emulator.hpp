// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A machine and the devices that are connected to it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "api/platform/machine.hpp"
#include "api/platform/port.hpp"

namespace bounce::emulated {

/// Thread-safe. What is not noexcept may throw std::bad_alloc.
class Emulator {
public:
    Emulator(const Model& model, std::uint32_t granule, std::uint64_t key, bounce_violation_fn report,
             void* user) noexcept
        : machine_(model, granule, key), report_(report), report_user_(user) {}

    [[nodiscard]] Machine& machine() noexcept { return machine_; }
    /// The number of the port. EBADF, ENOTSOCK, EINVAL (another kind of socket), EMFILE.
    Result<std::uint32_t> attach(int socket, const bounce_audience& who);
    /// How many requests were answered.
    Result<std::uint32_t> serve(std::uint32_t timeout_ms);

private:
    Machine machine_;
    const bounce_violation_fn report_;
    void* const report_user_;
    std::mutex serving_;  // one thread at a time answers
    std::mutex lock_;     // of what follows
    std::vector<std::unique_ptr<Port>> ports_;
    std::uint32_t attached_ = 0;  // ever
};

}  // namespace bounce::emulated
