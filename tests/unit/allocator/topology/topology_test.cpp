// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/topology/topology.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>

namespace bounce {
namespace {

class Area {
public:
    explicit Area(std::size_t bytes)
        : data_(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)), bytes_(bytes) {}
    ~Area() { ::munmap(data_, bytes_); }
    Area(const Area&) = delete;
    Area& operator=(const Area&) = delete;
    [[nodiscard]] void* data() const { return data_; }

private:
    void* data_;
    std::size_t bytes_;
};

TEST(Topology, ThisMachineHasANode) {
    auto topology = Topology::create();
    ASSERT_TRUE(topology) << last_error();
    EXPECT_GE((*topology)->nodes(), 1U);
    EXPECT_FALSE((*topology)->has(NodeId{4000}));
    EXPECT_FALSE((*topology)->has(kAnyNode));
}

TEST(Topology, BindsToANodeThatIsThere) {
    auto topology = Topology::create();
    ASSERT_TRUE(topology) << last_error();
    if (!(*topology)->has(NodeId{0})) GTEST_SKIP() << "this machine has no NUMA node 0";
    const Area area(1 << 16);
    auto bound = (*topology)->bind(area.data(), 1 << 16, NodeId{0});
    if (!bound && bound.code() == ENOTSUP) GTEST_SKIP() << last_error();
    EXPECT_TRUE(bound) << last_error();
}

TEST(Topology, ANodeThatIsNotThereIsAnError) {
    auto topology = Topology::create();
    ASSERT_TRUE(topology) << last_error();
    const Area area(1 << 16);
    EXPECT_EQ((*topology)->bind(area.data(), 1 << 16, NodeId{4000}).code(), EINVAL);
    EXPECT_NE(std::string(last_error()).find("4000"), std::string::npos);
    EXPECT_EQ((*topology)->bind(area.data(), 1 << 16, kAnyNode).code(), EINVAL);
}

TEST(Topology, SyntheticOnesHaveAsManyNodesAsTheySay) {
    auto topology = Topology::create("node:4 core:2 pu:1");
    if (!topology && topology.code() == ENOTSUP) GTEST_SKIP() << last_error();
    ASSERT_TRUE(topology) << last_error();
    EXPECT_EQ((*topology)->nodes(), 4U);
    EXPECT_TRUE((*topology)->has(NodeId{3}));
    EXPECT_FALSE((*topology)->has(NodeId{4}));
    const Area area(1 << 16);
    EXPECT_TRUE((*topology)->bind(area.data(), 1 << 16, NodeId{3}));
}

TEST(Topology, ABadDescriptionIsAnError) {
    auto topology = Topology::create("no such thing");
    ASSERT_FALSE(topology);
    EXPECT_TRUE(topology.code() == EINVAL || topology.code() == ENOTSUP);
}

}  // namespace
}  // namespace bounce
