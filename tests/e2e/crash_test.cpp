// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A device that dies in the middle, and a peer that is gone by its socket but keeps its mapping and goes on writing.
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "tests/e2e/support/blk.hpp"
#include "tests/e2e/support/storage_daemon.hpp"
#include "tests/unit/api/vhost/fake_backend.hpp"

namespace bounce::e2e {
namespace {

constexpr std::uint64_t kMiB = 1U << 20;

/// How often the device is killed.
std::uint32_t restarts() {
    const char* const given = std::getenv("BOUNCE_RESTARTS");
    return given != nullptr ? static_cast<std::uint32_t>(std::strtoul(given, nullptr, 10)) : 3;
}

class Crash : public ::testing::Test {
protected:
    void SetUp() override {
        if (!StorageDaemon::available()) GTEST_SKIP() << StorageDaemon::kMissing;
    }
};

/// Keeps 32 requests of mixed kinds under way until the device is gone.
struct MixedLoad {
    explicit MixedLoad(bounce_frontend* frontend_, std::uint32_t index, bool calls_)
        : frontend(frontend_), queue(frontend_, index), calls(calls_), requests(32), memory(32) {
        for (std::size_t i = 0; i < requests.size(); ++i)
            memory[i].assign(kSectorBytes << (i % 12), static_cast<unsigned char>(i));
    }

    void run() {
        int code = 0;
        while (code == 0) {
            for (std::size_t i = 0; i < requests.size() && code == 0; ++i) {
                if (requests[i].pending) continue;
                check(i);
                // Beyond the first MiB, where the test keeps what must survive.
                requests[i] = blk_request(i % 3 == 0 ? BlkType::kWrite : BlkType::kRead, kMiB + (i % 8) * kMiB,
                                          memory[i].data(), memory[i].size());
                used[i] = true;
                if (const int added = queue.add(requests[i]); added == 0) {
                    ++n_added;
                } else if (added != -ENOSPC && added != -EAGAIN) {
                    failure = bounce_last_error();
                    return;
                } else {
                    used[i] = false;
                    break;
                }
            }
            code = queue.submit();
            if (code == 0 && calls) code = queue.wait(20000);
            if (code == 0 && !calls) code = bounce_frontend_check(frontend);
            const int n = queue.collect();
            if (n < 0) code = n;
            if (n > 0) n_done += static_cast<unsigned>(n);
            if (n == 0) ::sched_yield();
        }
        ended_with = code;
    }
    /// What came back came back with data.
    void check(std::size_t i) {
        if (used[i] && !requests[i].good()) failure = "a request failed before the device died";
    }

