// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The order and the content of what a front-end says, and its life from connecting to closing.
#include "api/vhost/frontend.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <vector>

#include "tests/unit/api/vhost/frontend_fixture.hpp"

namespace bounce::vhost {
namespace {

using test::Message;

std::vector<std::uint32_t> requests_of(const std::vector<Message>& log) {
    std::vector<std::uint32_t> numbers;
    for (const Message& message : log) numbers.push_back(message.request);
    return numbers;
}

TEST_F(FrontendTest, SaysTheRightThingsInTheRightOrder) {
    const std::size_t descriptors = test::open_descriptors();
    config_.queues = 2;
    config_.queue_size = 64;
    config_.features.wanted = feature(9);
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    const std::vector<std::uint32_t> expected = {3, 1,  15, 16, 17, 36, 2,  37, 8,  10,
                                                 9, 13, 12, 8,  10, 9,  13, 12, 18, 18};
    const std::vector<Message> log = backend_.log();
    EXPECT_EQ(requests_of(log), expected);
    for (const Message& message : log) {
        const bool reply_ack = message.request != 3 && message.request != 1 && message.request != 15 &&
                               message.request != 16 && message.request != 17 && message.request != 36;
        EXPECT_EQ(message.flags, reply_ack ? 9U : 1U) << message.request;
    }
    // Only what is known is accepted: not the back-end channel, which was offered.
    EXPECT_EQ(log[3].u64(0), kKnownProtocolFeatures);
    EXPECT_EQ(log[6].u64(0), kVersion1 | kProtocolFeatures | kEventIdx | kIndirectDesc | feature(9));

    const bounce_frontend_info info = frontend_->info();
    EXPECT_EQ(info.features, kVersion1 | kEventIdx | kIndirectDesc | feature(9));
    EXPECT_EQ(info.offered_features, backend_.features & ~kProtocolFeatures);
    EXPECT_EQ(info.protocol_features, kKnownProtocolFeatures);
    EXPECT_EQ(info.queues, 2U);
    EXPECT_EQ(info.max_queues, 4U);
    EXPECT_EQ(info.queue_size, 64U);
    EXPECT_EQ(info.max_memory_slots, 32U);
    EXPECT_EQ(info.connected, 1U);

    backend_.forget();
    ASSERT_TRUE(close()) << last_error();
    EXPECT_EQ(requests_of(backend_.log()), (std::vector<std::uint32_t>{11, 11}));
    backend_.stop();
    EXPECT_EQ(test::open_descriptors(), descriptors);
    expect_clean();
}

TEST_F(FrontendTest, APackedRingBeginsWithItsWrapCounters) {
    config_.queue_size = 100;  // no power of two
    config_.features.required = kRingPacked;
    backend_.features |= kRingPacked | kInOrder;
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    const bounce_ring_layout layout = frontend_->ring(0).layout();
    EXPECT_EQ(backend_.log(8)[0].u32(4), 100U);
    EXPECT_EQ(backend_.log(10)[0].u32(4), 0x80008000U);
    const auto address = backend_.log(9);
    ASSERT_EQ(address.size(), 1U);
    EXPECT_EQ(address[0].u64(8), layout.desc_addr);
    EXPECT_EQ(address[0].u64(16), layout.used_addr);
    EXPECT_EQ(address[0].u64(24), layout.avail_addr);
    EXPECT_EQ(layout.avail_addr, layout.desc_addr + 1664);  // 100 descriptors, and up to the next 128 bytes
    EXPECT_EQ(frontend_->info().features & (kRingPacked | kInOrder), kRingPacked);
    EXPECT_TRUE(close()) << last_error();
    expect_clean();
}

TEST_F(FrontendTest, ShowsThePoolByItsGpas) {
    config_.queue_size = 64;
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    const auto memory = backend_.log(37);
    ASSERT_EQ(memory.size(), 1U);
    EXPECT_EQ(memory[0].payload.size(), 40U);
    EXPECT_EQ(memory[0].u64(0), 0U);
    EXPECT_EQ(memory[0].u64(8), kTestGpa);
    EXPECT_EQ(memory[0].u64(16), std::uint64_t{4} << 20);
    EXPECT_EQ(memory[0].u64(24), kTestGpa);  // the user address, too
    EXPECT_EQ(memory[0].u64(32), 0U);
    ASSERT_EQ(memory[0].fds.size(), 1U);
    struct stat theirs {
    }, ours{};
    ASSERT_EQ(::fstat(memory[0].fds[0], &theirs), 0);
    ASSERT_EQ(::fstat(pool_->region(RegionId{0}).fd(), &ours), 0);
    EXPECT_EQ(theirs.st_ino, ours.st_ino);

    const bounce_ring_layout layout = frontend_->ring(0).layout();
    const auto address = backend_.log(9);
    ASSERT_EQ(address.size(), 1U);
    EXPECT_EQ(address[0].payload.size(), 40U);
    EXPECT_EQ(address[0].u32(0), 0U);
    EXPECT_EQ(address[0].u32(4), 0U);
    EXPECT_EQ(address[0].u64(8), layout.desc_addr);
    EXPECT_EQ(address[0].u64(16), layout.used_addr);
    EXPECT_EQ(address[0].u64(24), layout.avail_addr);
    EXPECT_EQ(address[0].u64(32), 0U);
    EXPECT_GE(layout.desc_addr, kTestGpa);
    EXPECT_LT(layout.used_addr, kTestGpa + (std::uint64_t{4} << 20));
    EXPECT_EQ(backend_.log(8)[0].u32(4), 64U);
    EXPECT_EQ(backend_.log(10)[0].u32(4), layout.avail_index);
    EXPECT_EQ(backend_.log(18)[0].u32(4), 1U);
    for (const std::uint32_t request : {12U, 13U}) {
        ASSERT_EQ(backend_.log(request).size(), 1U);
        EXPECT_EQ(backend_.log(request)[0].u64(0), 0U);
        EXPECT_EQ(backend_.log(request)[0].fds.size(), 1U);
    }
    ASSERT_TRUE(close());
}

TEST_F(FrontendTest, ABackEndWithoutMemorySlotsGetsATable) {
    add_region(16U << 20);
    add_region(32U << 20);
    backend_.protocol &= ~kConfigureMemSlots;
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    EXPECT_TRUE(backend_.log(36).empty());
    const auto table = backend_.log(5);
    ASSERT_EQ(table.size(), 1U);
    EXPECT_EQ(table[0].payload.size(), 8U + 3 * 32);
    EXPECT_EQ(table[0].u32(0), 3U);
    EXPECT_EQ(table[0].fds.size(), 3U);
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(table[0].u64(8 + 32 * i), kTestGpa + i * (16U << 20));
        EXPECT_EQ(table[0].u64(8 + 32 * i + 16), kTestGpa + i * (16U << 20));
    }
    EXPECT_EQ(frontend_->info().max_memory_slots, 8U);
    // It has no more room for what comes later.
    EXPECT_TRUE(frontend_->sync_regions());
    add_region(48U << 20);
    EXPECT_EQ(frontend_->sync_regions().code(), ENOTSUP);
    EXPECT_TRUE(frontend_->check());
    ASSERT_TRUE(close());
}

TEST_F(FrontendTest, ShowsRegionsThatWereAddedLater) {
    backend_.slots = 2;
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    add_region(16U << 20);
    ASSERT_TRUE(frontend_->sync_regions()) << last_error();
    ASSERT_TRUE(frontend_->sync_regions()) << last_error();
    ASSERT_EQ(backend_.log(37).size(), 2U);
    EXPECT_EQ(backend_.log(37)[1].u64(8), kTestGpa + (16U << 20));
    add_region(32U << 20);
    EXPECT_EQ(frontend_->sync_regions().code(), ENOTSUP);
    EXPECT_STREQ(last_error(), "the pool has 3 regions, the back-end takes at most 2");
    ASSERT_TRUE(close());
    EXPECT_EQ(connect().code(), ENOTSUP);
    expect_clean();
}

TEST_F(FrontendTest, TooManyRegionsForATable) {
    for (std::uint64_t i = 1; i <= 8; ++i) add_region(i * (16U << 20));
    backend_.features &= ~kProtocolFeatures;
    backend_.start();
    ASSERT_EQ(connect().code(), ENOTSUP);
    EXPECT_NE(std::string(last_error()).find("9 regions, the back-end takes at most 8"), std::string::npos)
        << last_error();
    expect_clean();
}

TEST_F(FrontendTest, AnOldBackEndWithoutProtocolFeatures) {
    backend_.features = kVersion1;
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    const std::vector<std::uint32_t> expected = {3, 1, 2, 5, 8, 10, 9, 13, 12};
    // It answers nothing: wait until it has read everything.
    while (backend_.log().size() < expected.size()) std::this_thread::yield();
    EXPECT_EQ(requests_of(backend_.log()), expected);
    for (const Message& message : backend_.log()) EXPECT_EQ(message.flags, 1U);
    EXPECT_EQ(backend_.log(2)[0].u64(0), kVersion1);
    EXPECT_EQ(frontend_->info().max_queues, 1U);
    std::byte out[8];
    EXPECT_EQ(frontend_->read_config(0, out, 8).code(), ENOTSUP);
    EXPECT_EQ(frontend_->write_config(0, out, 8).code(), ENOTSUP);
    ASSERT_TRUE(close()) << last_error();
    config_.queues = 2;
    EXPECT_EQ(connect().code(), ENOTSUP);
    EXPECT_NE(std::string(last_error()).find("F_MQ"), std::string::npos) << last_error();
    expect_clean();
}

TEST_F(FrontendTest, ConfigurationSpace) {
    for (std::size_t i = 0; i < backend_.config.size(); ++i) backend_.config[i] = static_cast<unsigned char>(i);
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    unsigned char out[256] = {};
    ASSERT_TRUE(frontend_->read_config(7, out, 9)) << last_error();
    for (unsigned char i = 0; i < 9; ++i) EXPECT_EQ(out[i], 7 + i);
    EXPECT_EQ(out[9], 0);
    ASSERT_EQ(frontend_->read_config(0, out, 61).code(), ENOTSUP);
    EXPECT_NE(std::string(last_error()).find("61 bytes at offset 0"), std::string::npos) << last_error();
    EXPECT_EQ(frontend_->read_config(0, out, 257).code(), EINVAL);
    EXPECT_EQ(frontend_->read_config(0, out, 0).code(), EINVAL);
    EXPECT_EQ(frontend_->read_config(0xffffffff, out, 1).code(), EINVAL);
    const unsigned char in[3] = {1, 2, 3};
    ASSERT_TRUE(frontend_->write_config(32, in, 3)) << last_error();
    const auto written = backend_.log(25);
    ASSERT_EQ(written.size(), 1U);
    EXPECT_EQ(written[0].payload.size(), 15U);
    EXPECT_EQ(written[0].u32(0), 32U);
    EXPECT_EQ(written[0].u32(4), 3U);
    EXPECT_EQ(written[0].u32(8), 0U);
    EXPECT_EQ(written[0].payload[14], 3);
    EXPECT_TRUE(frontend_->check());
    ASSERT_TRUE(close());
}

TEST_F(FrontendTest, APoolIsLentOnce) {
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    auto second = Frontend::connect(*pool_, callbacks_, config_);
    EXPECT_EQ(second.code(), EBUSY);
    ASSERT_TRUE(frontend_->disconnect());
    // Not even while nobody is there: the rings are still in it.
    EXPECT_EQ(Frontend::connect(*pool_, callbacks_, config_).code(), EBUSY);
    ASSERT_TRUE(close());
    expect_clean();
}

TEST_F(FrontendTest, TheNextBackEndGetsFreshMemoryAlsoAfterACleanEnd) {
    backend_.start();
    const std::uint32_t epoch = pool_->region(RegionId{0}).epoch();
    ASSERT_TRUE(connect()) << last_error();
    EXPECT_EQ(pool_->region(RegionId{0}).epoch(), epoch);
    ASSERT_TRUE(close());
    EXPECT_GT(pool_->region(RegionId{0}).epoch(), epoch);
    expect_clean();
}

TEST_F(FrontendTest, ReconnectsUnderTheSameConditions) {
    config_.features.wanted = feature(9) | feature(13);
    config_.queues = 2;
    backend_.start();
    const std::size_t descriptors = test::open_descriptors();
    ASSERT_TRUE(connect()) << last_error();
    const std::uint64_t features = frontend_->info().features;
    for (std::uint32_t round = 1; round <= 3; ++round) {
        EXPECT_EQ(frontend_->reconnect().code(), EBUSY);
        const std::uint32_t epoch = pool_->region(RegionId{0}).epoch();
        ASSERT_TRUE(frontend_->disconnect()) << last_error();
        EXPECT_GT(pool_->region(RegionId{0}).epoch(), epoch);
        ASSERT_TRUE(frontend_->disconnect()) << last_error();
        EXPECT_EQ(frontend_->info().connected, 0U);
        EXPECT_EQ(frontend_->check().code(), ECONNRESET);
        EXPECT_EQ(frontend_->submit(0).code(), ECONNRESET);
        unsigned char byte = 0;
        EXPECT_EQ(frontend_->read_config(0, &byte, 1).code(), ECONNRESET);
        backend_.forget();
        backend_.features |= feature(13);  // more than before: it is not used
        ASSERT_TRUE(frontend_->reconnect()) << last_error();
        EXPECT_EQ(frontend_->info().features, features);
        EXPECT_EQ(frontend_->info().reconnects, round);
        EXPECT_EQ(backend_.log(37).size(), 1U);
        EXPECT_TRUE(frontend_->check());
    }
    backend_.drop_fds();
    ASSERT_TRUE(close());
    backend_.stop();
    EXPECT_LE(test::open_descriptors(), descriptors);
    expect_clean();
}

// Whatever the pool grows by, a descriptor never has an address that the back-end was not shown.
TEST_F(FrontendTest, ARegionIsUsedOnceTheBackEndWasShownIt) {
    for (const bool slots : {false, true}) {
        SCOPED_TRACE(slots);
        backend_.protocol = slots ? (1U << 15) | (1U << 3) : 0;
        backend_.start();
        ASSERT_TRUE(connect()) << last_error();
        const std::uint32_t before = pool_->regions();
        add_region(std::uint64_t{before} << 30);
        EXPECT_EQ(pool_->usable_regions(), before);
        EXPECT_EQ(frontend_->sync_regions().code(), slots ? 0 : ENOTSUP) << last_error();
        EXPECT_EQ(pool_->usable_regions(), before + (slots ? 1 : 0));
        ASSERT_TRUE(frontend_->disconnect()) << last_error();
        ASSERT_TRUE(frontend_->reconnect()) << last_error();
        EXPECT_EQ(pool_->usable_regions(), before + 1);  // also without memory slots: in the table
        ASSERT_TRUE(close());
        EXPECT_EQ(pool_->usable_regions(), before + 1);
        backend_.stop();
        expect_clean();
    }
}

// The time in which the connection is being made is the back-end's to choose.
TEST_F(FrontendTest, ARegionThatComesWhileConnectingWaits) {
    std::vector<std::byte> memory(2U << 20);
    bool showable = true;
    backend_.before[17] = [&](test::Peer&, test::Message&) {
        RegionConfig more;
        more.bytes = 1U << 20;
        more.base_gpa = Gpa{kTestGpa + (std::uint64_t{pool_->regions()} << 30)};
        if (!showable) {
            void* const first = memory.data();
            more.imported_hva = reinterpret_cast<void*>(round_up(reinterpret_cast<std::uintptr_t>(first), kPageBytes));
        }
        EXPECT_TRUE(pool_->add_region(more)) << last_error();
    };
    backend_.start();
    for (showable = true;; showable = false) {
        SCOPED_TRACE(showable);
        ASSERT_TRUE(connect()) << last_error();
        const std::uint32_t shown = 2;  // the one that came first and can be shown
        EXPECT_EQ(pool_->usable_regions(), shown);
        EXPECT_EQ(backend_.log(37).size(), shown);
        if (!showable) break;
        ASSERT_TRUE(close());
        backend_.forget();
    }
    // One without a descriptor.
    EXPECT_EQ(pool_->regions(), 3U);
    EXPECT_EQ(frontend_->sync_regions().code(), EINVAL) << last_error();
    EXPECT_EQ(pool_->usable_regions(), 2U);
    EXPECT_EQ(frontend_->close().code(), 0) << last_error();
    frontend_.reset();
}

TEST_F(FrontendTest, ABackEndIsNotShownWhatOthersLeftBehind) {
    char secret[64] = "secret";
    {
        auto other = Device::create(*pool_, callbacks_, {});
        ASSERT_TRUE(other) << last_error();
        bounce_mapping mapping;
        ASSERT_TRUE((*other)->map(secret, sizeof secret, Direction::kToDevice, 0, mapping)) << last_error();
        ASSERT_TRUE((*other)->unmap(mapping, 0)) << last_error();
    }
    const std::uint32_t epoch = pool_->region(RegionId{0}).epoch();
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    EXPECT_GT(pool_->region(RegionId{0}).epoch(), epoch);
    ASSERT_TRUE(close());
    expect_clean();
}

TEST_F(FrontendTest, AfterADisconnectNothingIsCollected) {
    config_.queues = 1;
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    Virtqueue& ring = frontend_->ring(0);
    char data[64] = {};
    const bounce_sg sg{data, sizeof data, 0, 0};
    for (int i = 0; i < 8; ++i) ASSERT_TRUE(ring.add({&sg, 1}, 0, data)) << last_error();
    ASSERT_TRUE(frontend_->submit(0)) << last_error();
    ASSERT_TRUE(frontend_->disconnect()) << last_error();
    bounce_completion completions[16];
    EXPECT_EQ(ring.collect(completions).code(), ESTALE) << last_error();
    EXPECT_EQ(ring.add({&sg, 1}, 0, data).code(), ESTALE) << last_error();
    EXPECT_EQ(ring.stats().violations, 0U);
    EXPECT_EQ(ring.abort(completions), 8U);
    ASSERT_TRUE(frontend_->reconnect()) << last_error();
    ASSERT_TRUE(ring.add({&sg, 1}, 0, data)) << last_error();
    ASSERT_TRUE(close());
    expect_clean();
}

TEST_F(FrontendTest, DisconnectAsksTheQueuesToStop) {
    config_.queues = 2;
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    ASSERT_TRUE(frontend_->disconnect()) << last_error();
    EXPECT_EQ(backend_.log(11).size(), 2U);
    ASSERT_TRUE(frontend_->disconnect()) << last_error();
    EXPECT_EQ(backend_.log(11).size(), 2U);
    ASSERT_TRUE(close());
    EXPECT_EQ(backend_.log(11).size(), 2U);
}

TEST_F(FrontendTest, DisconnectDoesNotWaitLongForABackEndThatIsStuck) {
    config_.timeout_ms = 600'000;  // the test's own time limit is shorter
    backend_.instead[11] = [](test::Peer&, test::Message&) {};
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    const std::uint32_t epoch = pool_->region(RegionId{0}).epoch();
    ASSERT_TRUE(frontend_->disconnect()) << last_error();
    EXPECT_GT(pool_->region(RegionId{0}).epoch(), epoch);
    ASSERT_TRUE(frontend_->reconnect()) << last_error();
    ASSERT_TRUE(frontend_->disconnect()) << last_error();
    ASSERT_TRUE(close());
    expect_clean();
}

TEST_F(FrontendTest, ASuccessorThatLacksSomethingIsRefused) {
    config_.queues = 2;
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    ASSERT_TRUE(frontend_->disconnect());
    backend_.features &= ~kEventIdx;
    ASSERT_EQ(frontend_->reconnect().code(), ENOTSUP);
    EXPECT_NE(std::string(last_error()).find("EVENT_IDX"), std::string::npos) << last_error();
    backend_.features |= kEventIdx;
    backend_.queues = 1;
    ASSERT_EQ(frontend_->reconnect().code(), ENOTSUP);
    EXPECT_NE(std::string(last_error()).find("2 queues are wanted, the back-end has 1"), std::string::npos)
        << last_error();
    EXPECT_EQ(frontend_->info().connected, 0U);
    backend_.queues = 2;
    ASSERT_TRUE(frontend_->reconnect()) << last_error();
    ASSERT_TRUE(close());
    expect_clean();
}

TEST_F(FrontendTest, ClosesWithWhatIsOutstanding) {
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    char data[1000] = {};
    const bounce_sg sg{data, sizeof data, 0, 0};
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(frontend_->ring(0).add({&sg, 1}, 0, data)) << last_error();
    ASSERT_TRUE(frontend_->submit(0));
    EXPECT_EQ(pool_->stats().slots_of_kind[static_cast<std::size_t>(SlotKind::kStreaming)], 10U);
    ASSERT_TRUE(close()) << last_error();
    expect_clean();
}

class Imported : public FrontendTest {
protected:
    /// A pool over memory of the test's own.
    void use(unsigned memfd_flags, int seals) {
        constexpr std::size_t kBytes = 2U << 20;
        fd_ = Fd(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING | memfd_flags));
        if (!fd_ || ::ftruncate(fd_.get(), kBytes) != 0) throw std::runtime_error("no memfd");
        if (seals != 0 && ::fcntl(fd_.get(), F_ADD_SEALS, seals) != 0) throw std::runtime_error("no seals");
        void* hva = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
        if (hva == MAP_FAILED) throw std::runtime_error("no mapping");
        memory_ = hva;
        RegionConfig region;
        region.bytes = kBytes;
        region.base_gpa = Gpa{kTestGpa};
        region.imported_hva = hva;
        region.imported_fd = no_fd_ ? -1 : fd_.get();
        auto made = Pool::create(region);
        if (!made) throw std::runtime_error(last_error());
        pool_ = std::move(*made);
    }
    void TearDown() override {
        frontend_.reset();
        pool_.reset();
        if (memory_ != nullptr) ::munmap(memory_, 2U << 20);
    }
    bool no_fd_ = false;
    Fd fd_;
    void* memory_ = nullptr;
};

