// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The C functions over a ring; what a ring does is tested with the ring.
#include <endian.h>

#include "tests/unit/api/abi/abi_fixture.hpp"

namespace bounce {
namespace {

class RingAbi : public AbiTest {
protected:
    void SetUp() override {
        AbiTest::SetUp();
        const auto options = ring_options();
        ASSERT_EQ(bounce_ring_create(device_, &options, &ring_), 0) << bounce_last_error();
    }
    void TearDown() override {
        EXPECT_EQ(bounce_ring_destroy(ring_), 0) << bounce_last_error();
        AbiTest::TearDown();
    }
    /// The device: completes chain `head` as its entry `index`, having written `bytes`.
    void complete(std::uint16_t index, std::uint32_t head, std::uint32_t bytes) {
        bounce_ring_layout layout;
        ASSERT_EQ(bounce_ring_get_layout(ring_, &layout), 0);
        void* hva = nullptr;
        ASSERT_EQ(bounce_pool_gpa_to_hva(pool_, layout.used_addr, 4 + 8 * layout.queue_size + 2, &hva), 0);
        auto* used = static_cast<unsigned char*>(hva);
        const std::uint32_t element[] = {htole32(head), htole32(bytes)};
        std::memcpy(used + 4 + 8u * (index % layout.queue_size), element, sizeof element);
        const std::uint16_t next = htole16(static_cast<std::uint16_t>(index + 1));
        std::memcpy(used + 2, &next, sizeof next);
    }
    std::uint32_t first_head() {
        bounce_ring_layout layout;
        EXPECT_EQ(bounce_ring_get_layout(ring_, &layout), 0);
        void* hva = nullptr;
        EXPECT_EQ(bounce_pool_gpa_to_hva(pool_, layout.avail_addr, 6, &hva), 0);
        std::uint16_t head = 0;
        std::memcpy(&head, static_cast<unsigned char*>(hva) + 4, sizeof head);
        return le16toh(head);
    }

