/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 * As layout_test.c, of waiting and quotas. */
#include <bounce/quota.h>
#include <bounce/waiting.h>

#define IS(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#define AT(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field)

IS(bounce_wait_options, 56);
AT(bounce_wait_options, buf, 8);
AT(bounce_wait_options, bytes, 16);
AT(bounce_wait_options, direction, 24);
AT(bounce_wait_options, flags, 28);
AT(bounce_wait_options, ready, 32);
AT(bounce_wait_options, user, 40);
AT(bounce_wait_options, event_fd_plus_one, 48);
AT(bounce_wait_options, reserved, 52);

IS(bounce_wait_stats, 40);
AT(bounce_wait_stats, open, 8);
AT(bounce_wait_stats, begun, 16);
AT(bounce_wait_stats, served, 24);
AT(bounce_wait_stats, worst_ns, 32);

IS(bounce_quota, 32);
AT(bounce_quota, ceiling_bytes, 8);
AT(bounce_quota, used_bytes, 16);
AT(bounce_quota, priority, 24);
AT(bounce_quota, reserved, 28);

IS(bounce_reserve, 24);
AT(bounce_reserve, floor_bytes, 8);
AT(bounce_reserve, promised_bytes, 16);

int main(void) {
    return 0;
}
