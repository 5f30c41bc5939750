/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 * As layout_test.c, of the structs of platform.h and emulator.h. */
#include <bounce/emulator.h>

#define IS(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#define AT(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field)

IS(bounce_audience, 16);
AT(bounce_audience, kind, 0);
AT(bounce_audience, reserved, 4);
AT(bounce_audience, id, 8);

IS(bounce_range, 32);
AT(bounce_range, gpa, 0);
AT(bounce_range, address, 8);
AT(bounce_range, hva, 16);
AT(bounce_range, bytes, 24);

IS(bounce_platform, 96);
AT(bounce_platform, kind, 8);
AT(bounce_platform, flags, 12);
AT(bounce_platform, granule, 16);
AT(bounce_platform, encoding, 20);
AT(bounce_platform, encoding_value, 24);
AT(bounce_platform, audience, 32);
AT(bounce_platform, share, 48);
AT(bounce_platform, unshare, 56);
AT(bounce_platform, iommu_map, 64);
AT(bounce_platform, iommu_unmap, 72);
AT(bounce_platform, locate, 80);
AT(bounce_platform, user, 88);

IS(bounce_emulator_options, 32);
AT(bounce_emulator_options, model, 8);
AT(bounce_emulator_options, granule, 12);
AT(bounce_emulator_options, violation, 16);
AT(bounce_emulator_options, violation_user, 24);

IS(bounce_failure, 40);
AT(bounce_failure, conversion, 8);
AT(bounce_failure, flags, 12);
AT(bounce_failure, nth, 16);
AT(bounce_failure, error, 20);
AT(bounce_failure, gpa, 24);
AT(bounce_failure, bytes, 32);

IS(bounce_emulator_stats, 88);
AT(bounce_emulator_stats, mapped_bytes, 8);
AT(bounce_emulator_stats, conversions, 16);
AT(bounce_emulator_stats, failures, 48);
AT(bounce_emulator_stats, mistakes, 56);
AT(bounce_emulator_stats, faults, 64);
AT(bounce_emulator_stats, ciphertext_reads, 72);
AT(bounce_emulator_stats, garbled_writes, 80);

int main(void) {
    return bounce_version() == 0;
}
