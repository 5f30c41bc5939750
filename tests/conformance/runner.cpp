// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tests/conformance/runner.hpp"

#include <cerrno>
#include <stdexcept>

namespace bounce::conformance {

std::span<const Runner::NamedCheck> Runner::checks() {
    static constexpr NamedCheck kChecks[] = {
        {"to_device", &Runner::to_device},
        {"from_device", &Runner::from_device},
        {"bidirectional", &Runner::bidirectional},
        {"scatter", &Runner::scatter},
        {"stale_token", &Runner::stale_token},
        {"masks", &Runner::masks},
        {"encoding", &Runner::encoding},
        {"coherent", &Runner::coherent},
        {"rings", &Runner::rings},
        {"lying_ring", &Runner::lying_ring},
        {"private_memory", &Runner::private_memory},
        {"outside", &Runner::outside},
        {"boundary", &Runner::boundary},
        {"ceiling", &Runner::ceiling},
        {"scrubbing", &Runner::scrubbing},
        {"quarantine", &Runner::quarantine},
        {"content", &Runner::content},
        {"secrets", &Runner::secrets},
        {"unsharing", &Runner::unsharing},
        {"growth", &Runner::growth},
        {"failing_share", &Runner::failing_share},
        {"failing_halfway", &Runner::failing_halfway},
        {"failing_unshare", &Runner::failing_unshare},
        {"failing_iommu", &Runner::failing_iommu},
        {"granules", &Runner::granules},
        {"audiences", &Runner::audiences},
    };
    return kChecks;
}

std::vector<std::string> Runner::run(const NamedCheck& named) {
    findings_.clear();
    try {
        (this->*named.check)();
    } catch (const GiveUp& up) {
        findings_.push_back(up.why);
    } catch (const std::runtime_error& error) {
        findings_.push_back(error.what());
    }
    return findings_;
}

void Runner::expect_status(int got, int wanted, const char* what) {
    if (got != wanted)
        findings_.push_back(std::string(what) + ": " + std::to_string(got) + ", expected " + std::to_string(wanted) +
                            (got < 0 ? std::string(" (") + bounce_last_error() + ")" : ""));
}

void Runner::expect_private_again(const Guest& guest, GuestPool& pool, std::uint64_t lost) {
    expect_status(pool.close(), 0, "closing the pool");
    const bounce_emulator_stats stats = guest.stats();
    expect(stats.shared_bytes == lost,
           std::to_string(stats.shared_bytes) + " bytes are shared without a pool, expected " + std::to_string(lost));
    expect(lost != 0 || stats.mapped_bytes == 0,
           std::to_string(stats.mapped_bytes) + " bytes are in the IOMMU without a pool");
    expect(stats.mistakes == 0, std::to_string(stats.mistakes) + " conversions were out of turn");
}

void Runner::expect_private(Guest& guest, std::uint64_t address, std::uint64_t bytes, const char* what) {
    Bytes got(bytes);
    const std::size_t faults = guest.faults().size();
    // What is behind an IOMMU is nothing at all once it is not mapped.
    const bool reads = rule_.reads == Private::kFault;
    const bool writes = rule_.writes == Private::kFault;
    expect_status(guest.device().read(address, got), reads ? -EFAULT : 0, what);
    expect_status(guest.device().write(address, Bytes(bytes, std::byte{0xee})), writes ? -EFAULT : 0, what);
    expect(guest.faults().size() == faults + (reads ? 1 : 0) + (writes ? 1 : 0),
           std::string(what) + ": not every fault was reported");
}

Bytes Runner::random_bytes(std::size_t n) {
    Bytes bytes(n);
    for (std::byte& one : bytes) one = static_cast<std::byte>(random_());
    return bytes;
}

}  // namespace bounce::conformance
