// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What the target of vhost-user messages is set up with: a back-end, a pool, a policy.
#pragma once

#include <bounce/bounce.h>
#include <bounce/platform.h>
#include <bounce/policy.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace bounce::test {

inline constexpr std::uint32_t kGetConfig = 24;
inline constexpr std::uint32_t kGetVringBase = 11;
inline constexpr std::uint32_t kSetVringCall = 13;
inline constexpr std::uint32_t kSetBackendFd = 21;
inline constexpr std::uint32_t kIotlb = 22;
inline constexpr std::uint32_t kNeedReply = 8;
inline constexpr std::uint64_t kGpa = 1ULL << 40;
inline constexpr std::uint64_t kBytes = 1U << 18;
inline constexpr std::uint64_t kMoreGpa = 2ULL << 40;
inline constexpr std::uint64_t kMoreBytes = 1U << 16;
/// From a GPA to the address that the device has for it.
inline constexpr std::uint64_t kDistance = 1ULL << 30;

constexpr std::uint64_t bit(unsigned n) {
    return std::uint64_t{1} << n;
}

/// What the back-end offers, and what the driver wants.
struct Setup {
    Setup(std::uint8_t byte, std::uint8_t driver)
        : translated((byte & 1) != 0),
          plain((byte & 2) != 0),
          fixed((byte & 4) != 0),
          polls((byte & 8) != 0),
          unanswered((byte & 16) != 0),
          network((byte & 32) != 0),
          bare((byte & 64) != 0),
          split((byte & 128) != 0),
          demanding((driver & 1) != 0),
          lost((driver & 2) != 0),
          many((driver & 4) != 0),
          own_memory((driver & 8) != 0),
          wrong((driver & 16) != 0),
          called((driver & 32) != 0),
          holding((driver & 64) != 0),
          trusted((driver & 128) != 0) {}
    bool translated;
    bool plain;  // no protocol features
    bool fixed;  // no memory slots: one table
    bool polls;
    bool unanswered;  // no REPLY_ACK
    bool network;     // queues in pairs
    bool bare;        // neither configuration nor many queues
    bool split;
    bool demanding;   // wants what nobody offers, first
    bool lost;        // looks where nobody is, first
    bool many;        // wants more queues than there are, first
    bool own_memory;  // the pool is a mapping of its own
    bool wrong;       // also calls what cannot be
    bool called;      // the back-end calls
    bool holding;     // it has a mapping of its own when it closes
    bool trusted;

    [[nodiscard]] std::uint64_t features() const {
        return bit(32) | (split ? 0 : bit(34)) | (plain ? 0 : bit(30)) | bit(29) | bit(28) | (translated ? bit(33) : 0);
    }
    [[nodiscard]] std::uint64_t protocol() const {
        return (bare ? 0 : bit(0) | bit(9)) | (unanswered ? 0 : bit(3)) | (fixed ? 0 : bit(15)) | bit(5);
    }
    [[nodiscard]] std::uint32_t queues() const { return (bare || plain) && !network ? 1 : 2; }
};

[[noreturn]] inline void found(const char* what, const char* where) {
    std::fprintf(stderr, "finding: %s: %s\n", where, what);
    std::abort();
}

inline bounce_policy translated_policy() {
    bounce_policy_options ask{};
    ask.size = sizeof ask;
    ask.platform = BOUNCE_PLATFORM_PLAIN;
    ask.transport = BOUNCE_TRANSPORT_VHOST_USER;
    ask.features = BOUNCE_F_VERSION_1 | BOUNCE_F_ACCESS_PLATFORM;
    ask.flags = BOUNCE_POLICY_IOMMU;
    ask.bounce = BOUNCE_LEVEL_ALWAYS;
    bounce_policy answer{};
    if (bounce_policy_decide(&ask, &answer) != 0) throw std::runtime_error(bounce_last_error());
    return answer;
}

/// Memory that a front-end cannot renew: sealed, so that a back-end may see it.
class OwnMemory {
public:
    OwnMemory() : fd_(::memfd_create("own", MFD_CLOEXEC | MFD_ALLOW_SEALING)) {
        if (fd_ < 0 || ::ftruncate(fd_, kBytes) != 0 || ::fcntl(fd_, F_ADD_SEALS, F_SEAL_SHRINK) != 0)
            throw std::runtime_error("no memory");
        memory_ = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
        if (memory_ == MAP_FAILED) throw std::runtime_error("no mapping");
    }
    OwnMemory(const OwnMemory&) = delete;
    OwnMemory& operator=(const OwnMemory&) = delete;
    ~OwnMemory() {
        ::munmap(memory_, kBytes);
        ::close(fd_);
    }
    void describe(bounce_region_options& region) const {
        region.hva = memory_;
        region.fd_plus_one = fd_ + 1;
    }

private:
    int fd_;
    void* memory_;
};

inline bounce_pool* make_pool(const Setup& setup, const OwnMemory* own) {
    bounce_platform platform{};
    platform.size = sizeof platform;
    if (setup.translated) {
        platform.encoding = BOUNCE_ENCODING_IOVA;
        platform.encoding_value = kDistance;
    }
    bounce_pool_options options{};
    options.size = sizeof options;
    options.region.size = sizeof options.region;
    options.region.bytes = kBytes;
    options.region.base_gpa = kGpa;
    if (own != nullptr) own->describe(options.region);
    bounce_pool* pool = nullptr;
    if (bounce_pool_create_on(&platform, &options, &pool) != 0) throw std::runtime_error(bounce_last_error());
    return pool;
}

}  // namespace bounce::test
