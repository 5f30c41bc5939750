// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A back-end that answers the front-end's requests with what the fuzzer's bytes make of the right answer, and asks for
// translations of its own. The first byte is the setup (see Setup). Then one byte for each request says what is done:
// bits 0-1: 0 the right answer, otherwise changes, each of two bytes (offset, value), as many as bits 2-3 say; bit 4:
// cut off after so many bytes (another byte), and the end of the connection; bit 5: more bytes than there should be; bit
// 6: descriptors come with it; bit 7: no answer, but the end of the connection. Where addresses are translated another
// byte, and what it needs, says what the back-end asks for behind it (see Liar::ask()). After the last byte all answers
// are right.
//
// Found are: a call that succeeds though an answer to it was no answer to it, a translation of what is not lent,
// descriptors that stay open, and anything of the pool that is not given back.
#include <bounce/bounce.h>
#include <bounce/iotlb.h>
#include <bounce/platform.h>
#include <bounce/policy.h>
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
constexpr std::uint32_t kSetBackendFd = 21;
constexpr std::uint32_t kIotlb = 22;
constexpr std::uint32_t kNeedReply = 8;
constexpr std::uint64_t kGpa = 1ULL << 40;
constexpr std::uint64_t kBytes = 1U << 18;
constexpr std::uint64_t kMoreGpa = 2ULL << 40;
constexpr std::uint64_t kMoreBytes = 1U << 16;
/// From a GPA to the address that the device has for it.
constexpr std::uint64_t kDistance = 1ULL << 30;

constexpr std::uint64_t bit(unsigned n) {
    return std::uint64_t{1} << n;
}

/// What the back-end offers, and what the driver wants.
struct Setup {
    explicit Setup(std::uint8_t byte)
        : translated((byte & 1) != 0),
          plain((byte & 2) != 0),
          fixed((byte & 4) != 0),
          polls((byte & 8) != 0),
          unanswered((byte & 16) != 0),
          network((byte & 32) != 0),
          bare((byte & 64) != 0),
          split((byte & 128) != 0) {}
    bool translated;
    bool plain;       // no protocol features
    bool fixed;       // no memory slots: one table
    bool polls;
    bool unanswered;  // no REPLY_ACK
    bool network;     // queues in pairs
    bool bare;        // neither configuration nor many queues
    bool split;

    [[nodiscard]] std::uint64_t features() const {
        return bit(32) | (split ? 0 : bit(34)) | (plain ? 0 : bit(30)) | bit(29) | bit(28) | (translated ? bit(33) : 0);
    }
    [[nodiscard]] std::uint64_t protocol() const {
        return (bare ? 0 : bit(0) | bit(9)) | (unanswered ? 0 : bit(3)) | (fixed ? 0 : bit(15)) | bit(5);
    }
    [[nodiscard]] std::uint32_t queues() const { return (bare || plain) && !network ? 1 : 2; }
};

[[noreturn]] void found(const char* what, const char* where) {
    std::fprintf(stderr, "finding: %s: %s\n", where, what);
    std::abort();
}

class Liar {
public:
    Liar(const Setup& setup, std::span<const std::uint8_t> bytes) : setup_(setup), bytes_(bytes) {}

    void answer(Peer& peer, Message& message) {
        if (peer.fd() < 0) return;
        if (message.request == kSetBackendFd && message.fds.size() == 1) requests_ = message.fds[0];
        if (message.request == kIotlb) check_told(message);
        reply(peer, message);
        if (requests_ >= 0) ask();
    }
    /// Since the last call: was there an answer that is none?
    bool lied() { return lied_.exchange(false); }

private:
    /// An update names memory that was lent, where it is, and nothing else.
    static void check_told(const Message& message) {
        if (message.payload.size() != 32) found("it has another size", "IOTLB_MSG");
        const std::uint64_t iova = message.u64(0), bytes = message.u64(8), user = message.u64(16);
        if (message.payload[25] != 2) return;  // no update
        const auto within = [&](std::uint64_t from, std::uint64_t all) {
            return user >= from && user - from < all && bytes <= all - (user - from);
        };
        if (iova != user + kDistance || bytes == 0 || !(within(kGpa, kBytes) || within(kMoreGpa, kMoreBytes)))
            found("a translation of what is not lent", "IOTLB_MSG");
    }

