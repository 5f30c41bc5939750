// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a VMM asks before it gives a device its first address.
#include <bounce/policy.hpp>
#include <cstdio>

int main() {
    bounce::PolicyOptions device{.platform = BOUNCE_PLATFORM_S390_PV,
                                 .transport = BOUNCE_TRANSPORT_CCW,
                                 .features = BOUNCE_F_VERSION_1,
                                 .flags = 0};
    const auto answer = bounce::decide(device);
    if (!answer) return std::fprintf(stderr, "policy: %s\n", bounce_last_error()), 1;
    std::printf("%s: %s\n", bounce_policy_decision_name(answer->decision), answer->reason);

    // The device is an old one, and its owner says what to do about that:
    device.without_access_platform = BOUNCE_WITHOUT_BOUNCE;
    const auto bounced = bounce::decide(device);
    if (!bounced) return std::fprintf(stderr, "policy: %s\n", bounce_last_error()), 1;
    std::printf("%s: %s\n  address: %s\n", bounce_policy_decision_name(bounced->decision), bounced->reason,
                bounced->address_text);

    // A transport has a say: it may make the answer stricter, never looser.
    device.hook = [](const bounce_policy_options&, bounce_policy_say& say) { say.bounce = BOUNCE_LEVEL_NEVER; };
    const auto loosened = bounce::decide(device);
    std::printf("refused: %s\n", bounce_last_error());
    return answer->decision == BOUNCE_DECISION_REFUSE && bounced->decision == BOUNCE_DECISION_BOUNCED_GPA && !loosened
               ? 0
               : 1;
}
