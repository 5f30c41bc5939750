// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// C++20 over bounce/iotlb.h.
#pragma once

#include <bounce/iotlb.h>
#include <bounce/bounce.hpp>

namespace bounce {

/// Translated addresses of a front-end, which must outlive it.
class IotlbRef {
public:
    explicit IotlbRef(const Frontend& frontend) noexcept : handle_(frontend.handle()) {}

    /// How many requests of the back-end were answered.
    Result<std::size_t> process() noexcept { return detail::counted<std::size_t>(bounce_frontend_process(handle_)); }
    [[nodiscard]] Result<int> requests_fd() const noexcept {
        return detail::counted<int>(bounce_frontend_requests_fd(handle_));
    }
    Result<void> map(std::uint64_t address, std::uint64_t bytes, bounce_iotlb_access access) noexcept {
        return detail::checked(bounce_frontend_iotlb_map(handle_, address, bytes, access));
    }
    Result<void> unmap(std::uint64_t address, std::uint64_t bytes) noexcept {
        return detail::checked(bounce_frontend_iotlb_unmap(handle_, address, bytes));
    }
    [[nodiscard]] Result<bounce_iotlb_info> info() const noexcept {
        bounce_iotlb_info info;
        if (const int status = bounce_frontend_get_iotlb(handle_, &info); status < 0) return Error(-status);
        return info;
    }

private:
    bounce_frontend* handle_;
};

}  // namespace bounce
