// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/topology/topology.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <string>

#include "tests/support/temp_folder.hpp"

namespace bounce {
namespace {

/// As lstopo writes it: two nodes with two CPUs each, a third without any, and distances that are not symmetric.
constexpr const char* kThreeNodes = R"(<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE topology SYSTEM "hwloc2.dtd">
<topology version="2.0">
  <object type="Machine" os_index="0" cpuset="0xf" complete_cpuset="0xf" allowed_cpuset="0xf" nodeset="0x13"
    complete_nodeset="0x13" allowed_nodeset="0x13" gp_index="1">
    <object type="NUMANode" os_index="4" cpuset="0xf" complete_cpuset="0xf" nodeset="0x10" complete_nodeset="0x10"
      gp_index="2" local_memory="1073741824"/>
    <object type="Group" cpuset="0x3" complete_cpuset="0x3" nodeset="0x1" complete_nodeset="0x1" gp_index="3" kind="0"
      subkind="0">
      <object type="NUMANode" os_index="0" cpuset="0x3" complete_cpuset="0x3" nodeset="0x1" complete_nodeset="0x1"
        gp_index="4" local_memory="1073741824"/>
      <object type="PU" os_index="0" cpuset="0x1" complete_cpuset="0x1" nodeset="0x1" complete_nodeset="0x1" gp_index="5"/>
      <object type="PU" os_index="1" cpuset="0x2" complete_cpuset="0x2" nodeset="0x1" complete_nodeset="0x1" gp_index="6"/>
    </object>
    <object type="Group" cpuset="0xc" complete_cpuset="0xc" nodeset="0x2" complete_nodeset="0x2" gp_index="7" kind="0"
      subkind="0">
      <object type="NUMANode" os_index="1" cpuset="0xc" complete_cpuset="0xc" nodeset="0x2" complete_nodeset="0x2"
        gp_index="8"/>
      <object type="PU" os_index="2" cpuset="0x4" complete_cpuset="0x4" nodeset="0x2" complete_nodeset="0x2" gp_index="9"/>
      <object type="PU" os_index="3" cpuset="0x8" complete_cpuset="0x8" nodeset="0x2" complete_nodeset="0x2" gp_index="10"/>
    </object>
  </object>
  <distances2 type="NUMANode" nbobjs="3" kind="5" name="NUMALatency" indexing="os">
    <indexes length="6">0 1 4 </indexes>
    <u64values length="27">10 21 17 22 10 28 18 29 10 </u64values>
  </distances2>
</topology>
)";

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

std::unique_ptr<NodeMap> map_of(const char* synthetic) {
    auto topology = Topology::create(synthetic);
    if (!topology) return nullptr;
    auto map = (*topology)->map();
    EXPECT_TRUE(map) << last_error();
    return map ? std::move(*map) : nullptr;
}

TEST(Topology, ThisMachinesMapHasItsNodesAndCpus) {
    auto topology = Topology::create();
    ASSERT_TRUE(topology) << last_error();
    const auto map = map_of(nullptr);
    ASSERT_NE(map, nullptr) << last_error();
    ASSERT_EQ(map->nodes(), (*topology)->nodes());
    for (std::uint32_t i = 0; i < map->nodes(); ++i) EXPECT_TRUE((*topology)->has(map->node(i)));
    const int cpu = ::sched_getcpu();
    ASSERT_GE(cpu, 0);
    EXPECT_TRUE(map->has(map->node_of_cpu(static_cast<std::uint32_t>(cpu))));
}

TEST(Topology, AMapHasTheCpusOfEachNode) {
    const auto map = map_of("node:4 core:2 pu:1");
    if (map == nullptr) GTEST_SKIP() << last_error();
    ASSERT_EQ(map->nodes(), 4U);
    for (std::uint32_t cpu = 0; cpu < 8; ++cpu)
        EXPECT_EQ(map->node_of_cpu(cpu), NodeId{static_cast<std::int32_t>(cpu / 2)});
    EXPECT_EQ(map->node_of_cpu(8), kAnyNode);
    EXPECT_EQ(map->distance(NodeId{1}, NodeId{1}), NodeMap::kLocalDistance);
    EXPECT_EQ(map->distance(NodeId{1}, NodeId{3}), NodeMap::kRemoteDistance) << "the description does not say";
}

TEST(Topology, OfTwoNodesAtACpuTheFirstIsItsOwn) {
    const auto map = map_of("pack:2 [numa(memory=1GB)] [numa(memory=0)] pu:2");
    if (map == nullptr) GTEST_SKIP() << last_error();
    ASSERT_EQ(map->nodes(), 4U);
    EXPECT_EQ(map->node_of_cpu(1), NodeId{0});
    EXPECT_EQ(map->node_of_cpu(2), NodeId{2});
    EXPECT_TRUE(map->has_memory(0));
    EXPECT_FALSE(map->has_memory(1));
}

TEST(Topology, DistancesAndNodesWithoutCpusAreRead) {
    if (map_of("node:2 pu:1") == nullptr) GTEST_SKIP() << last_error();
    const test::TempFolder folder;
    const std::string file = folder / "topology.xml";
    std::ofstream(file) << kThreeNodes;
    ::setenv("HWLOC_XMLFILE", file.c_str(), 1);
    const auto map = map_of(nullptr);
    ::unsetenv("HWLOC_XMLFILE");
    ASSERT_NE(map, nullptr) << last_error();
    ASSERT_EQ(map->nodes(), 3U);
    EXPECT_EQ(map->highest(), NodeId{4});
    EXPECT_EQ(map->node_of_cpu(0), NodeId{0});
    EXPECT_EQ(map->node_of_cpu(3), NodeId{1});
    EXPECT_FALSE(map->has_memory(1));
    EXPECT_TRUE(map->has_memory(2));
    EXPECT_EQ(map->distance(NodeId{0}, NodeId{1}), 21U);
    EXPECT_EQ(map->distance(NodeId{1}, NodeId{0}), 22U);
    EXPECT_EQ(map->distance(NodeId{1}, NodeId{4}), 28U);
    EXPECT_EQ(map->distance(NodeId{4}, NodeId{0}), 18U);
}

TEST(Topology, ABadDescriptionIsAnError) {
    auto topology = Topology::create("no such thing");
    ASSERT_FALSE(topology);
    EXPECT_TRUE(topology.code() == EINVAL || topology.code() == ENOTSUP);
}

}  // namespace
}  // namespace bounce
