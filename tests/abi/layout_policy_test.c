/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 * As layout_test.c, for bounce/policy.h and bounce/platform.h; the values of their enums are pinned too. */
#include <bounce/policy.h>

#define IS(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#define AT(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field)
#define VALUE(name, value) _Static_assert((name) == (value), #name)

IS(bounce_policy_say, 16);
AT(bounce_policy_say, addresses, 4);
AT(bounce_policy_say, why, 8);

IS(bounce_policy_options, 96);
AT(bounce_policy_options, platform, 8);
AT(bounce_policy_options, transport, 12);
AT(bounce_policy_options, features, 16);
AT(bounce_policy_options, flags, 24);
AT(bounce_policy_options, without_access_platform, 28);
AT(bounce_policy_options, dma_mask, 32);
AT(bounce_policy_options, coherent_dma_mask, 40);
AT(bounce_policy_options, highest_address, 48);
AT(bounce_policy_options, align, 56);
AT(bounce_policy_options, granule, 64);
AT(bounce_policy_options, bounce, 72);
AT(bounce_policy_options, addresses, 76);
AT(bounce_policy_options, hook, 80);
AT(bounce_policy_options, hook_user, 88);

IS(bounce_policy, 392);
AT(bounce_policy, bounce, 4);
AT(bounce_policy, needs, 8);
AT(bounce_policy, address, 12);
AT(bounce_policy, rings, 16);
AT(bounce_policy, private_memory, 20);
AT(bounce_policy, dma_mask, 24);
AT(bounce_policy, coherent_dma_mask, 32);
AT(bounce_policy, align, 40);
AT(bounce_policy, granule, 48);
AT(bounce_policy, rings_text, 56);
AT(bounce_policy, address_text, 64);
AT(bounce_policy, reason, 72);

VALUE(BOUNCE_PLATFORM_XEN_GRANT, 11);
VALUE(BOUNCE_TRANSPORT_VDPA, 4);
VALUE(BOUNCE_LEVEL_REFUSE, 4);
VALUE(BOUNCE_ADDRESS_GRANT, 8);
VALUE(BOUNCE_DECISION_GRANT, 6);
VALUE(BOUNCE_RINGS_PRIVATE, 9);
_Static_assert(BOUNCE_F_VERSION_1 == 0x100000000ull && BOUNCE_F_ACCESS_PLATFORM == 0x200000000ull, "as virtio has them");

int main(void) {
    bounce_policy policy;
    return bounce_policy_decide(NULL, &policy) < 0 && policy.decision == BOUNCE_DECISION_REFUSE ? 0 : 1;
}
