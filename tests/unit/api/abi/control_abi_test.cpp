// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The control as a host has it, and clients at its socket.
#include "bounce/control.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <vector>

#include "bounce/stats.h"
#include "tests/support/temp_folder.hpp"
#include "tests/unit/api/abi/abi_fixture.hpp"

namespace bounce {
namespace {

class Socket {
public:
    explicit Socket(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
        connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    }
    ~Socket() { ::close(fd_); }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    [[nodiscard]] bool connected() const { return connected_; }
    [[nodiscard]] int fd() const { return fd_; }

    void send(int command, std::uint16_t magic = BOUNCE_CONTROL_MAGIC) const {
        bounce_control_request request{};
        request.magic = magic;
        request.version = BOUNCE_CONTROL_VERSION;
        request.command = static_cast<std::uint16_t>(command);
        EXPECT_EQ(::send(fd_, &request, sizeof request, MSG_NOSIGNAL), static_cast<ssize_t>(sizeof request));
    }
    /// Bytes; 0: the other end is gone; -1: nothing there.
    ssize_t receive(int* descriptor = nullptr) {
        iovec vector{buffer_, sizeof buffer_};
        alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int))] = {};
        msghdr message{};
        message.msg_iov = &vector;
        message.msg_iovlen = 1;
        message.msg_control = room;
        message.msg_controllen = sizeof room;
        const ssize_t n = ::recvmsg(fd_, &message, 0);
        if (const cmsghdr* control = n > 0 ? CMSG_FIRSTHDR(&message) : nullptr; control != nullptr) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(control), sizeof fd);
            if (descriptor != nullptr)
                *descriptor = fd;
            else
                ::close(fd);
        }
        return n < 0 && errno == ECONNRESET ? 0 : n;
    }
    [[nodiscard]] const bounce_control_reply& reply() const {
        return *reinterpret_cast<const bounce_control_reply*>(buffer_);
    }

private:
    int fd_;
    bool connected_ = false;
    alignas(8) char buffer_[BOUNCE_CONTROL_REPLY_BYTES];
};

class ControlAbiTest : public AbiTest {
protected:
    void SetUp() override {
        AbiTest::SetUp();
        options_.size = sizeof options_;
        path_ = folder_ / "control.sock";
        options_.path = path_.c_str();
        options_.vm_name = "vm7";
        ASSERT_EQ(bounce_control_create(pool_, &options_, &control_), 0) << bounce_last_error();
    }
    void TearDown() override {
        EXPECT_EQ(bounce_control_destroy(control_), 0);
        AbiTest::TearDown();
    }
    void serve(int rounds = 10) const {
        for (int i = 0; i < rounds; ++i) ASSERT_GE(bounce_control_process(control_), 0) << bounce_last_error();
    }
    [[nodiscard]] static std::size_t descriptors() {
        std::size_t n = 0;
        for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++n;
        return n;
    }

    test::TempFolder folder_;
    std::string path_;
    bounce_control_options options_{};
    bounce_control* control_ = nullptr;
};

