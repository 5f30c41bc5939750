// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/base/error.hpp"
#include "bounce/bounce.h"

uint32_t bounce_version(void) {
    return uint32_t{BOUNCE_VERSION_MAJOR} << 16 | uint32_t{BOUNCE_VERSION_MINOR} << 8 | BOUNCE_VERSION_PATCH;
}

const char* bounce_last_error(void) {
    return bounce::last_error();
}

const char* bounce_error_text(int code) {
    return bounce::error_text(code);
}
