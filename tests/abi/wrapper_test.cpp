// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The C++ wrapper, with nothing but the public headers.
#include <bounce/bounce.hpp>

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

namespace {

constexpr std::uint64_t kBase = 0x1'0000'0000;

static_assert(!std::is_copy_constructible_v<bounce::Mapping>);
static_assert(!std::is_copy_constructible_v<bounce::Pool>);
static_assert(!std::is_copy_constructible_v<bounce::Device>);
static_assert(!std::is_copy_constructible_v<bounce::Ring>);
static_assert(!std::is_copy_constructible_v<bounce::Frontend>);
static_assert(!std::is_copy_constructible_v<bounce::Coherent>);
static_assert(std::is_nothrow_move_assignable_v<bounce::Mapping>);
static_assert(std::is_nothrow_move_assignable_v<bounce::Ring>);
static_assert(std::is_nothrow_move_constructible_v<bounce::Frontend>);

std::span<const std::byte> bytes_of(const std::string& text) {
    return std::as_bytes(std::span(text));
}
std::span<std::byte> bytes_of(std::string& text) {
    return std::as_writable_bytes(std::span(text));
}

class Wrapper : public testing::Test {
protected:
    Wrapper() : pool_(make_pool()), device_(*pool_.create_device({.name = "test"})) {}
    static bounce::Pool make_pool() {
        auto pool = bounce::Pool::create({.name = "wrapper", .region = {.bytes = 4u << 20, .base_gpa = kBase}});
        EXPECT_TRUE(pool) << bounce_last_error();
        return *std::move(pool);
    }
    std::uint64_t slots() { return pool_.stats()->slots; }
    char* at(std::uint64_t gpa) { return static_cast<char*>(*pool_.gpa_to_hva(gpa, 1)); }

