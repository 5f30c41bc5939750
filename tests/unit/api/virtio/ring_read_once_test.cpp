// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What the device writes is read once, by one instruction each, and what the driver wrote is never read back: seen by
// tracing every access to the ring. And an index of the device's is masked before it is used.
#include <algorithm>
#include <map>

#include "tests/support/access_trace.hpp"
#include "tests/unit/api/virtio/ring_fixture.hpp"

namespace bounce {
namespace {

using namespace test;

class ReadOnceTest : public RingTest, public testing::WithParamInterface<bool> {
protected:
    void SetUp() override {
        packed_ = GetParam();
        RingTest::SetUp();
    }
    std::uint32_t add_published(std::uint32_t n) {
        for (std::uint32_t i = 0; i < n; ++i) {
            in_.push_back(bytes_of(200, 0));
            const bounce_sg sg = sg_of(in_.back());
            EXPECT_TRUE(queue_->add({&sg, 1}, 0, cookie_of(i + 1))) << last_error();
        }
        queue_->publish();
        return n;
    }
    std::vector<Bytes> in_;
};

#if defined(__x86_64__) && defined(__linux__)
/// A part of the ring.
struct Area {
    std::uintptr_t begin = 0;
    std::size_t bytes = 0;
    [[nodiscard]] bool has(std::uintptr_t at) const { return at - begin < bytes; }
};

class TracedTest : public ReadOnceTest {
protected:
    void SetUp() override {
        if (!kCanTrace) GTEST_SKIP() << "memory accesses cannot be traced here";
        ReadOnceTest::SetUp();
    }
    [[nodiscard]] Area area(std::uint64_t address, std::size_t bytes) const {
        const auto found = pool_->to_hva(Gpa{address}, bytes);
        EXPECT_TRUE(found);
        return {reinterpret_cast<std::uintptr_t>(*found), bytes};
    }
    void locate(std::uint32_t size) {
        const bounce_ring_layout layout = queue_->layout();
        desc_ = area(layout.desc_addr, 16 * std::size_t{size});
        driver_ = area(layout.avail_addr, packed_ ? 4 : 6 + 2 * std::size_t{size});
        device_ = area(layout.used_addr, packed_ ? 4 : 6 + 8 * std::size_t{size});
    }
    /// Traces `what`: how often each place of the ring was read.
    template <class What>
    std::map<std::uintptr_t, unsigned> reads_of(const What& what) {
        const std::uintptr_t begin = std::min({desc_.begin, driver_.begin, device_.begin});
        const std::uintptr_t end =
            std::max({desc_.begin + desc_.bytes, driver_.begin + driver_.bytes, device_.begin + device_.bytes});
        AccessTrace trace(reinterpret_cast<const void*>(begin), end - begin);  // NOLINT(performance-no-int-to-ptr)
        trace.start();
        what();
        trace.stop();
        accesses_ = trace.log().size();
        std::map<std::uintptr_t, unsigned> reads;
        for (const Access& one : trace.log()) {
            if (!one.write && (desc_.has(one.address) || driver_.has(one.address) || device_.has(one.address)))
                ++reads[one.address];
        }
        return reads;
    }
    /// Each place once; nothing that only the driver writes.
    void expect_once(const std::map<std::uintptr_t, unsigned>& reads) const {
        for (const auto& [at, times] : reads) {
            EXPECT_EQ(times, 1U) << name_of(at) << " was read " << times << " times";
            const bool of_driver = driver_.has(at) || (desc_.has(at) && (!packed_ || (at - desc_.begin) % 16 < 8));
            EXPECT_FALSE(of_driver) << name_of(at) << " was read back";
        }
    }
    [[nodiscard]] std::string name_of(std::uintptr_t at) const {
        if (desc_.has(at)) return "byte " + std::to_string(at - desc_.begin) + " of the descriptors";
        if (device_.has(at)) return "byte " + std::to_string(at - device_.begin) + " of what the device writes";
        return "byte " + std::to_string(at - driver_.begin) + " of what the driver writes";
    }

