/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 * Pins the layout of every public struct (64-bit targets): a change here breaks programs that were built before. That this
 * file compiles is the test; that it is C11 and links is another. */
#include <bounce/bounce.h>
#include <bounce/debug.h>
#include <bounce/iotlb.h>
#include <bounce/quarantine.h>
#include <bounce/records.h>
#include <bounce/save.h>
#include <bounce/quota.h>
#include <bounce/waiting.h>
#include <bounce/streaming.h>

#define IS(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#define AT(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field)

_Static_assert(sizeof(void *) == 8, "the layouts below are those of 64-bit targets");

IS(bounce_violation, 40);
AT(bounce_violation, ring, 4);
AT(bounce_violation, got, 8);
AT(bounce_violation, expected, 16);
AT(bounce_violation, device, 24);
AT(bounce_violation, text, 32);

IS(bounce_region_options, 56);
AT(bounce_region_options, bytes, 8);
AT(bounce_region_options, base_gpa, 16);
AT(bounce_region_options, flags, 24);
AT(bounce_region_options, node, 28);
AT(bounce_region_options, hva, 32);
AT(bounce_region_options, fd_plus_one, 40);
AT(bounce_region_options, reserved, 44);
AT(bounce_region_options, fd_offset, 48);

IS(bounce_pool_options, 184);
AT(bounce_pool_options, name, 8);
AT(bounce_pool_options, region, 16);
AT(bounce_pool_options, flags, 72);
AT(bounce_pool_options, reserved, 76);
AT(bounce_pool_options, log, 80);
AT(bounce_pool_options, log_user, 88);
AT(bounce_pool_options, violation, 96);
AT(bounce_pool_options, violation_user, 104);
AT(bounce_pool_options, limit_bytes, 112);
AT(bounce_pool_options, low_watermark, 120);
AT(bounce_pool_options, high_watermark, 128);
AT(bounce_pool_options, growth_base_gpa, 136);
AT(bounce_pool_options, share, 144);
AT(bounce_pool_options, unshare, 152);
AT(bounce_pool_options, share_user, 160);
AT(bounce_pool_options, share_granule, 168);
AT(bounce_pool_options, shrink_delay_ms, 172);
AT(bounce_pool_options, numa_policy, 176);
AT(bounce_pool_options, reserved2, 180);

IS(bounce_region_info, 80);
AT(bounce_region_info, bytes, 8);
AT(bounce_region_info, hva, 16);
AT(bounce_region_info, fd, 24);
AT(bounce_region_info, page_bytes, 28);
AT(bounce_region_info, fd_offset, 32);
AT(bounce_region_info, generation, 40);
AT(bounce_region_info, imported, 44);
AT(bounce_region_info, used_bytes, 48);
AT(bounce_region_info, refused_bytes, 56);
AT(bounce_region_info, state, 64);
AT(bounce_region_info, usable, 68);
AT(bounce_region_info, node, 72);
AT(bounce_region_info, restricted, 76);

IS(bounce_pool_stats, 120);
AT(bounce_pool_stats, used_bytes, 8);
AT(bounce_pool_stats, used_bytes_hiwater, 16);
AT(bounce_pool_stats, slots, 24);
AT(bounce_pool_stats, mappings, 32);
AT(bounce_pool_stats, coherent, 40);
AT(bounce_pool_stats, buffers, 48);
AT(bounce_pool_stats, maps, 56);
AT(bounce_pool_stats, full, 64);
AT(bounce_pool_stats, violations, 72);
AT(bounce_pool_stats, regions, 80);
AT(bounce_pool_stats, grows, 88);
AT(bounce_pool_stats, shrinks, 96);
AT(bounce_pool_stats, quarantined, 104);
AT(bounce_pool_stats, quarantined_bytes, 112);

IS(bounce_device_options, 144);
AT(bounce_device_options, min_align_mask, 88);
AT(bounce_device_options, segment_boundary, 96);
AT(bounce_device_options, max_segments, 104);
AT(bounce_device_options, scrub_at_map, 108);
AT(bounce_device_options, scrub_at_unmap, 109);
AT(bounce_device_options, reserved2, 110);
AT(bounce_device_options, name, 8);
AT(bounce_device_options, dma_mask, 16);
AT(bounce_device_options, coherent_dma_mask, 24);
AT(bounce_device_options, max_segment_bytes, 32);
AT(bounce_device_options, flags, 40);
AT(bounce_device_options, reserved, 44);
AT(bounce_device_options, copy_policy, 48);
AT(bounce_device_options, reuse_policy, 52);
AT(bounce_device_options, reuse_window_bytes, 56);
AT(bounce_device_options, node, 64);
AT(bounce_device_options, numa_policy, 68);
AT(bounce_device_options, debug, 72);
AT(bounce_device_options, regions, 80);
AT(bounce_device_options, policy, 112);
AT(bounce_device_options, translate, 120);
AT(bounce_device_options, untranslate, 128);
AT(bounce_device_options, translate_user, 136);