TEST_F(Imported, IsNotLentAgainWhenTheBackEndDidNotStop) {
    use(0, F_SEAL_SHRINK);
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    ASSERT_EQ(frontend_->disconnect().code(), ENOTSUP);
    ASSERT_EQ(frontend_->reconnect().code(), ENOTSUP);
    EXPECT_NE(std::string(last_error()).find("may still write"), std::string::npos) << last_error();
    EXPECT_EQ(close().code(), ENOTSUP);
    EXPECT_EQ(pool_->users(), 0U);
    EXPECT_EQ(connect().code(), EBUSY);
}

// The successor gets other memory, and nobody is given what the former back-end may still write to.
TEST_F(Imported, IsRetiredWhenTheBackEndDidNotStop) {
    use(0, F_SEAL_SHRINK);
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    ASSERT_EQ(frontend_->disconnect().code(), ENOTSUP);
    EXPECT_EQ(close().code(), ENOTSUP);
    EXPECT_FALSE(pool_->lent());
    EXPECT_EQ(pool_->status(RegionId{0}).stage, RegionStage::kDraining);
    auto local = Device::create(*pool_, callbacks_, {});
    ASSERT_TRUE(local) << last_error();
    char text[64] = "text";
    bounce_mapping mapping;
    EXPECT_NE((*local)->map(text, sizeof text, Direction::kToDevice, 0, mapping).code(), 0);
    RegionConfig fresh;
    fresh.bytes = 1U << 20;
    fresh.base_gpa = Gpa{kTestGpa + (std::uint64_t{1} << 32)};
    ASSERT_TRUE(pool_->add_region(fresh)) << last_error();
    ASSERT_TRUE((*local)->map(text, sizeof text, Direction::kToDevice, 0, mapping)) << last_error();
    std::memset(memory_, 0xdd, 2U << 20);  // the former one goes on writing
    EXPECT_STREQ(static_cast<const char*>(mapping.slot), "text");
    EXPECT_TRUE((*local)->unmap(mapping, 0));
    backend_.forget();
    ASSERT_TRUE(connect()) << last_error();
    EXPECT_EQ(pool_->usable(), RegionMask{2});
    const auto shown = backend_.log(37);
    ASSERT_EQ(shown.size(), 1U) << "and only that is shown";
    EXPECT_EQ(shown[0].u64(8), kTestGpa + (std::uint64_t{1} << 32));
    EXPECT_TRUE(close()) << last_error();
    EXPECT_TRUE(pool_->remove_region(RegionId{0})) << last_error();
}