    /// Asks for a translation, if a byte says so: bits 0-1, as of an answer, how many bytes are changed; bits 2-3: what
    /// (0: nothing, else the address is another byte, in pages, and which access another one); bit 4: cut off; bit 5:
    /// longer; bit 6: descriptors; bit 7: it wants an answer.
    void ask() {
        const std::uint8_t what = next();
        if ((what & 0xc) == 0) return;
        std::vector<unsigned char> all(44);
        const std::uint32_t header[3] = {(what & 0xc) == 0xc ? 2U : 1U, 1U | ((what & 0x80) != 0 ? kNeedReply : 0U),
                                         (what & 0xc) == 0xc ? 0U : 32U};
        std::memcpy(all.data(), header, sizeof header);
        if ((what & 0xc) == 0xc) {  // the configuration has changed
            all.resize(12);
        } else {
            const std::uint64_t iova = ((what & 8) != 0 ? kMoreGpa : kGpa) + kDistance + next() * 4096U;
            std::memcpy(&all[12], &iova, sizeof iova);
            const std::uint8_t how = next();
            all[36] = how & 7;
            all[37] = how >> 3 == 0 ? 1 : how >> 3;
        }
        for (int i = what & 3; i > 0; --i) {
            const std::size_t at = next() % all.size();
            all[at] = next();
        }
        if ((what & 0x10) != 0) all.resize(next() % all.size());
        if ((what & 0x20) != 0) all.resize(all.size() + 1 + next() % 64);
        const std::vector<int> descriptors((what & 0x40) != 0 ? std::size_t{1} + (what & 3) : 0, requests_);
        Peer channel(::dup(requests_));
        if (!all.empty()) channel.raw(all.data(), all.size(), descriptors);
    }

