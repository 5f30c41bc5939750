/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 * As layout_control_test.c, for bounce/trace.h. */
#include <bounce/trace.h>

#define IS(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#define AT(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field)
#define VALUE(name, value) _Static_assert((name) == (value), #name)

IS(bounce_trace_header, 128);
AT(bounce_trace_header, capacity, 40);
AT(bounce_trace_header, first, 48);
AT(bounce_trace_header, begin_ns, 56);
AT(bounce_trace_header, ended, 88);
AT(bounce_trace_header, turn, 104);
IS(bounce_trace_record, 32);
AT(bounce_trace_record, bytes, 16);
AT(bounce_trace_record, device, 24);
AT(bounce_trace_record, buffer, 28);
AT(bounce_trace_record, kind, 30);
AT(bounce_trace_record, detail, 31);
IS(bounce_trace_status, 64);
VALUE(BOUNCE_TRACE_NO_BLOCK, 9);
VALUE(BOUNCE_TRACE_TOO_LARGE, 3);

int main(void) {
    bounce_trace *trace = NULL;
    bounce_trace_record record;
    bounce_trace_close(NULL);
    return bounce_trace_open(-1, &trace) < 0 && trace == NULL && bounce_trace_read(NULL, &record, 1) < 0 ? 0 : 1;
}