TEST_F(Imported, CanBeLentAgainAfterACleanEnd) {
    use(0, F_SEAL_SHRINK);
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    ASSERT_TRUE(close()) << last_error();
    ASSERT_TRUE(connect()) << last_error();
    ASSERT_TRUE(close()) << last_error();
    expect_clean();
}

TEST_F(Imported, StaysLentWhenTheBackEndHasRequests) {
    use(0, F_SEAL_SHRINK);
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    char data[100] = {};
    const bounce_sg sg{data, sizeof data, 0, 0};
    ASSERT_TRUE(frontend_->ring(0).add({&sg, 1}, 0, data)) << last_error();
    ASSERT_TRUE(frontend_->submit(0));
    EXPECT_EQ(close().code(), ENOTSUP);
    EXPECT_EQ(connect().code(), EBUSY);
}

TEST_F(Imported, IsNotShownWhenItCouldBeCutShort) {
    use(0, 0);
    backend_.start();
    ASSERT_EQ(connect().code(), EINVAL);
    EXPECT_NE(std::string(last_error()).find("not sealed against shrinking"), std::string::npos) << last_error();
    EXPECT_TRUE(backend_.log().empty());
    config_.trusted = true;
    ASSERT_TRUE(connect()) << last_error();
    ASSERT_TRUE(close()) << last_error();
    expect_clean();
}

TEST_F(Imported, IsNotShownWhenItIsOfHugepages) {
    try {
        use(MFD_HUGETLB, F_SEAL_SHRINK);
    } catch (const std::runtime_error&) {
        GTEST_SKIP() << "no hugepages on this machine";
    }
    backend_.start();
    ASSERT_EQ(connect().code(), EINVAL);
    EXPECT_NE(std::string(last_error()).find("punch holes"), std::string::npos) << last_error();
}

TEST_F(Imported, NeedsADescriptor) {
    no_fd_ = true;
    use(0, F_SEAL_SHRINK);
    backend_.start();
    ASSERT_EQ(connect().code(), EINVAL);
    EXPECT_NE(std::string(last_error()).find("no file descriptor"), std::string::npos) << last_error();
    EXPECT_TRUE(backend_.log().empty());
    expect_clean();
}

}  // namespace
}  // namespace bounce::vhost
