// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <fstream>

#include "api/vhost/channel.hpp"
#include "tests/unit/api/vhost/fake_backend.hpp"

namespace bounce::vhost {
namespace {

using test::TempFolder;

struct Listener {
    Listener(const std::string& path, int type, int backlog) : fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
        bound = ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
        if (backlog >= 0) bound = bound && ::listen(fd, backlog) == 0;
    }
    Listener(const Listener&) = delete;
    ~Listener() { ::close(fd); }
    int fd;
    bool bound = false;
};

void expect_failure(const std::string& path, int code, const char* words, std::uint32_t timeout_ms = 1000) {
    const std::size_t before = test::open_descriptors();
    auto result = connect_socket(path.c_str(), timeout_ms);
    ASSERT_EQ(result.code(), code) << last_error();
    EXPECT_NE(std::string(last_error()).find(words), std::string::npos) << last_error();
    EXPECT_EQ(test::open_descriptors(), before);
}

TEST(Socket, Connects) {
    const TempFolder folder;
    const Listener listener(folder / "s", SOCK_STREAM, 1);
    ASSERT_TRUE(listener.bound);
    auto result = connect_socket((folder / "s").c_str(), 1000);
    ASSERT_TRUE(result) << last_error();
    EXPECT_NE(::fcntl(result->get(), F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(result->get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(Socket, SaysWhyItCannotConnect) {
    const TempFolder folder;
    expect_failure(folder / "nothing", ENOENT, (folder / "nothing").c_str());
    std::ofstream(folder / "file") << "text";
    expect_failure(folder / "file", ENOTSOCK, "not a socket");
    expect_failure(folder / "file/s", ENOENT, "not a folder");
    expect_failure("", EINVAL, "empty");
    expect_failure(std::string(200, 'x'), ENAMETOOLONG, "200 bytes");
    { const Listener gone(folder / "stale", SOCK_STREAM, 1); }
    expect_failure(folder / "stale", ECONNREFUSED, "nobody listens");
    const Listener other(folder / "datagram", SOCK_DGRAM, -1);
    ASSERT_TRUE(other.bound);
    expect_failure(folder / "datagram", EPROTOTYPE, "stream");
}

TEST(Socket, NeedsPermission) {
    const TempFolder folder;
    const Listener listener(folder / "s", SOCK_STREAM, 1);
    ASSERT_TRUE(listener.bound);
    ASSERT_EQ(::chmod((folder / "s").c_str(), 0), 0);
    // The owner of everything may connect to anything: be somebody else for the moment.
    const uid_t user = ::geteuid();
    if (user == 0) {
        ASSERT_EQ(::chmod((folder / "").c_str(), 0755), 0);
        if (::seteuid(65534) != 0) GTEST_SKIP() << "root cannot become another user here";
    }
    expect_failure(folder / "s", EACCES, "permission");
    if (user == 0) {
        ASSERT_EQ(::seteuid(0), 0);
    }
}

TEST(Socket, AFullQueueOfTheListenerEndsWithTheTimeout) {
    const TempFolder folder;
    const Listener listener(folder / "s", SOCK_STREAM, 0);
    ASSERT_TRUE(listener.bound);
    auto first = connect_socket((folder / "s").c_str(), 1000);
    ASSERT_TRUE(first) << last_error();
    expect_failure(folder / "s", ETIMEDOUT, "queue is full", 50);
}

}  // namespace
}  // namespace bounce::vhost
