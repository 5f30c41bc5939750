// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a device can see: the pool and no other memory of ours; in the pool what was mapped for it, and nothing that
// stands around private buffers, was in them before, or says where they are.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include "tests/e2e/support/blk.hpp"
#include "tests/e2e/support/maps.hpp"
#include "tests/e2e/support/storage_daemon.hpp"

namespace bounce::e2e {
namespace {

constexpr std::uint64_t kMiB = 1U << 20;
constexpr std::size_t kCanaryBytes = 16;
constexpr unsigned char kPayload = 0x11;

/// Put together at run time, so that no read-only data holds it.
std::array<unsigned char, kCanaryBytes> canary() {
    std::array<unsigned char, kCanaryBytes> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<unsigned char>(0xc3 + 37 * i);
    return bytes;
}

/// A private buffer between two canaries; one that the device is to write is full of them.
class Guarded {
public:
    Guarded(std::size_t bytes, bool filled) : memory_(bytes + 2 * kCanaryBytes, kPayload), bytes_(bytes) {
        const auto mark = canary();
        std::memcpy(memory_.data(), mark.data(), kCanaryBytes);
        std::memcpy(memory_.data() + kCanaryBytes + bytes, mark.data(), kCanaryBytes);
        for (std::size_t at = 0; filled && at < bytes; at += kCanaryBytes)
            std::memcpy(data() + at, mark.data(), std::min(kCanaryBytes, bytes - at));
    }
    [[nodiscard]] unsigned char* data() { return memory_.data() + kCanaryBytes; }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }
    [[nodiscard]] bool guards_intact() const {
        const auto mark = canary();
        return std::memcmp(memory_.data(), mark.data(), kCanaryBytes) == 0 &&
               std::memcmp(memory_.data() + kCanaryBytes + bytes_, mark.data(), kCanaryBytes) == 0;
    }

private:
    std::vector<unsigned char> memory_;
    std::size_t bytes_;
};

std::string dump(bounce_pool* pool) {
    std::string all;
    bounce_region_info region{};
    for (std::uint32_t i = 0; bounce_pool_region(pool, i, &region) == 0; ++i)
        all.append(static_cast<const char*>(region.hva), region.bytes);
    return all;
}

std::size_t canaries_in(const std::string& bytes) {
    const auto mark = canary();
    // Half a canary would be as bad as a whole one.
    const std::string_view needle(reinterpret_cast<const char*>(mark.data()), kCanaryBytes / 2);
    std::size_t n = 0;
    for (std::size_t at = bytes.find(needle); at != std::string::npos; at = bytes.find(needle, at + 1)) ++n;
    return n;
}

/// Words in the dump that are addresses of mappings of this process, other than the GPAs of the pool.
std::size_t addresses_in(const std::string& bytes, std::uint64_t gpa_bytes) {
    std::vector<Mapping> mappings;
    for (const Mapping& one : maps_of(0)) {
        if (one.end - one.start <= 1024 * kMiB) mappings.push_back(one);  // not the reserved space of a sanitizer
    }
    std::size_t n = 0;
    for (std::size_t at = 0; at + 8 <= bytes.size(); at += 4) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes.data() + at, sizeof word);
        if (word < 65536 || (word >= kBaseGpa && word < kBaseGpa + gpa_bytes)) continue;
        for (const Mapping& one : mappings) n += one.start <= word && word < one.end ? 1 : 0;
    }
    return n;
}

class Isolation : public ::testing::Test {
protected:
    void SetUp() override {
        if (!StorageDaemon::available()) GTEST_SKIP() << StorageDaemon::kMissing;
    }
};

