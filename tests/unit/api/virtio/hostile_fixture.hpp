// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A ring whose device lies. Each test names its point of the project's list for rings:
//   1 private shadow, 2 every field read once, 3 used id, 4 used index and bounded work, 5 used length, 7 indirect
//   tables, 8 ring memory is not unmapped, 9 wrap-around (ring_random_test.cpp), 10 event fields are hints, 12 nothing
//   private leaks, 13 short lengths saturate, 17 bounds first, then the mask.
#pragma once

#include <cerrno>

#include "tests/unit/api/virtio/ring_fixture.hpp"

namespace bounce::test {

class HostileTest : public LayoutTest {
protected:
    /// n requests with one readable and one writable segment each; cookies 0 to n - 1.
    void outstanding(std::uintptr_t n) {
        for (std::uintptr_t i = 0; i < n; ++i) ASSERT_TRUE(add({sg_of(out_), sg_of(in_)}, 1, i)) << last_error();
        queue_->publish();
    }
    /// Broken until reset: the error stays, what is outstanding stays, and nothing was copied.
    void expect_broken(int kind, std::uint64_t got, std::uint32_t left) {
        ASSERT_FALSE(reported_.empty());
        EXPECT_EQ(reported_.back().kind, kind);
        EXPECT_EQ(reported_.back().got, got);
        EXPECT_EQ(reported_.back().ring, 5U);
        EXPECT_EQ(reported_.back().device, "ring-test");
        EXPECT_EQ(collect_error(), EPROTO);
        EXPECT_NE(std::string(last_error()).find(std::to_string(got)), std::string::npos) << last_error();
        EXPECT_EQ(add({sg_of(out_)}, 1, 77).code(), EPROTO);
        EXPECT_FALSE(queue_->publish());
        EXPECT_TRUE(queue_->arm());
        EXPECT_EQ(queue_->stats().broken, 1U);
        EXPECT_EQ(queue_->outstanding(), left);
        EXPECT_EQ(reported_.size(), 1U);
        EXPECT_EQ(in_, bytes_of(64, 2));
        abort_all();
        ASSERT_TRUE(queue_->reset());
        EXPECT_EQ(queue_->stats().broken, 0U);
        EXPECT_EQ(queue_->stats().violations, 1U);
        connect(false);
        outstanding(1);
        const auto request = pop();
        model_->complete(request.head, 0);
        EXPECT_EQ(collect().size(), 1U);
        expect_all_given_back();
    }
    /// The device completes one id that it may not.
    void expect_refused(std::uint32_t id) {
        outstanding(3);
        model_->complete(id, 64);
        EXPECT_EQ(collect_error(), EPROTO);
        expect_broken(BOUNCE_VIOLATION_USED_ID, id, 3);
    }
    static constexpr QueueConfig kConfig{.queue_size = 16, .index = 5};

    Bytes out_ = bytes_of(64, 1);
    Bytes in_ = bytes_of(64, 2);
};

}  // namespace bounce::test
