// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A back-end that makes of the right answers what bytes say, and asks for translations: see vhost_messages_fuzz.cpp.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "tests/fuzz/vhost_setup.hpp"
#include "tests/unit/api/vhost/fake_backend.hpp"

namespace bounce::test {

class Liar {
public:
    Liar(const Setup& setup, std::span<const std::uint8_t> bytes) : setup_(setup), bytes_(bytes) {}

    void answer(Peer& peer, Message& message) {
        if (peer.fd() < 0) return;
        if (message.request == kSetBackendFd && message.fds.size() == 1) requests_ = message.fds[0];
        if (message.request == kIotlb) check_told(message);
        if (message.request == kSetVringCall && message.fds.size() == 1 && setup_.called) {
            const std::uint64_t one = 1;
            if (::write(message.fds[0], &one, sizeof one) != sizeof one) found("it cannot be called", "SET_VRING_CALL");
        }
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

}  // namespace bounce::test