    void reply(Peer& peer, Message& message) {
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

    std::uint8_t next() {
        if (bytes_.empty()) return 0;
        const std::uint8_t byte = bytes_.front();
        bytes_ = bytes_.subspan(1);
        return byte;
    }

    [[nodiscard]] std::vector<unsigned char> right_answer(const Message& message) const {
        std::vector<unsigned char> payload;
        const auto number = [&](std::uint64_t value) {
            payload.resize(sizeof value);
            std::memcpy(payload.data(), &value, sizeof value);
        };
        switch (message.request) {
            case 1: number(setup_.features()); break;
            case 15: number(setup_.protocol()); break;
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

    const Setup setup_;
    // Only by the thread that answers, once it runs.
    std::span<const std::uint8_t> bytes_;
    int requests_ = -1;  // where it asks; of the log of FakeBackend, which closes it
    std::atomic<bool> lied_{false};
};

bounce_policy translated_policy() {
    bounce_policy_options ask{};
    ask.size = sizeof ask;
    ask.platform = BOUNCE_PLATFORM_PLAIN;
    ask.transport = BOUNCE_TRANSPORT_VHOST_USER;
    ask.features = BOUNCE_F_VERSION_1 | BOUNCE_F_ACCESS_PLATFORM;
    ask.flags = BOUNCE_POLICY_IOMMU;
    ask.bounce = BOUNCE_LEVEL_ALWAYS;
    bounce_policy answer{};
    if (bounce_policy_decide(&ask, &answer) != 0) throw std::runtime_error(bounce_last_error());
    return answer;
}

bounce_pool* make_pool(const Setup& setup) {
    bounce_platform platform{};
    platform.size = sizeof platform;
    if (setup.translated) {
        platform.encoding = BOUNCE_ENCODING_IOVA;
        platform.encoding_value = kDistance;
    }
    bounce_pool_options options{};
    options.size = sizeof options;
    options.region.size = sizeof options.region;
    options.region.bytes = kBytes;
    options.region.base_gpa = kGpa;
    bounce_pool* pool = nullptr;
    if (bounce_pool_create_on(&platform, &options, &pool) != 0) throw std::runtime_error(bounce_last_error());
    return pool;
}

/// What a driver does with a front-end, from the connection to its end.
class Driver {
public:
    Driver(const Setup& setup, bounce_pool* pool, const char* path, Liar& liar)
        : setup_(setup), pool_(pool), path_(path), liar_(liar) {}

    void drive() {
        if (!connect()) return;
        configuration();
        translations();
        requests();
        regions();
        translations();
        bounce_frontend_check(frontend_);
        bounce_frontend_disconnect(frontend_);
        abort_all();
        static_cast<void>(liar_.lied());
        if (check(bounce_frontend_reconnect(frontend_), "reconnect")) {
            translations();
            configuration();
        }
        if (bounce_frontend_close(frontend_) == -EBUSY) found("it is still in use", "close");
    }

private:
    bool check(int result, const char* where) {
        if (liar_.lied() && result >= 0) found("an answer that is none was taken", where);
        return result >= 0;
    }
    bool connect() {
        const bounce_policy policy = translated_policy();
        bounce_frontend_options options{};
        options.size = sizeof options;
        options.socket_path = path_;
        options.wanted_features = bit(34);
        options.queues = setup_.queues();
        options.queue_size = 4;
        options.device_type = setup_.network ? 1 : 0;
        options.flags = setup_.polls ? 0 : std::uint32_t{BOUNCE_FRONTEND_CALLS};
        options.policy = setup_.translated ? &policy : nullptr;
        return check(bounce_frontend_connect(pool_, &options, &frontend_), "connect");
    }
    void configuration() {
        unsigned char config[8] = {};
        static_cast<void>(check(bounce_frontend_read_config(frontend_, 4, config, sizeof config), "read_config"));
        static_cast<void>(check(bounce_frontend_write_config(frontend_, 4, config, sizeof config), "write_config"));
        bounce_frontend_info info{};
        bounce_frontend_get_info(frontend_, &info);
    }
    void translations() {
        if (!setup_.translated) return;
        bounce_frontend_requests_fd(frontend_);
        static_cast<void>(check(bounce_frontend_process(frontend_), "process"));
        const std::uint64_t page = kGpa + kDistance + 4096;
        static_cast<void>(check(bounce_frontend_iotlb_unmap(frontend_, page, 8192), "iotlb_unmap"));
        static_cast<void>(check(bounce_frontend_process(frontend_), "process"));
        static_cast<void>(check(bounce_frontend_iotlb_map(frontend_, page, 4096, BOUNCE_IOTLB_READ), "iotlb_map"));
        static_cast<void>(check(bounce_frontend_process(frontend_), "process"));
        bounce_iotlb_info info{};
        bounce_frontend_get_iotlb(frontend_, &info);
    }
    void requests() {
        const std::uint32_t queue = setup_.queues() - 1;
        const bounce_sg sg{data_, sizeof data_, 0, 0};
        bounce_ring* const ring = bounce_frontend_ring(frontend_, queue);
        bounce_ring_add(ring, &sg, 1, 0, nullptr);
        bounce_frontend_submit(frontend_, queue);
        bounce_frontend_kick(frontend_, queue);
        bounce_frontend_wait(frontend_, queue, 0);
    }
    void regions() {
        bounce_region_options more{};
        more.size = sizeof more;
        more.bytes = kMoreBytes;
        more.base_gpa = kMoreGpa;
        if (bounce_pool_add_region(pool_, &more) != 0) return;
        static_cast<void>(check(bounce_frontend_sync_regions(frontend_), "sync_regions"));
        if (setup_.translated) static_cast<void>(check(bounce_frontend_process(frontend_), "process"));
        bounce_pool_drain_region(pool_, 1);
        static_cast<void>(check(bounce_frontend_sync_regions(frontend_), "sync_regions"));
    }
    void abort_all() {
        bounce_completion completion{};
        for (std::uint32_t i = 0; i < setup_.queues(); ++i) {
            while (bounce_ring_abort(bounce_frontend_ring(frontend_, i), &completion, 1) > 0) {
            }
        }
    }

    const Setup setup_;
    bounce_pool* pool_;
    const char* path_;
    Liar& liar_;
    bounce_frontend* frontend_ = nullptr;
    unsigned char data_[8] = {};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const bounce::test::TempFolder folder;
    static const std::string path = folder / "s";
    const std::size_t before = bounce::test::open_descriptors();
    {
        const Setup setup(size == 0 ? std::uint8_t{0} : data[0]);
        Liar liar(setup, std::span(data, size).subspan(size == 0 ? 0 : 1));
        FakeBackend backend(path);
        for (std::uint32_t request = 1; request <= 38; ++request)
            backend.instead[request] = [&liar](Peer& peer, Message& message) { liar.answer(peer, message); };
        backend.start();
        bounce_pool* const pool = make_pool(setup);
        Driver(setup, pool, path.c_str(), liar).drive();
        bounce_pool_stats stats{};
        bounce_pool_get_stats(pool, &stats);
        if (stats.slots != 0 || bounce_pool_destroy(pool) != 0) found("something of the pool is still used", "end");
    }
    if (bounce::test::open_descriptors() != before) found("descriptors stay open", "end");
    return 0;
}