IS(bounce_mapping, 48);
AT(bounce_mapping, addr, 0);
AT(bounce_mapping, bytes, 8);
AT(bounce_mapping, orig, 16);
AT(bounce_mapping, slot, 24);
AT(bounce_mapping, device, 32);
AT(bounce_mapping, epoch, 36);
AT(bounce_mapping, handle, 40);
AT(bounce_mapping, flags, 44);
AT(bounce_mapping, direction, 46);
AT(bounce_mapping, state, 47);

IS(bounce_map_options, 24);
AT(bounce_map_options, align, 8);
AT(bounce_map_options, flags, 16);
AT(bounce_map_options, reserved, 20);

IS(bounce_segment, 16);
AT(bounce_segment, bytes, 8);

IS(bounce_list, 64);
AT(bounce_list, mappings, 8);
AT(bounce_list, max_mappings, 16);
AT(bounce_list, segments, 24);
AT(bounce_list, max_segments, 32);
AT(bounce_list, n_mappings, 40);
AT(bounce_list, n_segments, 48);
AT(bounce_list, bytes, 56);

IS(bounce_quarantine_info, 88);
AT(bounce_quarantine_info, slots, 64);
AT(bounce_quarantine_info, bytes, 72);
AT(bounce_quarantine_info, device_lives, 80);
AT(bounce_quarantine_info, reserved, 84);

IS(bounce_sg, 24);
AT(bounce_sg, bytes, 8);
AT(bounce_sg, flags, 16);
AT(bounce_sg, offset, 20);

IS(bounce_block, 40);
AT(bounce_block, ptr, 0);
AT(bounce_block, addr, 8);
AT(bounce_block, bytes, 16);
AT(bounce_block, device, 24);
AT(bounce_block, epoch, 28);
AT(bounce_block, handle, 32);
AT(bounce_block, kind, 36);
AT(bounce_block, state, 37);

IS(bounce_ring_options, 32);
AT(bounce_ring_options, queue_size, 8);
AT(bounce_ring_options, flags, 12);
AT(bounce_ring_options, index, 16);
AT(bounce_ring_options, max_chain, 20);
AT(bounce_ring_options, poll_after, 24);
AT(bounce_ring_options, poll_idle, 28);

IS(bounce_ring_request, 24);
AT(bounce_ring_request, cookie, 8);
AT(bounce_ring_request, n_out, 16);
AT(bounce_ring_request, n_in, 20);

IS(bounce_ring_layout, 32);
AT(bounce_ring_layout, avail_addr, 8);
AT(bounce_ring_layout, used_addr, 16);
AT(bounce_ring_layout, queue_size, 24);
AT(bounce_ring_layout, avail_index, 28);
AT(bounce_ring_layout, used_index, 30);

IS(bounce_completion, 24);
AT(bounce_completion, status, 8);
AT(bounce_completion, written, 12);
AT(bounce_completion, reported, 16);

IS(bounce_ring_stats, 56);
AT(bounce_ring_stats, violations, 32);
AT(bounce_ring_stats, outstanding, 40);
AT(bounce_ring_stats, broken, 48);

IS(bounce_frontend_options, 96);
AT(bounce_frontend_options, socket_path, 8);
AT(bounce_frontend_options, name, 16);
AT(bounce_frontend_options, required_features, 24);
AT(bounce_frontend_options, wanted_features, 32);
AT(bounce_frontend_options, refused_features, 40);
AT(bounce_frontend_options, queues, 48);
AT(bounce_frontend_options, queue_size, 52);
AT(bounce_frontend_options, max_chain, 56);
AT(bounce_frontend_options, timeout_ms, 60);
AT(bounce_frontend_options, flags, 64);
AT(bounce_frontend_options, device_type, 68);
AT(bounce_frontend_options, max_segment_bytes, 72);
AT(bounce_frontend_options, policy, 80);
AT(bounce_frontend_options, device, 88);

IS(bounce_iotlb_info, 48);
AT(bounce_iotlb_info, denied_address, 40);

IS(bounce_frontend_info, 48);
AT(bounce_frontend_info, queues, 24);
AT(bounce_frontend_info, max_memory_slots, 36);
AT(bounce_frontend_info, reconnects, 44);

IS(bounce_record, 112);
AT(bounce_record, orig, 16);
AT(bounce_record, kind, 32);
AT(bounce_record, direction, 40);
AT(bounce_record, device, 48);

IS(bounce_debug_options, 32);
AT(bounce_debug_options, report, 8);
AT(bounce_debug_options, sample, 24);

IS(bounce_debug_report, 128);
AT(bounce_debug_report, device, 8);
AT(bounce_debug_report, addr, 16);
AT(bounce_debug_report, map_site, 40);
AT(bounce_debug_report, function, 64);
AT(bounce_debug_report, mapped_ns, 80);
AT(bounce_debug_report, left_out, 112);
AT(bounce_debug_report, text, 120);

IS(bounce_debug_stats, 152);
AT(bounce_debug_stats, watched, 128);
AT(bounce_debug_stats, no_memory, 144);

IS(bounce_saved, 48);
AT(bounce_saved, orig, 24);
AT(bounce_saved, kind, 32);
AT(bounce_saved, state, 44);
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
    return bounce_version() ==
                   ((uint32_t)BOUNCE_VERSION_MAJOR << 16 | BOUNCE_VERSION_MINOR << 8 | BOUNCE_VERSION_PATCH)
               ? 0
               : 1;
}
