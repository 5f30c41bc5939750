// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What goes wrong with a real device is said clearly, and leaves everything as it was.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

#include "tests/e2e/support/blk.hpp"
#include "tests/e2e/support/storage_daemon.hpp"
#include "tests/unit/api/vhost/fake_backend.hpp"

namespace bounce::e2e {
namespace {

constexpr std::uint64_t kMiB = 1U << 20;

class Errors : public ::testing::Test {
protected:
    void SetUp() override {
        if (!StorageDaemon::available()) GTEST_SKIP() << StorageDaemon::kMissing;
    }
    /// Expects that connecting fails with `code` and words in the sentence, and changes nothing.
    void expect_refusal(const bounce_frontend_options& options, int code, const char* words) {
        const std::size_t before = test::open_descriptors();
        bounce_frontend* frontend = reinterpret_cast<bounce_frontend*>(this);
        EXPECT_EQ(bounce_frontend_connect(pool_.get(), &options, &frontend), code) << bounce_last_error();
        EXPECT_NE(std::string(bounce_last_error()).find(words), std::string::npos) << bounce_last_error();
        EXPECT_EQ(frontend, nullptr);
        EXPECT_EQ(test::open_descriptors(), before);
        EXPECT_EQ(stats_of(pool_.get()).used_bytes, 0U);
        if (frontend != nullptr) bounce_frontend_close(frontend);
    }