    bounce_frontend* frontend;
    BlkQueue queue;
    bool calls;
    std::vector<BlkRequest> requests;
    std::vector<std::vector<unsigned char>> memory;
    bool used[32] = {};
    std::atomic<unsigned> n_done{0};
    unsigned n_added = 0;
    int ended_with = 0;
    std::string failure;
};

void kill_in_the_middle(bool calls) {
    StorageDaemon daemon(32 * kMiB, 2);
    daemon.start();
    const PoolHandle pool = make_pool(32 * kMiB);
    const FrontendHandle frontend = connect_blk(pool.get(), daemon.socket(), 2, calls);
    const bounce_pool_stats idle = stats_of(pool.get());

    // Written and flushed: this has to be there afterwards.
    std::vector<unsigned char> precious(100000 / kSectorBytes * kSectorBytes);
    for (std::size_t i = 0; i < precious.size(); ++i) precious[i] = static_cast<unsigned char>(i * 7 + i / 251);
    {
        BlkQueue queue(frontend.get(), 0);
        BlkRequest write = blk_request(BlkType::kWrite, 0, precious.data(), precious.size());
        ASSERT_EQ(queue.run(write), 0) << bounce_last_error();
        ASSERT_TRUE(write.good());
        BlkRequest flush = blk_request(BlkType::kFlush, 0, nullptr, 0);
        ASSERT_EQ(queue.run(flush), 0) << bounce_last_error();
        ASSERT_TRUE(flush.good());
    }

    for (std::uint32_t round = 1; round <= restarts(); ++round) {
        MixedLoad first(frontend.get(), 0, calls), second(frontend.get(), 1, calls);
        std::thread one([&first] { first.run(); }), two([&second] { second.run(); });
        while (first.n_done.load() < 50 || second.n_done.load() < 50) ::sched_yield();
        daemon.kill();
        one.join();
        two.join();
        for (MixedLoad* load : {&first, &second}) {
            EXPECT_EQ(load->failure, "");
            EXPECT_EQ(load->ended_with, -ECONNRESET);
            // What it completed before it died still counts.
            for (int n = 1; n > 0;) {
                n = load->queue.collect();
                ASSERT_GE(n, 0) << bounce_last_error();
                load->n_done += static_cast<unsigned>(n);
            }
        }
        EXPECT_NE(bounce_frontend_check(frontend.get()), 0);
        ASSERT_EQ(bounce_frontend_disconnect(frontend.get()), 0) << bounce_last_error();
        EXPECT_EQ(bounce_frontend_submit(frontend.get(), 0), -ECONNRESET);
        for (MixedLoad* load : {&first, &second}) {
            const unsigned left = load->queue.outstanding();
            if (left != 0) {
                EXPECT_EQ(bounce_frontend_reconnect(frontend.get()), -EBUSY);
            }
            EXPECT_EQ(load->queue.abort_all(), static_cast<int>(left));
            EXPECT_EQ(load->n_done + left, load->n_added);
            std::size_t reset = 0;
            for (const BlkRequest& request : load->requests) {
                EXPECT_FALSE(request.pending);
                reset += request.result == -ECONNRESET ? 1 : 0;
                EXPECT_TRUE(request.result == 0 || request.result == -ECONNRESET) << request.result;
            }
            EXPECT_EQ(reset, left);
        }
        EXPECT_EQ(stats_of(pool.get()).mappings, 0U);
        EXPECT_EQ(stats_of(pool.get()).used_bytes, idle.used_bytes);

        // Nobody there yet; then a successor.
        EXPECT_EQ(bounce_frontend_reconnect(frontend.get()), -ECONNREFUSED) << bounce_last_error();
        daemon.start();
        ASSERT_EQ(bounce_frontend_reconnect(frontend.get()), 0) << bounce_last_error();
        bounce_frontend_info info{};
        ASSERT_EQ(bounce_frontend_get_info(frontend.get(), &info), 0);
        EXPECT_EQ(info.reconnects, round);
        EXPECT_EQ(info.connected, 1U);

        BlkQueue queue(frontend.get(), round % 2);
        std::vector<unsigned char> back(precious.size());
        BlkRequest read = blk_request(BlkType::kRead, 0, back.data(), back.size());
        ASSERT_EQ(queue.run(read), 0) << bounce_last_error();
        EXPECT_TRUE(read.good());
        EXPECT_TRUE(back == precious);
    }
    EXPECT_EQ(stats_of(pool.get()).violations, 0U);
}

TEST_F(Crash, EveryRequestEndsWhenTheDeviceIsKilledPolling) {
    kill_in_the_middle(false);
}
TEST_F(Crash, EveryRequestEndsWhenTheDeviceIsKilledWaiting) {
    kill_in_the_middle(true);
}

/// A peer process: takes the memory, hangs up, keeps the mapping, and writes all over it whenever it is told to.
class Haunter {
public:
    explicit Haunter(const std::string& path) {
        if (::pipe(orders_) != 0 || ::pipe(answers_) != 0) throw std::runtime_error("no pipe");
        // Listens before the fork, so that nobody has to wait for it.
        listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
        if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
            ::listen(listener_, 1) != 0)
            throw std::runtime_error("cannot listen");
        const pid_t parent = ::getpid();
        pid_ = ::fork();
        if (pid_ < 0) throw std::runtime_error("fork failed");
        if (pid_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (::getppid() != parent) ::_exit(1);
            serve();
        }
        ::close(listener_);
        ::close(orders_[0]);
        ::close(answers_[1]);
    }
    Haunter(const Haunter&) = delete;
    ~Haunter() {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        ::close(orders_[1]);
        ::close(answers_[0]);
    }
    /// 'h': hang up, 'w': write 0xee to every byte. Returns once it is done: what byte 0 is over there now.
    int order(char what) {
        unsigned char answer = 0;
        if (::write(orders_[1], &what, 1) != 1 || ::read(answers_[0], &answer, 1) != 1) return -1;
        return answer;
    }

private:
    [[noreturn]] void serve() {
        test::Peer peer(::accept(listener_, nullptr, nullptr));
        unsigned char* memory = nullptr;
        std::size_t bytes = 0;
        test::Message message;
        for (;;) {
            pollfd entries[2] = {{peer.fd(), POLLIN, 0}, {orders_[0], POLLIN, 0}};
            if (::poll(entries, 2, -1) < 0) ::_exit(1);
            // What the front-end said comes before what the test orders after it.
            if (entries[0].revents == 0) {
                char what = 0;
                if (::read(orders_[0], &what, 1) != 1) ::_exit(0);
                if (what == 'h') peer.close();
                if (what == 'w') std::memset(memory, 0xee, bytes);
                if (memory == nullptr || ::write(answers_[1], memory, 1) != 1) ::_exit(1);
                continue;
            }
            if (!peer.receive(message)) {
                peer.close();
                continue;
            }
            if (message.request == 5) {  // SET_MEM_TABLE of one region
                bytes = message.u64(8 + 8);
                void* mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, message.fds.at(0), 0);
                if (mapped == MAP_FAILED) ::_exit(1);
                memory = static_cast<unsigned char*>(mapped);
            }
            if (message.request == 1) peer.reply(message, (1ULL << 32) | (1ULL << 29) | (1ULL << 28));
        }
    }

