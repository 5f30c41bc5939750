// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/components/jemalloc/failure.hpp"

#include <cstdarg>
#include <cstdio>

#include "bounce/bounce.h"

namespace bounce::jemalloc_component {
namespace {

thread_local char t_sentence[256];  // trivial: nothing runs when a thread ends

}  // namespace

int fail(int code, const char* format, ...) noexcept {
    std::va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(t_sentence, sizeof t_sentence, format, arguments);
    va_end(arguments);
    return -code;
}

int hand_on(int status) noexcept {
    std::snprintf(t_sentence, sizeof t_sentence, "%s", bounce_last_error());
    return status;
}

const char* last_error() noexcept {
    return t_sentence;
}

}  // namespace bounce::jemalloc_component
