// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a back-end may send on the channel of its requests: any bytes, in pieces. The first byte says how long a piece
// is.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "api/vhost/backend_channel.hpp"
#include "tests/fuzz/fuzz_target.hpp"

using namespace bounce;
using namespace bounce::vhost;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::size_t piece = std::size_t{1} + data[0] % 64;
    BackendChannel channel;
    const auto theirs = channel.open();
    if (!theirs) return 0;
    std::size_t requests = 0;
    for (std::size_t at = 1; at < size;) {
        const std::size_t n = std::min(piece, size - at);
        if (::send((*theirs).get(), data + at, n, MSG_DONTWAIT | MSG_NOSIGNAL) != static_cast<ssize_t>(n)) return 0;
        at += n;
        for (;;) {
            BackendMessage message;
            const auto there = channel.receive(message);
            if (!there && there.code() != EPROTO) std::abort();  // the peer is there and sends bytes only
            if (!there) return 0;
            if (!*there) break;
            // Only what was agreed on is ever handed out, and never more than was sent.
            if (message.request != BackendRequest::kIotlb && message.request != BackendRequest::kConfigChange)
                std::abort();
            if (++requests * sizeof(Header) > at) std::abort();
            const auto replied = channel.reply(message, 0);
            if (!replied && replied.code() != EPROTO) std::abort();
        }
    }
    return 0;
}
