// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/trace.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "api/control/trace_view.hpp"
#include "tests/unit/api/dma/device_fixture.hpp"

namespace bounce {
namespace {

std::unique_ptr<Trace> make_trace(std::uint64_t capacity) {
    auto trace = Trace::create(capacity);
    if (!trace) throw std::runtime_error(last_error());
    return std::move(*trace);
}
std::unique_ptr<TraceView> view_of(const Trace& trace) {
    auto view = TraceView::open(trace.fd());
    if (!view) throw std::runtime_error(last_error());
    return std::move(*view);
}
std::vector<bounce_trace_record> read_all(TraceView& view) {
    std::vector<bounce_trace_record> all(4096);
    const auto n = view.read(all);
    EXPECT_TRUE(n) << last_error();
    all.resize(n ? *n : 0);
    return all;
}

class TraceTest : public DeviceTest {
protected:
    explicit TraceTest(std::uint64_t pool_bytes = 1u << 20) : DeviceTest(pool_bytes) {
        trace_ = make_trace(1024);
        trace_->start();
        device_->set_trace(trace_.get());
        view_ = view_of(*trace_);
    }
    std::vector<std::uint8_t> kinds() {
        std::vector<std::uint8_t> all;
        for (const auto& record : records_ = read_all(*view_)) all.push_back(record.kind);
        return all;
    }

