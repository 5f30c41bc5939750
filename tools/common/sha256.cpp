// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/common/sha256.hpp"

#include <openssl/evp.h>

#include <array>

#include "tools/common/failure.hpp"
#include "tools/common/hex.hpp"

namespace bounce::tools {

struct Sha256::State {
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
    if (!state_->context || EVP_DigestInit_ex(state_->context.get(), EVP_sha256(), nullptr) != 1) {
        throw Failure("libcrypto has no SHA-256");
    }
}

Sha256::~Sha256() = default;

void Sha256::update(std::span<const std::byte> bytes) {
    if (EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()) != 1) throw Failure("SHA-256 failed");
}

std::string Sha256::finish() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned length = 0;
    if (EVP_DigestFinal_ex(state_->context.get(), digest.data(), &length) != 1) throw Failure("SHA-256 failed");
    return to_hex(std::as_bytes(std::span(digest).first(length)));
}

}  // namespace bounce::tools