    bounce_ring* ring_ = nullptr;
};

TEST_F(RingAbi, OptionsAreChecked) {
    bounce_ring* ring = ring_;
    auto options = ring_options();
    options.size = 12;
    expect_error(bounce_ring_create(device_, &options, &ring), EINVAL, "options.size");
    EXPECT_EQ(ring, nullptr);
    options = ring_options();
    options.flags = 1u << 20;
    expect_error(bounce_ring_create(device_, &options, &ring), EINVAL, "options.flags");
    for (const std::uint32_t size : {0u, 1u, 3u, 65536u, ~0u}) {
        options = ring_options(size);
        expect_error(bounce_ring_create(device_, &options, &ring), EINVAL);
    }
    for (const std::uint32_t size : {0u, 32769u, ~0u}) {
        options = ring_options(size);
        options.flags = BOUNCE_RING_PACKED;
        expect_error(bounce_ring_create(device_, &options, &ring), EINVAL, "packed queue");
    }
    options = ring_options();
    options.flags = BOUNCE_RING_USED_LENGTH_IGNORE | BOUNCE_RING_USED_LENGTH_FAIL;
    expect_error(bounce_ring_create(device_, &options, &ring), EINVAL, "options.flags");
    options = ring_options();
    expect_error(bounce_ring_create(nullptr, &options, &ring), EINVAL, "device is NULL");
    expect_error(bounce_ring_create(device_, nullptr, &ring), EINVAL, "options is NULL");
    expect_error(bounce_ring_create(device_, &options, nullptr), EINVAL, "ring is NULL");
}

TEST_F(RingAbi, NullArguments) {
    bounce_completion completion;
    bounce_ring_layout layout;
    bounce_ring_stats stats;
    bounce_sg sg{&completion, 1, 0, 0};
    EXPECT_EQ(bounce_ring_destroy(nullptr), 0);
    expect_error(bounce_ring_get_layout(nullptr, &layout), EINVAL, "ring is NULL");
    expect_error(bounce_ring_get_layout(ring_, nullptr), EINVAL, "layout is NULL");
    expect_error(bounce_ring_add(nullptr, &sg, 1, 0, nullptr), EINVAL, "ring is NULL");
    expect_error(bounce_ring_add(ring_, nullptr, 1, 0, nullptr), EINVAL, "sg is NULL");
    expect_error(bounce_ring_add(ring_, &sg, SIZE_MAX, 2, nullptr), EINVAL, "add up");
    expect_error(bounce_ring_add(ring_, &sg, 0, 0, nullptr), EINVAL);
    bounce_ring_request request{&sg, nullptr, 1, 0};
    std::uint32_t data = 0;
    int wait = 0;
    expect_error(bounce_ring_add_many(nullptr, &request, 1), EINVAL, "ring is NULL");
    expect_error(bounce_ring_add_many(ring_, nullptr, 1), EINVAL, "requests is NULL");
    expect_error(bounce_ring_get_notification_data(nullptr, &data), EINVAL, "ring is NULL");
    expect_error(bounce_ring_get_notification_data(ring_, nullptr), EINVAL, "data is NULL");
    expect_error(bounce_ring_poll(nullptr, &completion, 1, &wait), EINVAL, "ring is NULL");
    expect_error(bounce_ring_poll(ring_, nullptr, 1, &wait), EINVAL, "completions is NULL");
    expect_error(bounce_ring_poll(ring_, &completion, 1, nullptr), EINVAL, "wait is NULL");
    expect_error(bounce_ring_publish(nullptr), EINVAL, "ring is NULL");
    expect_error(bounce_ring_collect(nullptr, &completion, 1), EINVAL, "ring is NULL");
    expect_error(bounce_ring_collect(ring_, nullptr, 1), EINVAL, "completions is NULL");
    expect_error(bounce_ring_arm(nullptr), EINVAL, "ring is NULL");
    expect_error(bounce_ring_disarm(nullptr), EINVAL, "ring is NULL");
    expect_error(bounce_ring_abort(nullptr, &completion, 1), EINVAL, "ring is NULL");
    expect_error(bounce_ring_abort(ring_, nullptr, 1), EINVAL, "completions is NULL");
    expect_error(bounce_ring_reset(nullptr), EINVAL, "ring is NULL");
    expect_error(bounce_ring_get_stats(nullptr, &stats), EINVAL, "ring is NULL");
    expect_error(bounce_ring_get_stats(ring_, nullptr), EINVAL, "stats is NULL");
}

TEST_F(RingAbi, ARequestGoesRound) {
    char question[] = "question";
    char answer[16] = {};
    const bounce_sg sg[] = {{question, 8, 0, 0}, {answer, 16, 0, 0}};
    ASSERT_EQ(bounce_ring_add(ring_, sg, 1, 1, question), 0) << bounce_last_error();
    EXPECT_EQ(bounce_ring_publish(ring_), 1) << "nothing suppresses the kick";
    bounce_completion completions[4];
    EXPECT_EQ(bounce_ring_collect(ring_, completions, 4), 0);
    EXPECT_EQ(bounce_ring_arm(ring_), 0);
    complete(0, first_head(), 5);
    EXPECT_EQ(bounce_ring_arm(ring_), 1);
    ASSERT_EQ(bounce_ring_collect(ring_, completions, SIZE_MAX), 1) << bounce_last_error();
    EXPECT_EQ(completions[0].cookie, question);
    EXPECT_EQ(completions[0].status, 0);
    EXPECT_EQ(completions[0].written, 5u);
    EXPECT_EQ(bounce_ring_disarm(ring_), 0);
    bounce_ring_stats stats;
    ASSERT_EQ(bounce_ring_get_stats(ring_, &stats), 0);
    EXPECT_EQ(stats.added, 1u);
    EXPECT_EQ(stats.completed, 1u);
    EXPECT_EQ(stats.outstanding, 0u);
}

// An older caller's struct ends before poll_after.
TEST_F(RingAbi, TheFirstVersionOfTheOptionsIsEnough) {
    auto options = ring_options();
    options.size = offsetof(bounce_ring_options, poll_after);
    options.poll_after = 1;  // not the library's to read
    bounce_ring* ring = nullptr;
    ASSERT_EQ(bounce_ring_create(device_, &options, &ring), 0) << bounce_last_error();
    EXPECT_EQ(bounce_ring_destroy(ring), 0);
}

TEST_F(RingAbi, APackedRingGoesRoundItsOneDescriptor) {
    auto options = ring_options(1);
    options.flags = BOUNCE_RING_PACKED | BOUNCE_RING_EVENT_IDX;
    options.index = 3;
    bounce_ring* ring = nullptr;
    ASSERT_EQ(bounce_ring_create(device_, &options, &ring), 0) << bounce_last_error();
    bounce_ring_layout layout;
    ASSERT_EQ(bounce_ring_get_layout(ring, &layout), 0);
    EXPECT_EQ(layout.avail_index | std::uint32_t{layout.used_index} << 16, 0x80008000u);
    void* hva = nullptr;
    ASSERT_EQ(bounce_pool_gpa_to_hva(pool_, layout.desc_addr, 16, &hva), 0);
    auto* const desc = static_cast<unsigned char*>(hva);
    char answer[16] = {};
    const bounce_sg sg{answer, 16, 0, 0};
    for (unsigned lap = 0; lap < 10; ++lap) {
        const bounce_ring_request request[] = {{&sg, answer, 0, 1}, {&sg, answer, 0, 1}};
        ASSERT_EQ(bounce_ring_add_many(ring, request, 2), 1) << bounce_last_error();
        EXPECT_EQ(bounce_ring_publish(ring), 1) << "nothing suppresses the kick";
        const bool wrap = lap % 2 == 0;
        EXPECT_EQ(desc[14], wrap ? 0x82 : 0x02);  // AVAIL and WRITE
        EXPECT_EQ(desc[15], wrap ? 0x00 : 0x80);  // USED
        std::uint32_t data = 0;
        ASSERT_EQ(bounce_ring_get_notification_data(ring, &data), 0);
        EXPECT_EQ(data, 3 | (wrap ? 0u : 0x80000000u));  // of the next lap
        bounce_completion completion;
        int wait = 0;
        EXPECT_EQ(bounce_ring_poll(ring, &completion, 1, &wait), 0);
        EXPECT_EQ(wait, 1);
        const std::uint32_t bytes = htole32(5);
        std::memcpy(desc + 8, &bytes, 4);
        desc[14] = wrap ? 0x82 : 0x02;
        desc[15] = wrap ? 0x80 : 0x00;
        ASSERT_EQ(bounce_ring_poll(ring, &completion, 1, &wait), 1) << bounce_last_error();
        EXPECT_EQ(wait, 0);
        EXPECT_EQ(completion.cookie, answer);
        EXPECT_EQ(completion.written, 5u);
    }
    EXPECT_EQ(bounce_ring_destroy(ring), 0) << bounce_last_error();
}

TEST_F(RingAbi, AViolationIsReportedAndSticks) {
    char question[] = "question";
    const bounce_sg sg{question, 8, 0, 0};
    ASSERT_EQ(bounce_ring_add(ring_, &sg, 1, 0, question), 0);
    EXPECT_GE(bounce_ring_publish(ring_), 0);
    complete(0, 0x10000, 0);
    bounce_completion completion;
    expect_error(bounce_ring_collect(ring_, &completion, 1), EPROTO);
    expect_error(bounce_ring_collect(ring_, &completion, 1), EPROTO);
    expect_error(bounce_ring_add(ring_, &sg, 1, 0, question), EPROTO);
    EXPECT_EQ(stats().violations, 1u);
    expect_error(bounce_ring_destroy(ring_), EBUSY, "1 requests");
    expect_error(bounce_ring_reset(ring_), EBUSY);
    ASSERT_EQ(bounce_ring_abort(ring_, &completion, 1), 1);
    EXPECT_EQ(completion.cookie, question);
    EXPECT_EQ(completion.status, -ECONNRESET);
    EXPECT_EQ(bounce_ring_abort(ring_, &completion, 1), 0);
    EXPECT_EQ(bounce_ring_reset(ring_), 0);
    EXPECT_EQ(bounce_ring_add(ring_, &sg, 1, 0, question), 0) << bounce_last_error();
    EXPECT_EQ(bounce_ring_abort(ring_, &completion, 1), 1);
}

TEST_F(RingAbi, TheDeviceCannotGoBeforeItsRing) {
    expect_error(bounce_device_destroy(device_), EBUSY, "rings");
}

}  // namespace
}  // namespace bounce
