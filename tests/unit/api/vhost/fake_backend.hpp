// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A back-end for tests: a thread behind a real unix socket that answers as it should, or as a test says. It has its own
// idea of the wire format, so that it is a second opinion on it.
#pragma once

#include <dirent.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/temp_folder.hpp"

namespace bounce::test {

inline std::size_t open_descriptors() {
    std::size_t n = 0;
    DIR* folder = ::opendir("/proc/self/fd");
    if (folder == nullptr) throw std::runtime_error("/proc/self/fd cannot be read");
    while (::readdir(folder) != nullptr) ++n;
    ::closedir(folder);
    return n;
}

struct Message {
    std::uint32_t request = 0;
    std::uint32_t flags = 0;
    std::vector<unsigned char> payload;
    std::vector<int> fds;

    [[nodiscard]] std::uint32_t u32(std::size_t at) const { return field<std::uint32_t>(at); }
    [[nodiscard]] std::uint64_t u64(std::size_t at) const { return field<std::uint64_t>(at); }

private:
    template <class T>
    [[nodiscard]] T field(std::size_t at) const {
        if (at + sizeof(T) > payload.size()) throw std::runtime_error("a payload is too short");
        T value{};
        std::memcpy(&value, payload.data() + at, sizeof value);
        return value;
    }
};

/// One connection, as the back-end sees it.
class Peer {
public:
    explicit Peer(int fd) : fd_(fd) {}
    Peer(const Peer&) = delete;
    ~Peer() { close(); }
    void close() {
        if (fd_ >= 0) ::close(fd_);
        fd_ = -1;
    }
    [[nodiscard]] int fd() const { return fd_; }

    /// False when the front-end hung up.
    bool receive(Message& message) {
        std::uint32_t header[3];
        message = Message{};
        if (!take(header, sizeof header, message)) return false;
        message.request = header[0];
        message.flags = header[1];
        if (header[2] > 4096) throw std::runtime_error("a request is too long");
        message.payload.resize(header[2]);
        return header[2] == 0 || take(message.payload.data(), header[2], message);
    }

    void reply(const Message& to, const void* payload, std::size_t bytes, std::uint32_t flags = 1 | 4) {
        send(to.request, flags, static_cast<std::uint32_t>(bytes), payload, bytes);
    }
    void reply(const Message& to, std::uint64_t value) { reply(to, &value, sizeof value); }

    /// Any header with any number of bytes after it, and descriptors.
    void send(std::uint32_t request, std::uint32_t flags, std::uint32_t said, const void* payload, std::size_t bytes,
              const std::vector<int>& fds = {}) {
        std::vector<unsigned char> all(12 + bytes);
        const std::uint32_t header[3] = {request, flags, said};
        std::memcpy(all.data(), header, sizeof header);
        if (bytes != 0) std::memcpy(all.data() + 12, payload, bytes);
        raw(all.data(), all.size(), fds);
    }
    bool raw(const void* data, std::size_t bytes, const std::vector<int>& fds = {}) {
        iovec part{const_cast<void*>(data), bytes};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        std::vector<unsigned char> control(CMSG_SPACE(fds.size() * sizeof(int)));
        if (!fds.empty()) {
            message.msg_control = control.data();
            message.msg_controllen = control.size();
            cmsghdr* rights = CMSG_FIRSTHDR(&message);
            rights->cmsg_level = SOL_SOCKET;
            rights->cmsg_type = SCM_RIGHTS;
            rights->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
            std::memcpy(CMSG_DATA(rights), fds.data(), fds.size() * sizeof(int));
        }
        return ::sendmsg(fd_, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes);
    }

private:
    bool take(void* out, std::size_t bytes, Message& message) {
        auto* at = static_cast<unsigned char*>(out);
        while (bytes != 0) {
            iovec part{at, bytes};
            alignas(cmsghdr) unsigned char control[CMSG_SPACE(16 * sizeof(int))];
            msghdr header{};
            header.msg_iov = &part;
            header.msg_iovlen = 1;
            header.msg_control = control;
            header.msg_controllen = sizeof control;
            const ssize_t n = ::recvmsg(fd_, &header, MSG_CMSG_CLOEXEC);
            if (n <= 0) return false;
            for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
                const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                const std::size_t before = message.fds.size();
                message.fds.resize(before + count);
                std::memcpy(message.fds.data() + before, CMSG_DATA(c), count * sizeof(int));
            }
            at += n;
            bytes -= static_cast<std::size_t>(n);
        }
        return true;
    }

