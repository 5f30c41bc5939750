// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A device that is made of an answer of the policy function: a back-end that is trusted, but takes addresses of 32
// bits. Its buffers go as they are where that reaches, and bounce where it does not.
#include <bounce/policy.hpp>
#include <cerrno>
#include <cstdio>

namespace {

// The guest's memory: the first half is below 4 GiB, the other one above.
constexpr std::uint64_t kGuestBase = 0xffff'8000;
alignas(4096) char guest[64 * 1024];

int guest_address(void*, const void* buf, std::size_t bytes, int, std::uint64_t* address) {
    const auto* at = static_cast<const char*>(buf);
    if (at < guest || at + bytes > guest + sizeof guest) return -ENXIO;
    *address = kGuestBase + static_cast<std::uint64_t>(at - guest);
    return 0;
}

int fail() {
    std::fprintf(stderr, "direct: %s\n", bounce_last_error());
    return 1;
}

}  // namespace

int main() {
    const auto policy = bounce::decide({.platform = BOUNCE_PLATFORM_PLAIN,
                                        .transport = BOUNCE_TRANSPORT_VHOST_USER,
                                        .features = BOUNCE_F_VERSION_1,
                                        .flags = BOUNCE_POLICY_TRUSTED,
                                        .dma_mask = UINT32_MAX});
    if (!policy) return fail();
    std::printf("%s (%s): %s\n", bounce_policy_decision_name(policy->decision),
                bounce_policy_level_name(policy->bounce), policy->reason);

    auto pool = bounce::Pool::create({.region = {.bytes = 1u << 20, .base_gpa = 0x10'0000}});
    if (!pool) return fail();
    auto device = pool->create_device({.policy = &*policy, .translate = guest_address});
    if (!device) return fail();

    auto low = device->map(guest, 4096, bounce::Direction::kToDevice);
    auto high = device->map(guest + 40 * 1024, 4096, bounce::Direction::kToDevice);
    if (!low || !high) return fail();
    std::printf("below 4 GiB: 0x%llx, as it is\n", static_cast<unsigned long long>(low->addr()));
    std::printf("above:       0x%llx, a slot\n", static_cast<unsigned long long>(high->addr()));
    return low->addr() == kGuestBase && high->addr() < 0x20'0000 ? 0 : 1;
}
