// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tests/hostile/config_line.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace bounce::hostile {
namespace {

constexpr std::uint32_t kGetConfig = 24;
constexpr std::size_t kHeader = 12;  // offset, size, flags

void put(std::vector<std::uint8_t>& to, std::size_t at, std::uint32_t value) {
    std::memcpy(to.data() + at, &value, sizeof value);
}

}  // namespace

ConfigLine::ConfigLine(Findings& findings) : findings_(findings), path_(folder_ / "s"), backend_(path_) {
    for (std::size_t i = 0; i < kSpace; ++i) space_[i] = static_cast<std::uint8_t>(i);
    backend_.instead[kGetConfig] = [this](test::Peer& peer, test::Message& message) { answer(peer, message); };
    backend_.start();
    bounce_pool_options options{};
    options.size = sizeof options;
    options.name = "config";
    options.region.size = sizeof options.region;
    options.region.bytes = 1U << 16;
    if (bounce_pool_create(&options, &pool_) < 0) throw std::runtime_error(bounce_last_error());
    connect();
}

ConfigLine::~ConfigLine() {
    bounce_frontend_close(frontend_);
    bounce_pool_destroy(pool_);
}

void ConfigLine::connect() {
    bounce_frontend_options options{};
    options.size = sizeof options;
    options.socket_path = path_.c_str();
    options.queue_size = 2;
    if (bounce_frontend_connect(pool_, &options, &frontend_) < 0) {
        bounce_pool_destroy(pool_);
        throw std::runtime_error(std::string("no front-end for a configuration space: ") + bounce_last_error());
    }
}

void ConfigLine::flip(std::uint8_t a, std::uint32_t b) {
    const std::lock_guard guard(mutex_);
    space_[a % kSpace] = static_cast<std::uint8_t>(b);
    lie_ = static_cast<Lie>(b / 256 % static_cast<std::uint32_t>(Lie::kCount));
}

void ConfigLine::answer(test::Peer& peer, test::Message& message) {
    const std::lock_guard guard(mutex_);
    const std::uint32_t offset = message.u32(0), bytes = message.u32(4);
    const bool there = offset + std::uint64_t{bytes} <= kSpace;
    std::vector<std::uint8_t> reply(there ? kHeader + bytes : 0);
    told_.clear();
    if (there) {
        put(reply, 0, offset + (lie_ == Lie::kOffset ? 1 : 0));
        put(reply, 4, bytes + (lie_ == Lie::kLength ? 1 : 0));
        std::copy_n(space_.begin() + static_cast<std::ptrdiff_t>(offset), bytes, reply.begin() + kHeader);
        if (lie_ == Lie::kNone) told_.assign(reply.begin() + kHeader, reply.end());
    }
    if (lie_ == Lie::kHangUp) return peer.close();
    if (lie_ == Lie::kEmpty) reply.clear();
    if (lie_ == Lie::kShort && !reply.empty()) reply.pop_back();
    if (lie_ == Lie::kLong) reply.push_back(0);
    const std::vector<int> descriptors(lie_ == Lie::kDescriptor ? 1 : 0, peer.fd());
    peer.send(kGetConfig, 1 | 4, static_cast<std::uint32_t>(reply.size()), reply.data(), reply.size(), descriptors);
    for (std::uint8_t& byte : space_) byte = static_cast<std::uint8_t>(byte * 5 + 1);  // the next read sees another one
}

void ConfigLine::read(std::uint8_t a, std::uint32_t b) {
    const std::uint32_t offset = a % kSpace;
    const std::size_t bytes = b % 72 + 1;
    Buffer buffer(bytes, true, 0);
    const int result = bounce_frontend_read_config(frontend_, offset, buffer.sg().base, bytes);
    const std::lock_guard guard(mutex_);
    int expected = offset + bytes <= kSpace ? 0 : -ENOTSUP;
    switch (lie_) {
        case Lie::kNone: break;
        case Lie::kEmpty: expected = -ENOTSUP; break;
        case Lie::kHangUp: expected = -ECONNRESET; break;
        case Lie::kShort: expected = expected == 0 ? -EPROTO : expected; break;
        case Lie::kOffset:
        case Lie::kLength: expected = expected == 0 ? -EPROTO : expected; break;
        default: expected = -EPROTO;
    }
    if (result != expected)
        findings_.add("reading %zu bytes of configuration space at %u returned %d, expected %d: %s", bytes, offset,
                      result, expected, result < 0 ? bounce_last_error() : "no error");
    if (!buffer.intact(result == 0 ? bytes : 0))
        findings_.add("reading %zu bytes of configuration space changed something else, or failed and left some",
                      bytes);
    if (result == 0 && (told_.size() != bytes || std::memcmp(told_.data(), buffer.content(), bytes) != 0))
        findings_.add("what was read of the configuration space is not what one answer said");
    lie_ = Lie::kNone;
    if (result == -EPROTO || result == -ECONNRESET) again();
}

/// A connection that was broken stays so until there is another one.
void ConfigLine::again() {
    std::uint8_t byte = 0;
    if (const int result = bounce_frontend_read_config(frontend_, 0, &byte, 1); result != -ECONNRESET)
        findings_.add("a connection that its back-end broke goes on: %d", result);
    if (bounce_frontend_disconnect(frontend_) < 0 || bounce_frontend_reconnect(frontend_) < 0)
        findings_.add("there is no other connection: %s", bounce_last_error());
    backend_.forget();  // and the descriptors with it
}

void ConfigLine::finish() {
    if (const int closed = bounce_frontend_close(frontend_); closed < 0)
        findings_.add("closing a front-end returned %d: %s", closed, bounce_last_error());
    frontend_ = nullptr;
    if (const int destroyed = bounce_pool_destroy(pool_); destroyed < 0)
        findings_.add("destroying its pool returned %d: %s", destroyed, bounce_last_error());
    pool_ = nullptr;
}

}  // namespace bounce::hostile