TEST_F(Isolation, TheDeviceSharesThePoolWithUsAndNothingElse) {
    StorageDaemon daemon(16 * kMiB, 1);
    daemon.start();
    const PoolHandle pool = make_pool(8 * kMiB);
    const FrontendHandle frontend = connect_blk(pool.get(), daemon.socket(), 1, false);
    // Memory of ours that is shared, but not the pool's: it must not turn up over there.
    const PoolHandle other = make_pool(2 * kMiB, kBaseGpa + 64 * kMiB);

    bounce_region_info region{};
    ASSERT_EQ(bounce_pool_region(pool.get(), 0, &region), 0);
    const Mapping ours = mapping_at(region.hva);
    struct stat about {};
    ASSERT_EQ(::fstat(region.fd, &about), 0);
    EXPECT_EQ(ours.inode, about.st_ino);

    std::size_t of_pool = 0;
    std::string strangers;
    for (const Mapping& theirs : maps_of(daemon.pid())) {
        for (const Mapping& mine : maps_of(0)) {
            if (!theirs.shared || !mine.shared || !theirs.same_file(mine)) continue;
            if (theirs.same_file(ours)) {
                ++of_pool;
            } else {
                strangers += theirs.path + " ";
            }
        }
    }
    EXPECT_GE(of_pool, 1U);
    EXPECT_EQ(strangers, "");
}

TEST_F(Isolation, NothingPrivateIsInThePool) {
    StorageDaemon daemon(16 * kMiB, 1);
    daemon.start();
    const std::uint64_t pool_bytes = 16 * kMiB;
    const PoolHandle pool = make_pool(pool_bytes);
    const FrontendHandle frontend = connect_blk(pool.get(), daemon.socket(), 1, false);
    BlkQueue queue(frontend.get(), 0);

    // The device stands still, so that everything is in the pool at once. Pieces of odd sizes: no slot fits exactly.
    daemon.pause();
    constexpr std::size_t kRequests = 24;
    std::vector<BlkRequest> requests(kRequests);
    std::vector<std::vector<Guarded>> buffers(kRequests);
    for (std::size_t i = 0; i < kRequests; ++i) {
        BlkRequest& request = requests[i];
        const bool reads = i % 2 == 0;
        request.type = reads ? BlkType::kRead : BlkType::kWrite;
        request.sector = 100 * i;
        const std::size_t total = (1 + i * i) * kSectorBytes;
        const std::size_t first = total / 3 + 13 + i, second = 1 + i;
        for (const std::size_t n : {first % total, second, total - first % total - second})
            buffers[i].emplace_back(n, reads);
        for (Guarded& buffer : buffers[i]) request.data.push_back({buffer.data(), buffer.bytes(), 0, 0});
        ASSERT_EQ(queue.add(request), 0) << bounce_last_error();
    }
    ASSERT_EQ(queue.submit(), 0);

    const std::string before = dump(pool.get());
    // The dump is what the device sees: what was mapped to_device is there.
    EXPECT_NE(before.find(std::string(3000, static_cast<char>(kPayload))), std::string::npos);
    EXPECT_EQ(canaries_in(before), 0U);
    EXPECT_EQ(addresses_in(before, pool_bytes), 0U);
    // And the searches find what they look for.
    std::string marked = before;
    std::memcpy(marked.data() + 4096, canary().data(), kCanaryBytes);
    const auto address = reinterpret_cast<std::uint64_t>(buffers[0][0].data());
    std::memcpy(marked.data() + 8192, &address, sizeof address);
    EXPECT_EQ(canaries_in(marked), 1U);
    EXPECT_GE(addresses_in(marked, pool_bytes), 1U);

    daemon.resume();
    while (queue.outstanding() != 0) {
        ASSERT_GE(queue.collect(), 0) << bounce_last_error();
        ASSERT_EQ(bounce_frontend_check(frontend.get()), 0) << bounce_last_error();
        ::sched_yield();
    }
    for (std::size_t i = 0; i < kRequests; ++i) {
        EXPECT_TRUE(requests[i].good()) << i;
        for (const Guarded& buffer : buffers[i]) EXPECT_TRUE(buffer.guards_intact()) << i;
    }
    const std::string after = dump(pool.get());
    EXPECT_EQ(canaries_in(after), 0U);
    EXPECT_EQ(addresses_in(after, pool_bytes), 0U);
}

}  // namespace
}  // namespace bounce::e2e
