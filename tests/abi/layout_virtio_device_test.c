/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 * As layout_test.c, of the structs of virtio_device.h. */
#include <bounce/virtio_device.h>

#define IS(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#define AT(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field)

IS(bounce_guest_region, 32);
AT(bounce_guest_region, gpa, 0);
AT(bounce_guest_region, bytes, 8);
AT(bounce_guest_region, hva, 16);
AT(bounce_guest_region, flags, 24);

IS(bounce_iova_piece, 16);
AT(bounce_iova_piece, gpa, 0);
AT(bounce_iova_piece, bytes, 8);

IS(bounce_virtqueue_options, 96);
AT(bounce_virtqueue_options, name, 8);
AT(bounce_virtqueue_options, queue_size, 16);
AT(bounce_virtqueue_options, flags, 20);
AT(bounce_virtqueue_options, index, 24);
AT(bounce_virtqueue_options, max_chain, 28);
AT(bounce_virtqueue_options, desc_addr, 32);
AT(bounce_virtqueue_options, driver_addr, 40);
AT(bounce_virtqueue_options, device_addr, 48);
AT(bounce_virtqueue_options, avail_index, 56);
AT(bounce_virtqueue_options, used_index, 58);
AT(bounce_virtqueue_options, translate, 64);
AT(bounce_virtqueue_options, translate_user, 72);
AT(bounce_virtqueue_options, violation, 80);
AT(bounce_virtqueue_options, violation_user, 88);

IS(bounce_element_segment, 24);
AT(bounce_element_segment, hva, 0);
AT(bounce_element_segment, gpa, 8);
AT(bounce_element_segment, bytes, 16);

IS(bounce_element, 48);
AT(bounce_element, segments, 0);
AT(bounce_element, max_segments, 8);
AT(bounce_element, n_out, 12);
AT(bounce_element, n_in, 16);
AT(bounce_element, id, 20);
AT(bounce_element, out_bytes, 24);
AT(bounce_element, in_bytes, 32);
AT(bounce_element, life, 40);

IS(bounce_virtqueue_info, 64);
AT(bounce_virtqueue_info, avail_index, 0);
AT(bounce_virtqueue_info, used_index, 2);
AT(bounce_virtqueue_info, outstanding, 4);
AT(bounce_virtqueue_info, popped, 8);
AT(bounce_virtqueue_info, pushed, 16);
AT(bounce_virtqueue_info, broken, 24);
AT(bounce_virtqueue_info, miss_permission, 28);
AT(bounce_virtqueue_info, got, 32);
AT(bounce_virtqueue_info, expected, 40);
AT(bounce_virtqueue_info, miss_iova, 48);
AT(bounce_virtqueue_info, miss_bytes, 56);

int main(void) {
    return bounce_version() == 0;
}