    bounce::Pool pool_;
    bounce::Device device_;
};

TEST(WrapperNuma, OptionsArePassedOn) {
    auto pool = bounce::Pool::create({.region = {.bytes = 1u << 20}, .flags = BOUNCE_POOL_EACH_NODE});
    ASSERT_TRUE(pool) << bounce::Error::message();
    EXPECT_FALSE(pool->create_device({.flags = BOUNCE_DEVICE_NODE, .node = 4000}));
    EXPECT_FALSE(pool->create_device({.numa_policy = BOUNCE_NUMA_STRICT})) << "without the flag";
    EXPECT_TRUE(pool->create_device({.flags = BOUNCE_DEVICE_NUMA_POLICY, .numa_policy = BOUNCE_NUMA_STRICT}));
}

TEST_F(Wrapper, AMappingIsUnmappedByItsScope) {
    std::string text = "question";
    {
        auto mapping = device_.map(text.data(), text.size(), bounce::Direction::kBidirectional);
        ASSERT_TRUE(mapping) << bounce_last_error();
        EXPECT_EQ(mapping->size(), 8u);
        EXPECT_EQ(slots(), 1u);
        std::memcpy(at(mapping->addr()), "answered", 8);
    }
    EXPECT_EQ(text, "answered");
    EXPECT_EQ(slots(), 0u);
}

TEST_F(Wrapper, UnmapSaysHowMuchWasWritten) {
    std::string text = "01234567";
    auto mapping = device_.map_from_device(bytes_of(text));
    ASSERT_TRUE(mapping);
    std::memcpy(at(mapping->addr()), "abcdefgh", 8);
    EXPECT_TRUE(mapping->sync_for_cpu(0, 1, bounce::Direction::kFromDevice));
    EXPECT_EQ(text, "a1234567");
    EXPECT_EQ(mapping->sync_for_cpu(8, 1, bounce::Direction::kFromDevice).code(), EINVAL);
    EXPECT_TRUE(mapping->unmap(3));
    EXPECT_EQ(text, "abc34567");
    EXPECT_FALSE(*mapping);
    EXPECT_EQ(mapping->unmap().code(), EINVAL) << "there is nothing left to unmap";
    EXPECT_EQ(slots(), 0u);
}

TEST_F(Wrapper, DiscardCopiesNothing) {
    std::string text = "01234567";
    auto mapping = device_.map_from_device(bytes_of(text));
    ASSERT_TRUE(mapping);
    std::memcpy(at(mapping->addr()), "abcdefgh", 8);
    EXPECT_TRUE(mapping->discard());
    EXPECT_EQ(text, "01234567");
}

TEST_F(Wrapper, MappingsMove) {
    const std::string text = "text";
    std::vector<bounce::Mapping> mappings;
    for (int i = 0; i < 10; ++i) {
        auto mapping = device_.map_to_device(bytes_of(text));
        ASSERT_TRUE(mapping);
        mappings.push_back(*std::move(mapping));
    }
    EXPECT_EQ(slots(), 10u);
    mappings[0] = std::move(mappings[9]);
    EXPECT_EQ(slots(), 9u);
    auto& self = mappings[1];
    mappings[1] = std::move(self);
    EXPECT_EQ(slots(), 9u);
    mappings.clear();
    EXPECT_EQ(slots(), 0u);
}

TEST_F(Wrapper, ErrorsAreValues) {
    auto mapping = device_.map(nullptr, 1, bounce::Direction::kToDevice);
    ASSERT_FALSE(mapping);
    EXPECT_EQ(mapping.error(), bounce::Error(EINVAL));
    EXPECT_STREQ(mapping.error().text(), "invalid argument");
    EXPECT_STREQ(bounce::Error::message(), "the buffer to map is NULL");
    auto pool = bounce::Pool::create({.region = {.bytes = 1}});
    EXPECT_EQ(pool.code(), EINVAL);
    EXPECT_EQ(bounce::Result<int>(bounce::Error(EIO)).value_or(7), 7);
    EXPECT_EQ(bounce::Result<int>(3).value_or(7), 3);
}

TEST_F(Wrapper, BlocksAreFreedByTheirScope) {
    {
        auto coherent = device_.alloc_coherent(100, 256);
        auto buffer = device_.alloc_buffer(5000);
        ASSERT_TRUE(coherent && buffer) << bounce_last_error();
        EXPECT_EQ(coherent->addr() % 256, 0u);
        EXPECT_EQ(coherent->bytes().size(), 100u);
        EXPECT_EQ(*pool_.hva_to_gpa(buffer->data(), 5000), buffer->addr());
        EXPECT_EQ(slots(), 2u);
        bounce::Buffer moved = *std::move(buffer);
        EXPECT_TRUE(moved.free());
        EXPECT_TRUE(moved.free()) << "nothing left to free";
        EXPECT_EQ(slots(), 1u);
    }
    EXPECT_EQ(slots(), 0u);
}

TEST_F(Wrapper, ScatterLists) {
    std::string a = "aa";
    std::string b = "bbb";
    const std::vector<bounce_sg> sg = {bounce::segment(a.data(), 2), bounce::segment(b.data(), 3)};
    std::vector<bounce_mapping> mappings(2);
    ASSERT_TRUE(device_.map_sg(sg, bounce::Direction::kFromDevice, 0, mappings.data())) << bounce_last_error();
    std::memcpy(at(mappings[0].addr), "01", 2);
    std::memcpy(at(mappings[1].addr), "234", 3);
    EXPECT_TRUE(device_.unmap_sg(mappings, 4));
    EXPECT_EQ(a + b, "0123b");
}

TEST_F(Wrapper, Rings) {
    auto ring = device_.create_ring({.queue_size = 8});
    ASSERT_TRUE(ring) << bounce_last_error();
    auto payload = device_.alloc_buffer(64);
    ASSERT_TRUE(payload);
    std::string out = "out";
    const std::vector<bounce_sg> sg = {bounce::segment(out.data(), 3),
                                       bounce::shared_incoming_segment(*payload, 0, 64)};
    EXPECT_EQ(ring->add(sg, 3, &out).code(), EINVAL) << "more to read than there is";
    ASSERT_TRUE(ring->add(sg, 1, &out)) << bounce_last_error();
    auto kick = ring->publish();
    ASSERT_TRUE(kick);
    EXPECT_TRUE(*kick);
    EXPECT_EQ(ring->layout()->queue_size, 8u);
    EXPECT_EQ(ring->stats()->outstanding, 1u);
    std::vector<bounce_completion> done(4);
    EXPECT_EQ(*ring->collect(done), 0u);
    EXPECT_FALSE(*ring->arm());
    EXPECT_TRUE(ring->disarm());
    ASSERT_EQ(*ring->abort(done), 1u);
    EXPECT_EQ(done[0].cookie, &out);
    EXPECT_TRUE(ring->reset());
}

TEST_F(Wrapper, PoolFigures) {
    EXPECT_EQ(pool_.region(0)->base_gpa, kBase);
    EXPECT_EQ(pool_.region(1).code(), EINVAL);
    EXPECT_TRUE(pool_.add_region({.bytes = 65536, .base_gpa = 2 * kBase})) << bounce_last_error();
    EXPECT_EQ(pool_.stats()->regions, 2u);
    EXPECT_TRUE(pool_.renew());
    EXPECT_EQ(pool_.region(0)->generation, 1u);
    EXPECT_EQ(pool_.gpa_to_hva(0, 1).code(), EFAULT);
}

TEST(WrapperPool, HandlersAreCalledAlsoAfterAMove) {
    std::vector<std::string> reports;
    auto created = bounce::Pool::create(
        {.region = {.bytes = 1u << 20, .base_gpa = kBase},
         .violation = [&reports](const bounce_violation& violation) { reports.emplace_back(violation.text); }});
    ASSERT_TRUE(created) << bounce_last_error();
    bounce::Pool pool = *std::move(created);
    auto device = pool.create_device();
    ASSERT_TRUE(device);
    auto ring = device->create_ring({.queue_size = 4});
    ASSERT_TRUE(ring);
    std::string out = "out";
    ASSERT_TRUE(ring->add(std::vector{bounce::segment(out.data(), 3)}, 1, nullptr));
    ASSERT_TRUE(ring->publish());
    // The device claims far more than there was to do.
    const std::uint16_t wrong = 0x7f7f;
    std::memcpy(static_cast<char*>(*pool.gpa_to_hva(ring->layout()->used_addr, 4)) + 2, &wrong, 2);
    std::vector<bounce_completion> done(4);
    EXPECT_EQ(ring->collect(done).code(), EPROTO);
    EXPECT_EQ(reports.size(), 1u);
    EXPECT_EQ(*ring->abort(done), 1u);
}

// What outlives the pool's owner in the next test, reachable until the process ends.
bounce_pool* g_pool = nullptr;
bounce_device* g_device = nullptr;
int g_lines = 0;

TEST(WrapperPool, APoolThatOutlivesItsOwnerKeepsItsHandlers) {
    {
        auto pool = bounce::Pool::create({.region = {.bytes = 1u << 20, .base_gpa = kBase},
                                          .violation = [](const bounce_violation&) { ++g_lines; }});
        ASSERT_TRUE(pool);
        bounce_device_options options{};
        options.size = sizeof options;
        g_pool = pool->handle();
        ASSERT_EQ(bounce_device_create(g_pool, &options, &g_device), 0);
    }
    bounce_ring* ring = nullptr;
    const bounce_ring_options options{sizeof options, 4, 0, 0, 0, 0, 0};
    ASSERT_EQ(bounce_ring_create(g_device, &options, &ring), 0) << "the pool refused to go, and lives on";
    bounce_ring_layout layout;
    ASSERT_EQ(bounce_ring_get_layout(ring, &layout), 0);
    void* used = nullptr;
    ASSERT_EQ(bounce_pool_gpa_to_hva(g_pool, layout.used_addr, 4, &used), 0);
    std::memset(used, 0x7f, 4);
    bounce_completion done;
    EXPECT_EQ(bounce_ring_collect(ring, &done, 1), -EPROTO);
    EXPECT_EQ(g_lines, 1);
    EXPECT_EQ(bounce_ring_destroy(ring), 0) << bounce_last_error();
}

TEST(WrapperFrontend, NobodyListens) {
    auto pool = bounce::Pool::create({.region = {.bytes = 1u << 20, .base_gpa = kBase}});
    ASSERT_TRUE(pool);
    auto frontend = pool->connect(bounce::frontend_options("/nonexistent/socket"));
    EXPECT_EQ(frontend.code(), ENOENT) << bounce_last_error();
}

}  // namespace
