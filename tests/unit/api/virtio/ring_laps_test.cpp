// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Laps and laps: the 16-bit indices of split rings go round, the wrap counters of packed ones flip, with queues of the
// smallest, odd and largest sizes, and every request's content is checked. The number of operations, over all sizes, is
// BOUNCE_RING_OPS; with the label long it is 100 million.
#include <algorithm>
#include <cstdlib>

#include "tests/support/emulator.hpp"
#include "tests/unit/api/virtio/ring_fixture.hpp"

namespace bounce {
namespace {

using namespace test;

struct Laps {
    bool packed;
    std::uint32_t size;
};
constexpr Laps kAll[] = {{false, 2}, {false, 256}, {false, 32768}, {true, 1},
                         {true, 2},  {true, 3},    {true, 256},    {true, 32768}};

class RingLapsTest : public RingTest, public testing::WithParamInterface<Laps> {
protected:
    static std::uint64_t operations() {
        const char* const given = std::getenv("BOUNCE_RING_OPS");
        const std::uint64_t all = given != nullptr ? std::strtoull(given, nullptr, 10) : kEmulated ? 800000 : 4000000;
        return all / std::size(kAll);
    }
    static std::uint64_t mixed(std::uint64_t x) {
        x = (x ^ x >> 31) * 0x9e3779b97f4a7c15;
        return x ^ x >> 29;
    }
    /// The question and the answer of a request, in memory that both sides see.
    std::byte* words(std::uint32_t slot) const { return static_cast<std::byte*>(block_.ptr) + 16 * std::size_t{slot}; }

    /// A question for slot `slot`: in one segment that the device reads and writes, or in one of each kind.
    bool ask(std::uint32_t slot, std::uint64_t number) {
        const bool two = GetParam().size > 1 && number % 3 == 0;
        std::memcpy(words(slot), &number, 8);
        std::memset(words(slot) + 8, 0, 8);
        const bounce_sg sg[] = {shared_sg(block_, 16 * std::size_t{slot}, two ? 8 : 16),
                                shared_sg(block_, 16 * std::size_t{slot} + 8, 8)};
        const auto added = queue_->add({sg, two ? 2U : 1U}, two ? 1 : 0, cookie_of(slot));
        EXPECT_TRUE(added || added.code() == EAGAIN) << last_error();
        return static_cast<bool>(added);
    }
    void answer(const DeviceModel::Request& request) {
        std::uint64_t number = 0;
        std::memcpy(&number, request.pieces[0].hva, 8);
        const std::uint64_t reply = mixed(number);
        std::memcpy(request.pieces.size() == 2 ? request.pieces[1].hva : request.pieces[0].hva + 8, &reply, 8);
        model_->put_used(request.head, request.pieces.size() == 2 ? 8 : 16);
    }

    bounce_block block_{};
};

TEST_P(RingLapsTest, EveryAnswerIsToItsQuestion) {
    const std::uint32_t size = GetParam().size;
    make({.queue_size = size, .event_idx = true, .packed = GetParam().packed});
    ASSERT_TRUE(device_->alloc_block(SlotKind::kBuffer, 16 * std::size_t{size}, 0, block_)) << last_error();
    std::vector<std::uint64_t> asked(size);
    std::vector<std::uint32_t> idle(size);
    for (std::uint32_t i = 0; i < size; ++i) idle[i] = i;
    std::vector<DeviceModel::Request> at_device;
    DeviceModel::Request request;
    std::vector<bounce_completion> completions(64);
    const std::uint64_t all = operations();
    std::uint64_t number = 0;
    std::uint64_t random = 88172645463325252;
    for (std::uint64_t done = 0; done < all;) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // To the brim now and then, else a few.
        for (std::uint64_t n = random % 16 == 0 ? size : 1 + random % 48; n > 0 && !idle.empty(); --n) {
            if (!ask(idle.back(), number)) break;
            asked[idle.back()] = number++;
            idle.pop_back();
        }
        queue_->publish();
        while (model_->pop(request)) at_device.push_back(std::move(request));
        // The newest or the oldest first.
        if ((random >> 20) % 2 != 0) std::reverse(at_device.begin(), at_device.end());
        const std::size_t most =
            (random >> 24) % 8 == 0 ? at_device.size() : std::min<std::size_t>(at_device.size(), 40);
        for (std::size_t i = 0; i < most; ++i) {
            answer(at_device.back());
            at_device.pop_back();
        }
        model_->show_used();
        for (;;) {
            const auto n = queue_->collect(completions);
            ASSERT_TRUE(n) << last_error();
            for (std::size_t i = 0; i < *n; ++i) {
                const auto slot = static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(completions[i].cookie));
                std::uint64_t reply = 0;
                std::memcpy(&reply, words(slot) + 8, 8);
                ASSERT_EQ(reply, mixed(asked[slot])) << done;
                idle.push_back(slot);
            }
            done += *n;
            if (*n < completions.size()) break;
        }
    }
    EXPECT_EQ(queue_->stats().violations, 0U);
    abort_all();
    ASSERT_TRUE(device_->free_block(SlotKind::kBuffer, block_));
    expect_all_given_back();
}

INSTANTIATE_TEST_SUITE_P(Sizes, RingLapsTest, testing::ValuesIn(kAll), [](const auto& about) {
    return (about.param.packed ? "Packed" : "Split") + std::to_string(about.param.size);
});

}  // namespace
}  // namespace bounce
