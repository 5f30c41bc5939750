// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The conformance checks, without a test framework: each makes a guest on the platform of a case and says what it
// found.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "tests/conformance/guest.hpp"

namespace bounce::conformance {

class Runner {
public:
    using Check = void (Runner::*)();
    struct NamedCheck {
        const char* name;
        Check check;
    };
    static std::span<const NamedCheck> checks();

    explicit Runner(const Case& rule) : rule_(rule) {}
    /// What is wrong, a sentence each; empty: the library does as the platform demands.
    std::vector<std::string> run(const NamedCheck& named);

private:
    // streaming_checks.cpp
    void to_device();
    void from_device();
    void bidirectional();
    void scatter();
    void stale_token();
    void masks();
    // memory_checks.cpp
    void encoding();
    void coherent();
    void rings();
    void lying_ring();
    void private_memory();
    void outside();
    // limit_checks.cpp
    void boundary();
    void ceiling();
    void scrubbing();
    void quarantine();
    // conversion_checks.cpp
    void content();
    void secrets();
    void unsharing();
    void growth();
    void failing_share();
    void failing_halfway();
    void failing_unshare();
    void failing_iommu();
    void granules();
    void audiences();

    void expect(bool good, const std::string& what) {
        if (!good) findings_.push_back(what);
    }
    void expect_status(int got, int wanted, const char* what);
    /// Ends a guest's pool: all that it shared must be private again, and no conversion may have been out of turn.
    void expect_private_again(const Guest& guest, GuestPool& pool, std::uint64_t lost = 0);
    /// How a device fares that reads, or writes, [address, ...) which is private.
    void expect_private(Guest& guest, std::uint64_t address, std::uint64_t bytes, const char* what);
    Bytes random_bytes(std::size_t n);
    void ring_requests(Guest& guest, const GuestPool& pool, std::uint32_t flags, std::uint32_t exaggerate);

    const Case& rule_;
    std::mt19937_64 random_{0x5eed};
    std::vector<std::string> findings_;
};

}  // namespace bounce::conformance
