// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/common/canary.hpp"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <new>

#include "tools/common/failure.hpp"
#include "tools/common/hex.hpp"

namespace bounce::tools {

Canary::Canary() {
    if (::getrandom(bytes_.data(), bytes_.size(), 0) != static_cast<ssize_t>(bytes_.size())) {
        throw Failure(text("cannot get random bytes for the canary: ", errno_text(errno)));
    }
}

Canary::Canary(std::string_view digits) {
    if (!from_hex(digits, bytes_)) {
        throw UsageError(text("'", digits, "' is not a canary: expected ", 2 * kBytes, " hexadecimal digits"));
    }
}

std::string Canary::hex() const {
    return to_hex(bytes_);
}

GuardedBuffer::GuardedBuffer(const Canary& canary, std::size_t bytes) : canary_(canary.bytes()), bytes_(bytes) {
    if (bytes > std::numeric_limits<std::size_t>::max() / 2) throw std::bad_alloc();
    memory_.reset(static_cast<std::byte*>(::operator new (kAlign + bytes + Canary::kBytes, std::align_val_t{kAlign})));
    std::memcpy(data() - Canary::kBytes, canary_.data(), Canary::kBytes);
    std::memcpy(data() + bytes_, canary_.data(), Canary::kBytes);
}

void GuardedBuffer::fill_with_canary(std::size_t bytes) const noexcept {
    bytes = std::min(bytes, bytes_);
    // Doubling: each step copies all that is there already, in steps that stay in the cache.
    std::size_t filled = std::min(bytes, Canary::kBytes);
    std::memcpy(data(), canary_.data(), filled);
    while (filled < bytes) {
        const std::size_t step = std::min({filled, bytes - filled, std::size_t{4096}});
        std::memcpy(data() + filled, data(), step);
        filled += step;
    }
}

bool GuardedBuffer::intact() const noexcept {
    return std::memcmp(data() - Canary::kBytes, canary_.data(), Canary::kBytes) == 0 &&
           std::memcmp(data() + bytes_, canary_.data(), Canary::kBytes) == 0;
}

}  // namespace bounce::tools