    Area desc_, driver_, device_;
    std::size_t accesses_ = 0;
};

// Points 1 and 2.
TEST_P(TracedTest, ACompletionIsReadOnce) {
    for (const bool in_order : {false, true}) {
        make({.queue_size = 8, .in_order = in_order});
        locate(8);
        add_published(5);
        std::vector<DeviceModel::Request> requests(5);
        for (DeviceModel::Request& request : requests) ASSERT_TRUE(model_->pop(request));
        for (const DeviceModel::Request& request : requests) model_->put_used(request.head, 200);
        model_->show_used();
        std::vector<bounce_completion> done(8);
        std::size_t n = 0;
        const auto reads = reads_of([&] {
            const auto collected = queue_->collect(done);
            n = collected ? *collected : 0;
        });
        EXPECT_EQ(n, 5U);
        // Id and length of each, and: the index (split), the flags of each and of the one that is not used (packed).
        EXPECT_EQ(reads.size(), packed_ ? 5 * 3U + 1 : 5 * 2U + 1);
        expect_once(reads);
        in_.clear();
    }
    expect_all_given_back();
}

TEST_P(TracedTest, AddingReadsNothingOfTheRingAndPublishingTheEventsOnce) {
    for (const bool event_idx : {false, true}) {
        make({.queue_size = 8, .event_idx = event_idx});
        locate(8);
        in_.push_back(bytes_of(200, 0));
        const bounce_sg sg = sg_of(in_.back());
        const auto added = reads_of([&] { EXPECT_TRUE(queue_->add({&sg, 1}, 0, nullptr)); });
        EXPECT_TRUE(added.empty());
        EXPECT_GT(accesses_, 0U) << "the trace saw the descriptor being written";
        const auto published = reads_of([&] { queue_->publish(); });
        EXPECT_GE(published.size(), 1U);
        expect_once(published);
        expect_once(reads_of([&] { static_cast<void>(queue_->arm()); }));
        expect_once(reads_of([&] { queue_->disarm(); }));
        abort_all();
        ASSERT_TRUE(queue_->reset());
        in_.clear();
    }
    expect_all_given_back();
}

INSTANTIATE_TEST_SUITE_P(Layouts, TracedTest, testing::Bool(),
                         [](const auto& about) { return about.param ? "Packed" : "Split"; });
#endif

// Point 17. Where nothing is compared the mask alone holds an index within the private table; the code is the same.
TEST_P(ReadOnceTest, AnIndexIsMaskedAlsoWhereNothingIsCompared) {
    const std::uint32_t size = packed_ ? 3 : 4;  // the mask is 3 in both
    for (std::uint32_t which = 0; which < 3; ++which) {
        make({.queue_size = size, .unchecked = true});
        add_published(3);
        std::vector<DeviceModel::Request> requests(3);
        for (DeviceModel::Request& request : requests) ASSERT_TRUE(model_->pop(request));
        const std::uint32_t id = requests[which].head;
        model_->complete(id, 200);
        // The id again, as the device might have it: with a bit beyond the queue.
        const bounce_ring_layout layout = queue_->layout();
        const std::uint64_t at = packed_ ? layout.desc_addr + 12 : layout.used_addr + 4;
        auto* const word = reinterpret_cast<unsigned char*>(*pool_->to_hva(Gpa{at}, 4));
        word[0] = static_cast<unsigned char>(id | 4U << which);
        const auto done = collect();
        ASSERT_EQ(done.size(), 1U);
        EXPECT_EQ(done[0].cookie, cookie_of(which + 1)) << "the index was not masked";
        abort_all();
        in_.clear();
    }
    expect_all_given_back();
}

INSTANTIATE_TEST_SUITE_P(Layouts, ReadOnceTest, testing::Bool(),
                         [](const auto& about) { return about.param ? "Packed" : "Split"; });

}  // namespace
}  // namespace bounce
