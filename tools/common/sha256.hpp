// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// SHA-256 of a stream (libcrypto, included in sha256.cpp only).
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace bounce::tools {

class Sha256 {
public:
    Sha256();
    ~Sha256();
    Sha256(const Sha256&) = delete;
    Sha256& operator=(const Sha256&) = delete;

    void update(std::span<const std::byte> bytes);
    /// 64 hexadecimal digits; ends the stream.
    std::string finish();

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace bounce::tools
