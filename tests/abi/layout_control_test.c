/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 * As layout_test.c, for bounce/control.h and bounce/stats.h: what is on the wire and in a segment has no holes, and stays where
 * it is. */
#include <bounce/control.h>
#include <bounce/stats.h>

#define IS(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#define AT(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field)
#define VALUE(name, value) _Static_assert((name) == (value), #name)

IS(bounce_control_options, 48);
AT(bounce_control_options, path, 8);
AT(bounce_control_options, listen_fd_plus_one, 16);
AT(bounce_control_options, flags, 20);
AT(bounce_control_options, vm_name, 24);
AT(bounce_control_options, vm_uuid, 32);
AT(bounce_control_options, publish_ms, 40);

IS(bounce_control_request, 56);
AT(bounce_control_request, items, 8);
AT(bounce_control_request, tag, 16);
AT(bounce_control_request, arg, 24);
IS(bounce_control_reply, 56);
AT(bounce_control_reply, status, 8);
AT(bounce_control_reply, tag, 24);
AT(bounce_control_reply, next, 32);
AT(bounce_control_reply, total, 48);
IS(bounce_control_hello, 208);
IS(bounce_control_info, 160);
IS(bounce_control_tunable, 376);
AT(bounce_control_tunable, value, 120);
AT(bounce_control_tunable, choices, 152);
IS(bounce_control_item, 64);
AT(bounce_control_item, value, 48);
IS(bounce_control_held, 120);
AT(bounce_control_held, kind, 40);
IS(bounce_control_chunk, 40);
IS(bounce_control_problem, 128);
IS(bounce_control_event, 112);
AT(bounce_control_event, kind, 40);
VALUE(BOUNCE_CONTROL_TRACE, 13);
VALUE(BOUNCE_EVENT_TRACE, 9);
VALUE(BOUNCE_CONTROL_NO_TAGS, 2);
VALUE(BOUNCE_CONTROL_DRAIN, 12);
VALUE(BOUNCE_CONTROL_ADD_REGION, 14);
VALUE(BOUNCE_CONTROL_REVOKE, 16);
VALUE(BOUNCE_EVENT_DRAIN, 8);
VALUE(BOUNCE_EVENT_REVOKE, 12);

IS(bounce_stats_directory, 48);
IS(bounce_stats_header, 896);
AT(bounce_stats_header, epoch, 32);
AT(bounce_stats_header, directory, 128);
IS(bounce_stats_pool, 376);
AT(bounce_stats_pool, bytes, 168);
IS(bounce_stats_region, 96);
IS(bounce_stats_class, 56);
IS(bounce_stats_device, 224);
AT(bounce_stats_device, maps, 72);
IS(bounce_stats_ring, 80);
IS(bounce_stats_histogram, 552);
VALUE(BOUNCE_STATS_HISTOGRAMS, 6);
VALUE(BOUNCE_STATS_WAIT, 4);

int main(void) {
    bounce_stats_view *view = NULL;
    return bounce_stats_open(-1, &view) < 0 && view == NULL && bounce_control_destroy(NULL) == 0 ? 0 : 1;
}
