// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A back-end that answers the front-end's requests with what the fuzzer's bytes make of the right answer. One byte for
// each request says what is done: bits 0-1: 0 the right answer, otherwise changes, each of two bytes (offset, value),
// as many as bits 2-3 say; bit 4: cut off after so many bytes (another byte), and the end of the connection; bit 5:
// more bytes than there should be; bit 6: descriptors come with it; bit 7: no answer, but the end of the connection.
// After the last byte all answers are right.
//
// Found are: a call that succeeds though an answer to it was no answer to it, and descriptors that stay open.
#include <bounce/bounce.h>
#include <bounce/virtio.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <stdexcept>
#include <vector>

#include "tests/fuzz/fuzz_target.hpp"
#include "tests/support/temp_folder.hpp"
#include "tests/unit/api/vhost/fake_backend.hpp"

namespace {

using bounce::test::FakeBackend;
using bounce::test::Message;
using bounce::test::Peer;

constexpr std::uint32_t kGetConfig = 24;
constexpr std::uint32_t kGetVringBase = 11;
constexpr std::uint32_t kNeedReply = 8;

[[noreturn]] void found(const char* what, const char* where) {
    std::fprintf(stderr, "finding: %s: %s\n", where, what);
    std::abort();
}

class Liar {
public:
    explicit Liar(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

    void answer(Peer& peer, Message& message) {
        if (peer.fd() < 0) return;
        std::vector<unsigned char> reply = right_answer(message);
        const std::uint8_t what = next();
        if ((what & 0x80) != 0) return peer.close();
        if (reply.empty()) return;
        if ((what & 3) == 0) {
            peer.raw(reply.data(), reply.size());
            return;
        }
        const std::vector<unsigned char> right = reply;
        for (int i = what >> 2 & 3; i > 0; --i) {
            const std::size_t at = next() % reply.size();
            reply[at] = next();
        }
        const bool cut = (what & 0x10) != 0;
        if (cut) reply.resize(next() % reply.size());
        if ((what & 0x20) != 0) reply.resize(reply.size() + 1 + next() % 64);
        const std::vector<int> descriptors((what & 0x40) != 0 ? std::size_t{1} + (what & 3) : 0, peer.fd());
        // No answer: of another request, version, kind or size, cut off, with descriptors; or of another place. (One
        // that is too long is noticed at the next request.)
        const std::size_t same = message.request == kGetConfig ? 20 : message.request == kGetVringBase ? 16 : 12;
        const auto is_answer = [&] {
            if (reply.size() < right.size() || !descriptors.empty()) return false;
            std::uint32_t flags = 0;
            std::memcpy(&flags, reply.data() + 4, sizeof flags);
            return std::memcmp(reply.data(), right.data(), 4) == 0 && (flags & 7) == 5 &&
                   std::memcmp(reply.data() + 8, right.data() + 8, same - 8) == 0;
        };
        if (!is_answer()) lied_ = true;
        if (!reply.empty()) peer.raw(reply.data(), reply.size(), descriptors);
        if (cut) peer.close();
    }
    /// Since the last call: was there an answer that is none?
    bool lied() { return lied_.exchange(false); }

private:
    std::uint8_t next() {
        if (bytes_.empty()) return 0;
        const std::uint8_t byte = bytes_.front();
        bytes_ = bytes_.subspan(1);
        return byte;
    }

    static std::vector<unsigned char> right_answer(const Message& message) {
        std::vector<unsigned char> payload;
        const auto number = [&](std::uint64_t value) {
            payload.resize(sizeof value);
            std::memcpy(payload.data(), &value, sizeof value);
        };
        switch (message.request) {
            case 1: number(1ULL << 32 | 1ULL << 34 | 1ULL << 30 | 1ULL << 29 | 1ULL << 28); break;
            case 15: number(1U << 0 | 1U << 3 | 1U << 9 | 1U << 15); break;
            case 17: number(2); break;
            case 36: number(32); break;
            case kGetVringBase: number(message.u32(0)); break;
            case kGetConfig: payload = message.payload; break;
            default:
                if ((message.flags & kNeedReply) == 0) return {};
                number(0);
        }
        std::vector<unsigned char> all(12);
        const std::uint32_t header[3] = {message.request, 1 | 4, static_cast<std::uint32_t>(payload.size())};
        std::memcpy(all.data(), header, sizeof header);
        all.insert(all.end(), payload.begin(), payload.end());
        return all;
    }

    std::span<const std::uint8_t> bytes_;  // only by the thread that answers, once it runs
    std::atomic<bool> lied_{false};
};

/// What a driver does with a front-end, from the connection to its end.
void drive(bounce_pool* pool, const char* path, Liar& liar) {
    const auto check = [&](int result, const char* where) {
        if (liar.lied() && result == 0) found("an answer that is none was taken", where);
        return result == 0;
    };
    bounce_frontend_options options{};
    options.size = sizeof options;
    options.socket_path = path;
    options.wanted_features = 1ULL << 34;
    options.queues = 2;
    options.queue_size = 4;
    options.flags = BOUNCE_FRONTEND_CALLS;
    bounce_frontend* frontend = nullptr;
    if (!check(bounce_frontend_connect(pool, &options, &frontend), "connect")) return;
    unsigned char config[8] = {};
    static_cast<void>(check(bounce_frontend_read_config(frontend, 4, config, sizeof config), "read_config"));
    static_cast<void>(check(bounce_frontend_write_config(frontend, 4, config, sizeof config), "write_config"));
    const bounce_sg sg{config, sizeof config, 0, 0};
    bounce_ring* const ring = bounce_frontend_ring(frontend, 1);
    bounce_ring_add(ring, &sg, 1, 0, nullptr);
    bounce_frontend_submit(frontend, 1);
    bounce_frontend_kick(frontend, 1);
    bounce_frontend_wait(frontend, 1, 0);
    bounce_region_options more{};
    more.size = sizeof more;
    more.bytes = 1U << 16;
    more.base_gpa = 2ULL << 40;
    if (bounce_pool_add_region(pool, &more) == 0) {
        static_cast<void>(check(bounce_frontend_sync_regions(frontend), "sync_regions"));
        bounce_pool_drain_region(pool, 1);
        static_cast<void>(check(bounce_frontend_sync_regions(frontend), "sync_regions"));
    }
    bounce_frontend_check(frontend);
    bounce_frontend_disconnect(frontend);
    bounce_completion completion{};
    while (bounce_ring_abort(ring, &completion, 1) > 0) {
    }
    static_cast<void>(liar.lied());
    static_cast<void>(check(bounce_frontend_reconnect(frontend), "reconnect"));
    if (bounce_frontend_close(frontend) == -EBUSY) found("it is still in use", "close");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const bounce::test::TempFolder folder;
    static const std::string path = folder / "s";
    const std::size_t before = bounce::test::open_descriptors();
    {
        Liar liar(std::span(data, size));
        FakeBackend backend(path);
        for (std::uint32_t request = 1; request <= 38; ++request)
            backend.instead[request] = [&liar](Peer& peer, Message& message) { liar.answer(peer, message); };
        backend.start();
        bounce_pool_options options{};
        options.size = sizeof options;
        options.region.size = sizeof options.region;
        options.region.bytes = 1U << 18;
        options.region.base_gpa = 1ULL << 40;
        bounce_pool* pool = nullptr;
        if (bounce_pool_create(&options, &pool) != 0) throw std::runtime_error(bounce_last_error());
        drive(pool, path.c_str(), liar);
        bounce_pool_stats stats{};
        bounce_pool_get_stats(pool, &stats);
        if (stats.slots != 0 || bounce_pool_destroy(pool) != 0) found("something of the pool is still used", "end");
    }
    if (bounce::test::open_descriptors() != before) found("descriptors stay open", "end");
    return 0;
}