    int orders_[2];
    int answers_[2];
    int listener_ = -1;
    pid_t pid_ = -1;
};

std::size_t haunted_bytes(bounce_pool* pool) {
    bounce_region_info region{};
    if (bounce_pool_region(pool, 0, &region) != 0) return ~std::size_t{0};
    const auto* bytes = static_cast<const unsigned char*>(region.hva);
    return static_cast<std::size_t>(std::count(bytes, bytes + region.bytes, 0xee));
}

TEST_F(Crash, APeerThatKeepsItsMappingDoesNotReachTheNewMemory) {
    const test::TempFolder folder;
    const std::string meeting = folder / "blk.sock";
    Haunter haunter(meeting);
    StorageDaemon daemon(16 * kMiB, 1);
    daemon.start();

    const PoolHandle pool = make_pool(8 * kMiB);
    const FrontendHandle frontend = connect_blk(pool.get(), meeting, 1, false);
    BlkQueue queue(frontend.get(), 0);
    std::vector<unsigned char> data(kMiB, 0x44), back(kMiB, 0x55);
    BlkRequest lost = blk_request(BlkType::kRead, 0, back.data(), back.size());
    ASSERT_EQ(queue.add(lost), 0);
    ASSERT_EQ(queue.submit(), 0);

    // It really has the memory, before and after it has hung up.
    ASSERT_EQ(haunter.order('w'), 0xee);
    EXPECT_GT(haunted_bytes(pool.get()), 7 * kMiB);
    ASSERT_EQ(haunter.order('h'), 0xee);
    while (bounce_frontend_check(frontend.get()) == 0) ::sched_yield();

    ASSERT_EQ(bounce_frontend_disconnect(frontend.get()), 0) << bounce_last_error();
    ASSERT_EQ(haunter.order('w'), 0xee);
    EXPECT_EQ(haunted_bytes(pool.get()), 0U);
    // The read that was under way ends without a byte of what was written there.
    EXPECT_EQ(queue.abort_all(), 1);
    EXPECT_EQ(lost.result, -ECONNRESET);
    EXPECT_EQ(std::count(back.begin(), back.end(), 0x55), static_cast<std::ptrdiff_t>(kMiB));

    // The successor is a real device at the same path; the old peer writes while it works.
    ASSERT_EQ(::unlink(meeting.c_str()), 0);
    ASSERT_EQ(::symlink(daemon.socket().c_str(), meeting.c_str()), 0);
    ASSERT_EQ(bounce_frontend_reconnect(frontend.get()), 0) << bounce_last_error();
    for (int i = 0; i < 8; ++i) {
        BlkRequest write = blk_request(BlkType::kWrite, static_cast<std::uint64_t>(i) * kMiB, data.data(), data.size());
        ASSERT_EQ(queue.run(write), 0) << bounce_last_error();
        ASSERT_TRUE(write.good());
        ASSERT_EQ(haunter.order('w'), 0xee);
        BlkRequest read = blk_request(BlkType::kRead, static_cast<std::uint64_t>(i) * kMiB, back.data(), back.size());
        ASSERT_EQ(queue.run(read), 0) << bounce_last_error();
        EXPECT_TRUE(read.good());
        EXPECT_TRUE(back == data);
    }
    EXPECT_EQ(haunted_bytes(pool.get()), 0U);
}

}  // namespace
}  // namespace bounce::e2e