    std::unique_ptr<Trace> trace_;
    std::unique_ptr<TraceView> view_;
    std::vector<bounce_trace_record> records_;
    std::vector<char> buffer_ = std::vector<char>(2u << 20);
};

TEST_F(TraceTest, MappingsAndTheirEndsAreRecorded) {
    bounce_mapping mapping;
    for (const Direction direction : {Direction::kToDevice, Direction::kFromDevice, Direction::kBidirectional}) {
        ASSERT_TRUE(device_->map(buffer_.data(), 1500, direction, 0, mapping));
        const std::uint64_t addr = mapping.addr;
        ASSERT_TRUE(device_->unmap(mapping, 0));
        ASSERT_EQ(kinds(), (std::vector<std::uint8_t>{BOUNCE_TRACE_MAP, BOUNCE_TRACE_UNMAP}));
        for (const auto& record : records_) {
            EXPECT_EQ(record.addr, addr);
            EXPECT_EQ(record.bytes, 1500u);
            EXPECT_EQ(record.device, device_->id());
        }
        EXPECT_GE(records_[1].ticks, records_[0].ticks);
    }
    // One that is given up is an end like any other.
    ASSERT_TRUE(device_->map(buffer_.data(), 1500, Direction::kToDevice, 0, mapping));
    ASSERT_TRUE(device_->discard(mapping));
    EXPECT_EQ(kinds(), (std::vector<std::uint8_t>{BOUNCE_TRACE_MAP, BOUNCE_TRACE_UNMAP}));
    // And a run of pages, which goes another way.
    ASSERT_TRUE(device_->map(buffer_.data(), 100'000, Direction::kToDevice, 0, mapping));
    ASSERT_TRUE(device_->discard(mapping));
    EXPECT_EQ(kinds(), (std::vector<std::uint8_t>{BOUNCE_TRACE_MAP, BOUNCE_TRACE_UNMAP}));
}

TEST_F(TraceTest, ScatterListsAndBulkAreRecordedByPiece) {
    std::array<bounce_sg, 3> sg{};
    for (std::size_t i = 0; i < sg.size(); ++i) sg[i] = {buffer_.data() + i * 8192, 3000 + i, 0, 0};
    std::array<bounce_mapping, 3> mappings;
    ASSERT_TRUE(device_->map_sg(sg, Direction::kToDevice, 0, mappings.data()));
    ASSERT_TRUE(device_->unmap_sg(mappings, 0));
    EXPECT_EQ(kinds().size(), 6u);
    for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(records_[i].bytes, 3000 + i % 3);
}

TEST_F(TraceTest, WhatGetsNothingIsRecorded) {
    std::vector<bounce_mapping> mappings;
    bounce_mapping mapping;
    while (device_->map(buffer_.data(), 65536, Direction::kToDevice, 0, mapping)) mappings.push_back(mapping);
    EXPECT_FALSE(device_->map(buffer_.data(), 65536, Direction::kToDevice, 0, mapping));
    EXPECT_FALSE(device_->map(buffer_.data() + 4096, 65536, Direction::kToDevice, 0, mapping));
    EXPECT_FALSE(device_->map(buffer_.data(), 2u << 20, Direction::kToDevice, 0, mapping));
    bounce_block block;
    EXPECT_FALSE(device_->alloc_block(SlotKind::kCoherent, 65536, 0, block));
    const auto all = kinds();
    ASSERT_EQ(all.size(), mappings.size() + 5);
    const auto* const last = &records_[mappings.size()];
    EXPECT_EQ(last[0].kind, BOUNCE_TRACE_FULL);
    EXPECT_EQ(last[0].detail, BOUNCE_TRACE_NO_SPACE);
    EXPECT_EQ(last[0].bytes, 65536u);
    EXPECT_EQ(last[0].buffer, last[1].buffer);  // the same request once more
    EXPECT_NE(last[0].buffer, last[2].buffer);
    EXPECT_EQ(last[3].detail, BOUNCE_TRACE_TOO_LARGE);
    EXPECT_EQ(last[4].kind, BOUNCE_TRACE_NO_BLOCK);
    EXPECT_EQ(last[4].addr, std::uint64_t{BOUNCE_TRACE_COHERENT});
    for (auto& one : mappings) ASSERT_TRUE(device_->unmap(one, 0));
    // A ceiling is another reason.
    ASSERT_TRUE(device_->set_quota(0, 65536));
    EXPECT_FALSE(device_->map(buffer_.data(), 200'000, Direction::kToDevice, 0, mapping));
    static_cast<void>(kinds());
    ASSERT_FALSE(records_.empty());
    EXPECT_EQ(records_.back().kind, BOUNCE_TRACE_FULL);
    EXPECT_EQ(records_.back().detail, BOUNCE_TRACE_QUOTA);
}

TEST_F(TraceTest, WaitsAreRecorded) {
    std::vector<bounce_mapping> mappings;
    bounce_mapping mapping;
    while (device_->map(buffer_.data(), 65536, Direction::kToDevice, BOUNCE_MAP_NO_WARN, mapping))
        mappings.push_back(mapping);
    static_cast<void>(kinds());
    Wait wait;
    wait.request = {buffer_.data(), 65536, Direction::kToDevice, 0};
    const auto begun = device_->begin_wait(wait);
    ASSERT_TRUE(begun && !*begun);
    ASSERT_TRUE(device_->unmap(mappings.back(), 0));
    mappings.pop_back();
    ASSERT_TRUE(device_->finish_wait(wait, mapping)) << last_error();
    ASSERT_EQ(kinds(), (std::vector<std::uint8_t>{BOUNCE_TRACE_WAIT, BOUNCE_TRACE_UNMAP, BOUNCE_TRACE_MAP}));
    EXPECT_EQ(records_[0].buffer, records_[2].buffer);
    mappings.push_back(mapping);
    // One that gives up.
    EXPECT_FALSE(device_->map_wait({buffer_.data(), 65536, Direction::kToDevice, 0}, 1, mapping));
    EXPECT_EQ(kinds(), (std::vector<std::uint8_t>{BOUNCE_TRACE_WAIT, BOUNCE_TRACE_GAVE_UP}));
    for (auto& one : mappings) ASSERT_TRUE(device_->unmap(one, 0));
}

TEST_F(TraceTest, BlocksAreRecorded) {
    bounce_block block;
    for (const SlotKind kind : {SlotKind::kCoherent, SlotKind::kBuffer}) {
        ASSERT_TRUE(device_->alloc_block(kind, 5000, 4096, block));
        ASSERT_TRUE(device_->free_block(kind, block));
        ASSERT_EQ(kinds().size(), 2u);
        EXPECT_EQ(records_[0].kind, kind == SlotKind::kCoherent ? BOUNCE_TRACE_COHERENT : BOUNCE_TRACE_BUFFER);
        EXPECT_EQ(records_[0].detail, 12);
        EXPECT_EQ(records_[1].kind, BOUNCE_TRACE_FREE);
        EXPECT_EQ(records_[1].addr, records_[0].addr);
    }
}

TEST_F(TraceTest, EndsWhenItIsTakenBack) {
    device_->set_trace(nullptr);
    EXPECT_FALSE(device_->observed());
    bounce_mapping mapping;
    ASSERT_TRUE(device_->map(buffer_.data(), 1500, Direction::kToDevice, 0, mapping));
    ASSERT_TRUE(device_->unmap(mapping, 0));
    trace_->stop();
    EXPECT_TRUE(kinds().empty());
    EXPECT_EQ(view_->status().ended, 1u);
    // What comes next in the same memory is another trace.
    trace_->start();
    std::vector<bounce_trace_record> room(10);
    EXPECT_EQ(view_->read(room).code(), EINVAL);
    EXPECT_NE(view_of(*trace_)->status().turn, view_->status().turn);
}

TEST(TraceRing, WhoIsSlowLosesTheOldest) {
    const auto trace = make_trace(16);
    trace->start();
    const auto view = view_of(*trace);
    for (std::uint64_t i = 1; i <= 100; ++i) trace->note({.kind = BOUNCE_TRACE_MAP, .addr = i, .bytes = i});
    trace->stop();
    const auto records = read_all(*view);
    ASSERT_FALSE(records.empty());
    EXPECT_GE(records.size(), 8u);
    for (std::size_t i = 0; i < records.size(); ++i) EXPECT_EQ(records[i].addr, 100 - records.size() + 1 + i);
    EXPECT_EQ(view->status().records + view->status().lost, 100u);
    EXPECT_EQ(view->status().ended, 1u);
}

TEST(TraceRing, ThreadsWriteWholeRecords) {
    constexpr unsigned kThreads = 4;
    constexpr std::uint64_t kEach = 20'000;
    const auto trace = make_trace(256);
    trace->start();
    const auto view = view_of(*trace);
    std::atomic<unsigned> left{kThreads};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            for (std::uint64_t i = 1; i <= kEach; ++i)
                trace->note({.kind = BOUNCE_TRACE_MAP, .device = t, .addr = i, .bytes = i * 7 + t});
            left.fetch_sub(1);
        });
    }
    std::array<std::uint64_t, kThreads> last{};
    std::vector<bounce_trace_record> some(64);
    const auto take = [&] {
        const auto n = view->read(some);
        ASSERT_TRUE(n) << last_error();
        for (std::uint64_t i = 0; i < *n; ++i) {
            ASSERT_LT(some[i].device, kThreads);
            ASSERT_EQ(some[i].bytes, some[i].addr * 7 + some[i].device);
            ASSERT_GT(some[i].addr, last[some[i].device]);  // in the order of their thread
            last[some[i].device] = some[i].addr;
        }
    };
    while (left.load() != 0 && !HasFatalFailure()) take();
    for (auto& thread : threads) thread.join();
    trace->stop();
    while (view->status().ended == 0 && !HasFatalFailure()) take();
    EXPECT_EQ(view->status().records + view->status().lost, kThreads * kEach);
    EXPECT_GT(view->status().records, 0u);
}

TEST(TraceMemory, IsSealed) {
    const auto trace = make_trace(16);
    EXPECT_LT(::ftruncate(trace->fd(), 0), 0);
    EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, trace->fd(), 0), MAP_FAILED);
    const int fd = ::memfd_create("not sealed", MFD_CLOEXEC);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(::ftruncate(fd, 8192), 0);
    EXPECT_EQ(TraceView::open(fd).code(), EINVAL);
    ::close(fd);
}

TEST(TraceMemory, WhatIsForgedIsRefused) {
    std::vector<std::uint64_t> good(512 + 64);
    auto& header = *reinterpret_cast<bounce_trace_header*>(good.data());
    header = {};
    header.magic = BOUNCE_TRACE_MAGIC;
    header.version = BOUNCE_TRACE_VERSION;
    header.header_bytes = 4096;
    header.bytes = good.size() * 8;
    header.record_bytes = 32;
    header.capacity = 16;
    ASSERT_TRUE(TraceView::over(good.data(), header.bytes)) << last_error();
    const auto refuses = [&](std::uint64_t bounce_trace_header::*field, std::uint64_t value) {
        auto forged = good;
        reinterpret_cast<bounce_trace_header*>(forged.data())->*field = value;
        return !TraceView::over(forged.data(), good.size() * 8);
    };
    EXPECT_TRUE(refuses(&bounce_trace_header::magic, 0));
    EXPECT_TRUE(refuses(&bounce_trace_header::version, 2));
    EXPECT_TRUE(refuses(&bounce_trace_header::header_bytes, 0));
    EXPECT_TRUE(refuses(&bounce_trace_header::header_bytes, 4100));
    EXPECT_TRUE(refuses(&bounce_trace_header::header_bytes, UINT64_MAX - 31));
    EXPECT_TRUE(refuses(&bounce_trace_header::bytes, 8));
    EXPECT_TRUE(refuses(&bounce_trace_header::record_bytes, 40));
    EXPECT_TRUE(refuses(&bounce_trace_header::capacity, 0));
    EXPECT_TRUE(refuses(&bounce_trace_header::capacity, 17));
    EXPECT_TRUE(refuses(&bounce_trace_header::capacity, 32));
    EXPECT_TRUE(refuses(&bounce_trace_header::capacity, std::uint64_t{1} << 63));
    EXPECT_FALSE(TraceView::over(good.data(), 64));
    // Records that lie: a reader ends, and reads nothing beyond.
    for (std::size_t i = 512; i < good.size(); ++i) good[i] = i * 0x9e37'79b9'7f4a'7c15U;
    auto view = TraceView::over(good.data(), good.size() * 8);
    ASSERT_TRUE(view);
    std::vector<bounce_trace_record> room(1000);
    for (int i = 0; i < 10; ++i) EXPECT_TRUE((*view)->read(room));
}

}  // namespace
}  // namespace bounce