    PoolHandle pool_ = make_pool(4 * kMiB);
};

TEST_F(Errors, ThePathLeadsNowhere) {
    const test::TempFolder folder;
    const std::string missing = folder / "missing", file = folder / "file", stale = folder / "stale";
    expect_refusal(blk_options(missing, 1, false), -ENOENT, missing.c_str());
    std::ofstream(file) << "text";
    expect_refusal(blk_options(file, 1, false), -ENOTSOCK, "not a socket");
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, stale.c_str(), sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    expect_refusal(blk_options(stale, 1, false), -ECONNREFUSED, "nobody listens");
    ::close(fd);
    const std::string longer = folder / std::string(150, 'x');
    expect_refusal(blk_options(longer, 1, false), -ENAMETOOLONG, "at most 107");
}

TEST_F(Errors, TheDeviceLacksWhatIsRequired) {
    StorageDaemon daemon(kMiB, 1);
    daemon.start();
    const std::string socket = daemon.socket();
    bounce_frontend_options options = blk_options(socket, 1, false);
    options.required_features = std::uint64_t{1} << 22;
    expect_refusal(options, -ENOTSUP, "bit 22");
    options.required_features = std::uint64_t{1} << 33;
    expect_refusal(options, -ENOTSUP, "ACCESS_PLATFORM");
    options.required_features = std::uint64_t{1} << 34;
    expect_refusal(options, -ENOTSUP, "RING_PACKED");
    options = blk_options(socket, 2, false);
    expect_refusal(options, -ENOTSUP, "2 queues");
    // The same pool and device then work.
    const FrontendHandle frontend = connect_blk(pool_.get(), socket, 1, false);
    EXPECT_EQ(stats_of(pool_.get()).violations, 0U);
}

TEST_F(Errors, BadArguments) {
    StorageDaemon daemon(kMiB, 1);
    daemon.start();
    const std::string socket = daemon.socket();
    bounce_frontend_options options = blk_options(socket, 1, false);
    options.queue_size = 100;
    expect_refusal(options, -EINVAL, "power of two");
    options = blk_options(socket, 1, false);
    options.size = 3;
    expect_refusal(options, -EINVAL, "sizeof");
    options = blk_options(socket, 1, false);
    options.flags = 1U << 30;
    expect_refusal(options, -EINVAL, "unknown bits");
    options = blk_options(socket, 100000, false);
    expect_refusal(options, -EINVAL, "100000");
    options = blk_options(socket, 1, false);
    options.refused_features = std::uint64_t{1} << 32;
    expect_refusal(options, -EINVAL, "VERSION_1");
    options = blk_options(socket, 1, false);
    options.socket_path = nullptr;
    expect_refusal(options, -EINVAL, "socket_path");
    bounce_frontend* frontend = nullptr;
    EXPECT_EQ(bounce_frontend_connect(pool_.get(), nullptr, &frontend), -EINVAL);
    EXPECT_EQ(bounce_frontend_connect(nullptr, &options, &frontend), -EINVAL);
    EXPECT_EQ(bounce_frontend_connect(pool_.get(), &options, nullptr), -EINVAL);
    EXPECT_EQ(bounce_frontend_close(nullptr), 0);
    EXPECT_EQ(bounce_frontend_submit(nullptr, 0), -EINVAL);
    EXPECT_EQ(bounce_frontend_device(nullptr), nullptr);
    EXPECT_EQ(bounce_frontend_ring(nullptr, 0), nullptr);

    const FrontendHandle connected = connect_blk(pool_.get(), socket, 1, false);
    EXPECT_EQ(bounce_frontend_ring(connected.get(), 1), nullptr);
    EXPECT_EQ(bounce_frontend_submit(connected.get(), 1), -EINVAL);
    EXPECT_EQ(bounce_frontend_wait(connected.get(), 0, 0), -EINVAL);
    EXPECT_NE(std::string(bounce_last_error()).find("BOUNCE_FRONTEND_CALLS"), std::string::npos);
    EXPECT_EQ(bounce_frontend_reconnect(connected.get()), -EBUSY);
    EXPECT_EQ(bounce_ring_destroy(bounce_frontend_ring(connected.get(), 0)), -EBUSY);
    EXPECT_EQ(bounce_device_destroy(bounce_frontend_device(connected.get())), -EBUSY);
    EXPECT_EQ(bounce_pool_destroy(pool_.get()), -EBUSY);
    // One back-end at a time.
    EXPECT_EQ(bounce_frontend_connect(pool_.get(), &options, &frontend), -EINVAL);
    options = blk_options(socket, 1, false);
    EXPECT_EQ(bounce_frontend_connect(pool_.get(), &options, &frontend), -EBUSY) << bounce_last_error();
}

TEST_F(Errors, ConfigurationSpace) {
    StorageDaemon daemon(3 * kMiB, 1);
    daemon.start();
    const FrontendHandle frontend = connect_blk(pool_.get(), daemon.socket(), 1, false);
    unsigned char config[300] = {};
    ASSERT_EQ(bounce_frontend_read_config(frontend.get(), 0, config, 60), 0) << bounce_last_error();
    std::uint64_t capacity = 0;
    for (int i = 7; i >= 0; --i) capacity = capacity << 8 | config[i];
    EXPECT_EQ(capacity, 3 * kMiB / kSectorBytes);
    EXPECT_EQ(bounce_frontend_read_config(frontend.get(), 0, config, 0), -EINVAL);
    EXPECT_EQ(bounce_frontend_read_config(frontend.get(), 0, config, 257), -EINVAL);
    EXPECT_EQ(bounce_frontend_read_config(frontend.get(), 0, nullptr, 8), -EINVAL);
    // More than this device has: it says so, and stays.
    EXPECT_EQ(bounce_frontend_read_config(frontend.get(), 0, config, 256), -ENOTSUP);
    EXPECT_NE(std::string(bounce_last_error()).find("may be shorter"), std::string::npos) << bounce_last_error();
    EXPECT_EQ(bounce_frontend_check(frontend.get()), 0);
    const unsigned char writeback = 1;  // wce, the one field that a driver may write
    EXPECT_EQ(bounce_frontend_write_config(frontend.get(), 32, &writeback, 1), 0) << bounce_last_error();
    EXPECT_EQ(bounce_frontend_check(frontend.get()), 0);
}

TEST_F(Errors, AFullPoolAndARequestThatNoPoolOfThisSizeHolds) {
    StorageDaemon daemon(16 * kMiB, 1);
    daemon.start();
    const FrontendHandle frontend = connect_blk(pool_.get(), daemon.socket(), 1, false);
    BlkQueue queue(frontend.get(), 0);
    const bounce_pool_stats idle = stats_of(pool_.get());

    std::vector<unsigned char> large(5 * kMiB);
    BlkRequest impossible = blk_request(BlkType::kRead, 0, large.data(), large.size());
    EXPECT_EQ(queue.add(impossible), -E2BIG);
    EXPECT_STRNE(bounce_last_error(), "");
    EXPECT_EQ(stats_of(pool_.get()).used_bytes, idle.used_bytes);

    daemon.pause();
    std::vector<BlkRequest> requests(16);
    std::vector<unsigned char> data(kMiB);
    int code = 0;
    std::size_t n = 0;
    while (n < requests.size()) {
        requests[n] = blk_request(BlkType::kWrite, 0, data.data(), data.size());
        code = queue.add(requests[n]);
        if (code != 0) break;
        ++n;
    }
    EXPECT_EQ(code, -ENOSPC);
    EXPECT_NE(std::string(bounce_last_error()).find("full"), std::string::npos) << bounce_last_error();
    EXPECT_GE(n, 2U);
    EXPECT_EQ(queue.outstanding(), n);
    EXPECT_GE(stats_of(pool_.get()).full, 1U);
    daemon.resume();
    ASSERT_EQ(queue.submit(), 0);
    while (queue.outstanding() != 0) {
        ASSERT_GE(queue.collect(), 0);
        ASSERT_EQ(bounce_frontend_check(frontend.get()), 0) << bounce_last_error();
    }
    for (std::size_t i = 0; i < n; ++i) EXPECT_TRUE(requests[i].good());
    EXPECT_EQ(stats_of(pool_.get()).used_bytes, idle.used_bytes);
    EXPECT_EQ(queue.run(requests[n]), 0) << bounce_last_error();
}

TEST_F(Errors, AFullRing) {
    StorageDaemon daemon(kMiB, 1);
    daemon.start();
    const std::string socket = daemon.socket();
    bounce_frontend_options options = blk_options(socket, 1, false);
    options.queue_size = 4;
    bounce_frontend* raw = nullptr;
    ASSERT_EQ(bounce_frontend_connect(pool_.get(), &options, &raw), 0) << bounce_last_error();
    const FrontendHandle frontend(raw);
    BlkQueue queue(raw, 0);
    daemon.pause();
    unsigned char sector[kSectorBytes] = {};
    std::vector<BlkRequest> requests(8, blk_request(BlkType::kRead, 0, sector, sizeof sector));
    std::size_t n = 0;
    int code = 0;
    while (n < requests.size() && (code = queue.add(requests[n])) == 0) ++n;
    EXPECT_EQ(code, -EAGAIN);
    EXPECT_GE(n, 1U);
    EXPECT_LE(n, 4U);
    daemon.resume();
    ASSERT_EQ(queue.submit(), 0);
    while (queue.outstanding() != 0) ASSERT_GE(queue.collect(), 0);
    ASSERT_LT(n, requests.size());
    EXPECT_EQ(queue.run(requests[n]), 0) << bounce_last_error();
}

TEST_F(Errors, GrowsWhileTheDeviceWorks) {
    StorageDaemon daemon(16 * kMiB, 1);
    daemon.start();
    const FrontendHandle frontend = connect_blk(pool_.get(), daemon.socket(), 1, false);
    BlkQueue queue(frontend.get(), 0);
    std::vector<unsigned char> data(6 * kMiB, 0x77), back(6 * kMiB);
    BlkRequest write = blk_request(BlkType::kWrite, 0, data.data(), data.size());
    EXPECT_EQ(queue.add(write), -E2BIG);
    bounce_region_options region{};
    region.size = sizeof region;
    region.bytes = 8 * kMiB;
    region.base_gpa = kBaseGpa + 64 * kMiB;
    ASSERT_EQ(bounce_pool_add_region(pool_.get(), &region), 0) << bounce_last_error();
    ASSERT_EQ(bounce_frontend_sync_regions(frontend.get()), 0) << bounce_last_error();
    ASSERT_EQ(queue.run(write), 0) << bounce_last_error();
    BlkRequest read = blk_request(BlkType::kRead, 0, back.data(), back.size());
    ASSERT_EQ(queue.run(read), 0) << bounce_last_error();
    EXPECT_TRUE(read.good());
    EXPECT_TRUE(back == data);
}

TEST_F(Errors, ClosingWaitsForTheCallersOwnMemory) {
    StorageDaemon daemon(kMiB, 1);
    daemon.start();
    FrontendHandle frontend = connect_blk(pool_.get(), daemon.socket(), 1, false);
    bounce_device* device = bounce_frontend_device(frontend.get());
    bounce_block block{};
    ASSERT_EQ(bounce_buffer_alloc(device, 1000, 0, &block), 0) << bounce_last_error();
    EXPECT_EQ(bounce_frontend_close(frontend.get()), -EBUSY);
    EXPECT_NE(std::string(bounce_last_error()).find("1 mappings or blocks"), std::string::npos) << bounce_last_error();
    ASSERT_EQ(bounce_buffer_free(device, &block), 0) << bounce_last_error();
    EXPECT_EQ(bounce_frontend_close(frontend.release()), 0) << bounce_last_error();
    EXPECT_EQ(stats_of(pool_.get()).used_bytes, 0U);
    // The pool can be lent again.
    const FrontendHandle again = connect_blk(pool_.get(), daemon.socket(), 1, true);
}

TEST_F(Errors, AForkedChildHasNoFrontEnd) {
    StorageDaemon daemon(kMiB, 1);
    daemon.start();
    const FrontendHandle frontend = connect_blk(pool_.get(), daemon.socket(), 1, true);
    const std::string socket = daemon.socket();
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        bounce_frontend* it = frontend.get();
        const bounce_frontend_options options = blk_options(socket, 1, false);
        bounce_frontend* other = nullptr;
        bounce_frontend_info info{};
        unsigned char byte = 0;
        const int codes[] = {bounce_frontend_connect(pool_.get(), &options, &other),
                             bounce_frontend_submit(it, 0),
                             bounce_frontend_wait(it, 0, 0),
                             bounce_frontend_check(it),
                             bounce_frontend_get_info(it, &info),
                             bounce_frontend_read_config(it, 0, &byte, 1),
                             bounce_frontend_write_config(it, 32, &byte, 1),
                             bounce_frontend_sync_regions(it),
                             bounce_frontend_disconnect(it),
                             bounce_frontend_reconnect(it),
                             bounce_frontend_close(it)};
        int wrong = 0;
        for (const int code : codes) wrong += code == -EOWNERDEAD ? 0 : 1;
        ::_exit(wrong);
    }
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    // The parent goes on as if nothing had happened.
    BlkQueue queue(frontend.get(), 0);
    unsigned char sector[kSectorBytes] = {};
    BlkRequest read = blk_request(BlkType::kRead, 0, sector, sizeof sector);
    EXPECT_EQ(queue.run(read), 0) << bounce_last_error();
    EXPECT_TRUE(read.good());
}

}  // namespace
}  // namespace bounce::e2e