TEST_F(ControlAbiTest, AnswersOverItsSocket) {
    EXPECT_STREQ(bounce_control_path(control_), path_.c_str());
    struct stat status {};
    ASSERT_EQ(::stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600U);
    Socket client(path_);
    ASSERT_TRUE(client.connected());
    client.send(BOUNCE_CONTROL_HELLO);
    serve();
    int fd = -1;
    ASSERT_GT(client.receive(&fd), 0);
    EXPECT_EQ(client.reply().status, 0);
    ASSERT_GE(fd, 0);
    EXPECT_EQ(::fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    bounce_stats_view* view = nullptr;
    ASSERT_EQ(bounce_stats_open(fd, &view), 0) << bounce_last_error();
    // Nobody else can write to it.
    EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    EXPECT_NE(::ftruncate(fd, 0), 0);
    bounce_stats_pool pool{};
    EXPECT_EQ(bounce_stats_record(view, BOUNCE_STATS_POOL, 0, &pool, sizeof pool), 0);
    EXPECT_STREQ(pool.vm_name, "vm7");
    bounce_stats_close(view);
    ::close(fd);
}

TEST_F(ControlAbiTest, OptionsAreChecked) {
    bounce_control* other = nullptr;
    expect_error(bounce_control_create(pool_, &options_, &other), EBUSY, "has a control");
    EXPECT_EQ(bounce_control_destroy(control_), 0);
    control_ = nullptr;
    auto wrong = options_;
    wrong.flags = 1u << 30;
    expect_error(bounce_control_create(pool_, &wrong, &other), EINVAL, "options.flags");
    wrong = options_;
    wrong.publish_ms = 5;
    expect_error(bounce_control_create(pool_, &wrong, &other), EINVAL, "options.publish_ms");
    wrong = options_;
    const std::string long_path = "/tmp/" + std::string(200, 'x');
    wrong.path = long_path.c_str();
    expect_error(bounce_control_create(pool_, &wrong, &other), EINVAL, "options.path");
    wrong = options_;
    wrong.path = "/nowhere/at/all.sock";
    expect_error(bounce_control_create(pool_, &wrong, &other), ENOENT, "/nowhere/at/all.sock");
    wrong = options_;
    const std::string long_name(64, 'x');
    wrong.vm_name = long_name.c_str();
    expect_error(bounce_control_create(pool_, &wrong, &other), EINVAL, "options.vm_name");
    expect_error(bounce_control_create(nullptr, &options_, &other), EINVAL, "pool");
    expect_error(bounce_control_create(pool_, nullptr, &other), EINVAL, "options");
    EXPECT_EQ(other, nullptr);
    // A descriptor that is no such socket is closed all the same.
    int pipes[2];
    ASSERT_EQ(::pipe(pipes), 0);
    wrong = options_;
    wrong.path = nullptr;
    wrong.listen_fd_plus_one = pipes[0] + 1;
    expect_error(bounce_control_create(pool_, &wrong, &other), EINVAL, "SEQPACKET");
    EXPECT_EQ(::fcntl(pipes[0], F_GETFD), -1);
    ::close(pipes[1]);
}

TEST_F(ControlAbiTest, ThePoolStaysWhileItHasAControl) {
    EXPECT_EQ(bounce_device_destroy(device_), 0);
    device_ = nullptr;
    expect_error(bounce_pool_destroy(pool_), EBUSY, "control");
}

TEST_F(ControlAbiTest, ADeadSocketIsReplacedAndALiveOneIsNot) {
    const auto options = pool_options();
    bounce_pool* pool = nullptr;
    ASSERT_EQ(bounce_pool_create(&options, &pool), 0);
    bounce_control* other = nullptr;
    expect_error(bounce_control_create(pool, &options_, &other), EADDRINUSE, path_.c_str());
    // As a killed process leaves it.
    const std::string dead = folder_ / "dead.sock";
    const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, dead.c_str(), sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ::close(fd);
    auto there = options_;
    there.path = dead.c_str();
    ASSERT_EQ(bounce_control_create(pool, &there, &other), 0) << bounce_last_error();
    EXPECT_EQ(bounce_control_destroy(other), 0);
    EXPECT_NE(::access(dead.c_str(), F_OK), 0);
    // No file that is no socket is ever removed.
    const std::string file = folder_ / "file";
    ::close(::open(file.c_str(), O_CREAT | O_WRONLY, 0600));
    there.path = file.c_str();
    expect_error(bounce_control_create(pool, &there, &other), EADDRINUSE);
    EXPECT_EQ(::access(file.c_str(), F_OK), 0);
    EXPECT_EQ(bounce_pool_destroy(pool), 0);
}

TEST_F(ControlAbiTest, BadClientsAreDroppedAndTheOthersAreServed) {
    const std::size_t before = descriptors();
    {
        Socket good(path_);
        Socket wrong(path_);
        Socket huge(path_);
        Socket empty(path_);
        serve();
        wrong.send(BOUNCE_CONTROL_HELLO, 0x1234);
        const std::vector<char> long_one(60'000, 'x');
        EXPECT_GT(::send(huge.fd(), long_one.data(), long_one.size(), MSG_NOSIGNAL), 0);
        EXPECT_EQ(::send(empty.fd(), "", 0, MSG_NOSIGNAL), 0);
        // Descriptors that come along are nobody's.
        bounce_control_request request{};
        request.magic = BOUNCE_CONTROL_MAGIC;
        request.version = BOUNCE_CONTROL_VERSION;
        request.command = BOUNCE_CONTROL_PUBLISH;
        iovec vector{&request, sizeof request};
        alignas(cmsghdr) char room[CMSG_SPACE(3 * sizeof(int))] = {};
        msghdr message{};
        message.msg_iov = &vector;
        message.msg_iovlen = 1;
        message.msg_control = room;
        message.msg_controllen = sizeof room;
        cmsghdr* const control = CMSG_FIRSTHDR(&message);
        control->cmsg_level = SOL_SOCKET;
        control->cmsg_type = SCM_RIGHTS;
        control->cmsg_len = CMSG_LEN(3 * sizeof(int));
        const int given[3] = {0, 1, 2};
        std::memcpy(CMSG_DATA(control), given, sizeof given);
        ASSERT_GT(::sendmsg(good.fd(), &message, MSG_NOSIGNAL), 0);
        const std::size_t connected = descriptors();
        serve();
        EXPECT_LE(descriptors(), connected);
        ASSERT_GT(good.receive(), 0);
        EXPECT_EQ(good.reply().status, 0);
        ASSERT_GT(wrong.receive(), 0);
        EXPECT_EQ(wrong.reply().status, -EPROTO);
        EXPECT_EQ(wrong.receive(), 0);
        EXPECT_EQ(huge.receive(), 0);
        EXPECT_EQ(empty.receive(), 0);
        good.send(BOUNCE_CONTROL_TUNABLES);
        serve();
        EXPECT_GT(good.receive(), 0);
    }
    serve();
    EXPECT_EQ(descriptors(), before);
}

// Who never reads is dropped when there is no room for an answer; nobody waits for him.
TEST_F(ControlAbiTest, AClientThatDoesNotReadIsDropped) {
    Socket slow(path_);
    serve();
    bounce_control_request request{};
    request.magic = BOUNCE_CONTROL_MAGIC;
    request.version = BOUNCE_CONTROL_VERSION;
    request.command = BOUNCE_CONTROL_TUNABLES;
    bool dropped = false;
    for (int i = 0; i < 10'000 && !dropped; ++i) {
        dropped = ::send(slow.fd(), &request, sizeof request, MSG_NOSIGNAL) < 0 && errno != EAGAIN;
        serve(1);
    }
    EXPECT_TRUE(dropped);
}

TEST_F(ControlAbiTest, OfManyClientsTheOldestGiveWay) {
    std::vector<std::unique_ptr<Socket>> many;
    for (int i = 0; i < 300; ++i) {
        many.push_back(std::make_unique<Socket>(path_));
        serve(2);
    }
    many.back()->send(BOUNCE_CONTROL_HELLO);
    serve(20);
    EXPECT_GT(many.back()->receive(), 0);
    EXPECT_EQ(many.front()->receive(), 0);
}

TEST_F(ControlAbiTest, TheHostsOwnSocket) {
    EXPECT_EQ(bounce_control_destroy(control_), 0);
    control_ = nullptr;
    EXPECT_NE(::access(path_.c_str(), F_OK), 0) << "the socket is removed";
    const std::string own = folder_ / "own.sock";
    const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, own.c_str(), sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    auto options = options_;
    options.path = nullptr;
    options.listen_fd_plus_one = fd + 1;
    ASSERT_EQ(bounce_control_create(pool_, &options, &control_), 0) << bounce_last_error();
    EXPECT_STREQ(bounce_control_path(control_), "");
    Socket client(own);
    client.send(BOUNCE_CONTROL_HELLO);
    serve();
    EXPECT_GT(client.receive(), 0);
}

TEST_F(ControlAbiTest, TheDefaultPathIsInTheRuntimeFolder) {
    const test::TempFolder runtime;
    ASSERT_EQ(::setenv("XDG_RUNTIME_DIR", (runtime / "").c_str(), 1), 0);
    const auto options = pool_options();
    bounce_pool* pool = nullptr;
    ASSERT_EQ(bounce_pool_create(&options, &pool), 0);
    auto anywhere = options_;
    anywhere.path = nullptr;
    bounce_control* other = nullptr;
    ASSERT_EQ(bounce_control_create(pool, &anywhere, &other), 0) << bounce_last_error();
    EXPECT_EQ(std::string(bounce_control_path(other)).rfind(runtime / "", 0), 0U) << bounce_control_path(other);
    EXPECT_EQ(bounce_control_destroy(other), 0);
    EXPECT_EQ(bounce_pool_destroy(pool), 0);
    ::rmdir((runtime / "bounce").c_str());
    ::unsetenv("XDG_RUNTIME_DIR");
}

TEST_F(ControlAbiTest, TheDescriptorIsReadableWhenItIsTime) {
    pollfd wait{bounce_control_fd(control_), POLLIN, 0};
    EXPECT_EQ(::poll(&wait, 1, 20'000), 1) << "the timer";
    EXPECT_EQ(bounce_control_publish(control_), 0);
}

// The picture stays when its owner is gone.
TEST_F(ControlAbiTest, ThePictureOutlivesTheControl) {
    bounce_stats_view* view = nullptr;
    ASSERT_EQ(bounce_stats_open(bounce_control_stats_fd(control_), &view), 0);
    EXPECT_EQ(bounce_control_destroy(control_), 0);
    control_ = nullptr;
    EXPECT_EQ(bounce_stats_refresh(view), 0);
    EXPECT_EQ(bounce_stats_count(view, BOUNCE_STATS_POOL), 1);
    bounce_stats_close(view);
}

TEST_F(ControlAbiTest, AForkedChildHasNoControl) {
    const pid_t child = ::fork();
    if (child == 0) {
        const bool refused = bounce_control_process(control_) == -EOWNERDEAD;
        bounce_control_destroy(control_);
        ::_exit(refused && ::access(path_.c_str(), F_OK) == 0 ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    Socket client(path_);
    client.send(BOUNCE_CONTROL_HELLO);
    serve();
    EXPECT_GT(client.receive(), 0);
}

}  // namespace
}  // namespace bounce