    int fd_;
};

/// Listens on a socket and serves one connection after the other in a thread.
class FakeBackend {
public:
    using Handler = std::function<void(Peer&, Message&)>;

    // Atomic: a test may change them between two connections.
    std::atomic<std::uint64_t> features = (1ULL << 32) | (1ULL << 30) | (1ULL << 29) | (1ULL << 28) | (1ULL << 9);
    std::atomic<std::uint64_t> protocol = (1U << 0) | (1U << 3) | (1U << 9) | (1U << 15) | (1U << 5);
    std::atomic<std::uint64_t> queues = 4;
    std::atomic<std::uint64_t> slots = 32;
    std::vector<unsigned char> config = std::vector<unsigned char>(60, 0x5a);
    /// Instead of the right answer to a request.
    std::map<std::uint32_t, Handler> instead;
    /// Ahead of the right answer (which is sent all the same).
    std::map<std::uint32_t, Handler> before;

    explicit FakeBackend(std::string path) : path_(std::move(path)) {}
    ~FakeBackend() { stop(); }

    void start() {
        listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
        ::unlink(path_.c_str());
        if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
            ::listen(listener_, 4) != 0)
            throw std::runtime_error("cannot listen on " + path_);
        stopping_ = false;
        thread_ = std::thread([this] { run(); });
    }
    /// Ends like a process that dies: connection and listener close, the socket's file stays.
    void stop() {
        if (!thread_.joinable()) return;
        stopping_ = true;
        ::shutdown(listener_, SHUT_RDWR);
        if (const int fd = peer_.load(); fd >= 0) ::shutdown(fd, SHUT_RDWR);
        thread_.join();
        ::close(listener_);
        drop_fds();
    }

    /// What was received, descriptors included (they stay open until drop_fds()).
    [[nodiscard]] std::vector<Message> log() {
        const std::lock_guard guard(mutex_);
        return log_;
    }
    [[nodiscard]] std::vector<Message> log(std::uint32_t request) {
        std::vector<Message> some;
        for (Message& message : log()) {
            if (message.request == request) some.push_back(message);
        }
        return some;
    }
    void drop_fds() {
        const std::lock_guard guard(mutex_);
        for (Message& message : log_) {
            for (const int fd : message.fds) ::close(fd);
            message.fds.clear();
        }
    }
    void forget() {
        drop_fds();
        const std::lock_guard guard(mutex_);
        log_.clear();
    }

    /// The right answer, if the request has one.
    void answer(Peer& peer, const Message& message) {
        switch (message.request) {
            case 1: return peer.reply(message, features);
            case 15: return peer.reply(message, protocol);
            case 17: return peer.reply(message, queues);
            case 36: return peer.reply(message, slots);
            case 11: {
                const std::uint32_t state[2] = {message.u32(0), 0};
                return peer.reply(message, state, sizeof state);
            }
            case 24: {
                std::vector<unsigned char> out(message.payload.begin(), message.payload.begin() + 12);
                const std::size_t from = message.u32(0), n = message.u32(4);
                if (from + n > config.size()) return peer.reply(message, nullptr, 0);
                out.insert(out.end(), config.begin() + static_cast<std::ptrdiff_t>(from),
                           config.begin() + static_cast<std::ptrdiff_t>(from + n));
                return peer.reply(message, out.data(), out.size());
            }
            default:
                if ((message.flags & 8) != 0) peer.reply(message, std::uint64_t{0});
        }
    }

private:
    void run() {
        while (!stopping_) {
            const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
            if (fd < 0) return;
            Peer peer(fd);
            peer_ = fd;
            Message message;
            while (!stopping_ && peer.fd() >= 0 && peer.receive(message)) {
                {
                    const std::lock_guard guard(mutex_);
                    log_.push_back(message);
                }
                if (const auto it = instead.find(message.request); it != instead.end()) {
                    it->second(peer, message);
                    continue;
                }
                if (const auto it = before.find(message.request); it != before.end()) it->second(peer, message);
                answer(peer, message);
            }
            peer_ = -1;
        }
    }

    std::string path_;
    std::mutex mutex_;
    std::vector<Message> log_;
    std::thread thread_;
    std::atomic<bool> stopping_{false};
    std::atomic<int> peer_{-1};
    int listener_ = -1;
};

}  // namespace bounce::test
