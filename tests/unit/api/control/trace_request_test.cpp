// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// BOUNCE_CONTROL_TRACE: who may, one at a time, and that it ends with its client.
#include <vector>

#include "api/control/trace_view.hpp"
#include "tests/unit/api/control/control_fixture.hpp"

namespace bounce {
namespace {

class TraceRequestTest : public ControlTest {
protected:
    void map_one(Device& device) {
        bounce_mapping mapping;
        ASSERT_TRUE(device.map(buffer_.data(), 3000, Direction::kToDevice, 0, mapping)) << last_error();
        ASSERT_TRUE(device.unmap(mapping, 0));
    }
    static std::uint64_t count(TraceView& view) {
        std::vector<bounce_trace_record> records(1000);
        const auto n = view.read(records);
        EXPECT_TRUE(n) << last_error();
        return n ? *n : 0;
    }
    std::vector<char> buffer_ = std::vector<char>(4096);
};

TEST_F(TraceRequestTest, RecordsUntilItIsTakenBack) {
    map_one(*device_);
    ASSERT_EQ(ask(BOUNCE_CONTROL_TRACE, {1}).head.status, 0);
    EXPECT_FALSE(reply_.with_stats);
    ASSERT_GE(reply_.trace_fd, 0);
    const auto view = TraceView::open(reply_.trace_fd);
    ASSERT_TRUE(view) << last_error();
    map_one(*device_);
    const auto later = make("net1");  // one that comes meanwhile
    map_one(*later);
    EXPECT_EQ(count(**view), 4u);
    requests_->tick();
    EXPECT_GT((*view)->status().last_ns, (*view)->status().begin_ns);
    ASSERT_EQ(ask(BOUNCE_CONTROL_TRACE, {0}).head.status, 0);
    EXPECT_EQ(reply_.trace_fd, -1);
    map_one(*device_);
    EXPECT_FALSE(device_->observed());
    EXPECT_FALSE(later->observed());
    EXPECT_EQ(count(**view), 0u);
    EXPECT_EQ((*view)->status().ended, 1u);
    std::uint64_t events = 0;
    for (const auto& event : ask_all<bounce_control_event>(BOUNCE_CONTROL_EVENTS)) {
        if (event.kind != BOUNCE_EVENT_TRACE) continue;
        EXPECT_EQ(event.arg[0], events == 0 ? 1u : 0u);
        EXPECT_EQ(event.arg[2], 7u);
        ++events;
    }
    EXPECT_EQ(events, 2u);
}

TEST_F(TraceRequestTest, OneAtATimeAndWithTheRightToTune) {
    EXPECT_EQ(ask(BOUNCE_CONTROL_TRACE, {0}).head.status, -EINVAL);
    EXPECT_EQ(ask(BOUNCE_CONTROL_TRACE, {2}).head.status, -EINVAL);
    ControlPeer other = peer_;
    peer_.rights = BOUNCE_CONTROL_OBSERVE;
    EXPECT_EQ(ask(BOUNCE_CONTROL_TRACE, {1}).head.status, -EPERM);
    EXPECT_EQ(reply_.trace_fd, -1);
    std::swap(peer_, other);
    ASSERT_EQ(ask(BOUNCE_CONTROL_TRACE, {1}).head.status, 0);
    EXPECT_EQ(ask(BOUNCE_CONTROL_TRACE, {1}).head.status, -EBUSY);
    std::swap(peer_, other);
    peer_.rights = BOUNCE_CONTROL_OBSERVE | BOUNCE_CONTROL_TUNE;
    EXPECT_EQ(ask(BOUNCE_CONTROL_TRACE, {1}).head.status, -EBUSY);
    EXPECT_EQ(ask(BOUNCE_CONTROL_TRACE, {0}).head.status, -EINVAL);  // not its own
    EXPECT_TRUE(device_->observed());
    std::swap(peer_, other);
    requests_->forget(peer_);  // it goes without a word
    EXPECT_FALSE(device_->observed());
    EXPECT_EQ(ask(BOUNCE_CONTROL_TRACE, {1}).head.status, 0);
    requests_->forget(peer_);
    requests_->settings().read_only = true;
    EXPECT_EQ(ask(BOUNCE_CONTROL_TRACE, {1}).head.status, -EPERM);
}

}  // namespace
}  // namespace bounce
