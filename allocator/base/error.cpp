// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/base/error.hpp"

#include <pthread.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace bounce {
namespace {

struct LastError {
    int code;
    const char* format;  // nullptr: text is already expanded
    unsigned long long argument[4];
    char text[512];
};

// Initial-exec, so that a dlopened library takes 8 bytes of the static TLS block and no more.
[[gnu::tls_model("initial-exec")]] thread_local LastError* t_last = nullptr;
// Without memory for the text, the code alone is kept, encoded in the pointer's place.
[[gnu::tls_model("initial-exec")]] thread_local int t_code = 0;

// At the end of a thread. A failure in a later destructor of that thread makes a new record.
void forget(void* last) noexcept {
    t_last = nullptr;
    std::free(last);
}

pthread_once_t g_message_once = PTHREAD_ONCE_INIT;
pthread_key_t g_message_key;
bool g_have_key = false;

LastError* slot() noexcept {
    if (t_last != nullptr) return t_last;
    pthread_once(&g_message_once, [] { g_have_key = pthread_key_create(&g_message_key, forget) == 0; });
    if (!g_have_key) return nullptr;
    auto* fresh = static_cast<LastError*>(std::calloc(1, sizeof(LastError)));
    if (fresh == nullptr) return nullptr;
    if (pthread_setspecific(g_message_key, fresh) != 0) {
        std::free(fresh);
        return nullptr;
    }
    return t_last = fresh;
}

}  // namespace

Error fail(int code, const char* format, std::uint64_t a, std::uint64_t b, std::uint64_t c, std::uint64_t d) noexcept {
    t_code = code;
    if (LastError* last = slot()) {
        last->code = code;
        last->format = format;
        last->argument[0] = a;
        last->argument[1] = b;
        last->argument[2] = c;
        last->argument[3] = d;
    }
    return Error(code);
}

Error fail_text(int code, const char* format, ...) noexcept {
    t_code = code;
    if (LastError* last = slot()) {
        last->code = code;
        last->format = nullptr;
        va_list arguments;
        va_start(arguments, format);
        std::vsnprintf(last->text, sizeof last->text, format, arguments);
        va_end(arguments);
    }
    return Error(code);
}

const char* last_error() noexcept {
    LastError* last = t_last;
    if (last == nullptr) return t_code == 0 ? "" : error_text(t_code);
    if (last->format != nullptr) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        std::snprintf(last->text, sizeof last->text, last->format, last->argument[0], last->argument[1],
                      last->argument[2], last->argument[3]);
#pragma GCC diagnostic pop
        last->format = nullptr;
    }
    return last->text;
}

const char* error_text(int code) noexcept {
    switch (code < 0 ? -code : code) {
        case 0: return "no error";
        case EINVAL: return "invalid argument";
        case ENOMEM: return "out of private memory";
        case ENOSPC: return "the pool is full";
        case EDQUOT: return "beyond the ceiling of the device";
        case E2BIG: return "larger than any region of the pool can hold";
        case ERANGE: return "no memory below the device's address mask";
        case EDOM: return "it would cross the device's segment boundary";
        case EFAULT: return "not an address that was handed out";
        case EALREADY: return "the token is not live";
        case ESTALE: return "the token is stale";
        case EXDEV: return "the token belongs to another device or pool";
        case EPERM: return "wrong kind or direction";
        case EBUSY: return "still in use";
        case EAGAIN: return "the ring is full, or the wait is not over";
        case EPROTO: return "the device broke the protocol";
        case ECONNRESET: return "the device is gone";
        case ETIMEDOUT: return "the device did not answer in time, or no memory came in time";
        case ECANCELED: return "cancelled";
        case ENOTSUP: return "not supported by the device or the pool";
        case EOWNERDEAD: return "this process is a forked child; the pool stayed with its parent";
        case ENOENT: return "no such socket";
        case ENOTSOCK: return "not a socket";
        case EPROTOTYPE: return "a socket of another type";
        case ENAMETOOLONG: return "the socket's path is too long";
        case ECONNREFUSED: return "nobody listens on the socket";
        case EACCES: return "permission denied";
        default: return "system error";
    }
}

}  // namespace bounce
