// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The emulator's functions: what they refuse. What emulated platforms do is the conformance suite's matter.
#include "bounce/emulator.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "tests/unit/api/abi/abi_fixture.hpp"

namespace bounce {
namespace {

bounce_emulator_options emulator_options(std::uint32_t model = BOUNCE_EMULATED_S390_CCW) {
    bounce_emulator_options options{};
    options.size = sizeof options;
    options.model = model;
    return options;
}

class EmulatorAbiTest : public testing::Test {
protected:
    void SetUp() override {
        const auto options = emulator_options();
        ASSERT_EQ(bounce_emulator_create(&options, &emulator_), 0) << bounce_last_error();
    }
    void TearDown() override { EXPECT_EQ(bounce_emulator_destroy(emulator_), 0) << bounce_last_error(); }
    bounce_emulator_stats stats() {
        bounce_emulator_stats stats;
        EXPECT_EQ(bounce_emulator_get_stats(emulator_, &stats), 0);
        return stats;
    }
    bounce_emulator* emulator_ = nullptr;
};

TEST_F(EmulatorAbiTest, RefusesOptionsThatMakeNoSense) {
    bounce_emulator* none = nullptr;
    auto options = emulator_options(11);
    expect_error(bounce_emulator_create(&options, &none), EINVAL, "options.model");
    options = emulator_options();
    options.granule = 8192;
    expect_error(bounce_emulator_create(&options, &none), EINVAL, "options.granule");
    options.size = 4;
    expect_error(bounce_emulator_create(&options, &none), EINVAL, "options.size");
    expect_error(bounce_emulator_create(nullptr, &none), EINVAL, "options");
    expect_error(bounce_emulator_create(&options, nullptr), EINVAL, "emulator");
    EXPECT_EQ(none, nullptr);
    EXPECT_EQ(bounce_emulator_destroy(nullptr), 0);
    bounce_platform platform;
    expect_error(bounce_emulator_platform(nullptr, nullptr, &platform), EINVAL, "emulator");
    expect_error(bounce_emulator_platform(emulator_, nullptr, nullptr), EINVAL, "platform");
    bounce_audience audience{3, 0, 0};
    expect_error(bounce_emulator_platform(emulator_, &audience, &platform), EINVAL, "audience.kind");
    audience = {BOUNCE_AUDIENCE_EVERYONE, 0, 1};
    expect_error(bounce_emulator_platform(emulator_, &audience, &platform), EINVAL, "audience");
}

TEST_F(EmulatorAbiTest, RefusesMemoryThatIsNone) {
    alignas(4096) static std::byte memory[8192];
    expect_error(bounce_emulator_add_memory(nullptr, 0, memory, 4096), EINVAL, "emulator");
    expect_error(bounce_emulator_add_memory(emulator_, 0x1000, nullptr, 4096), EINVAL);
    expect_error(bounce_emulator_add_memory(emulator_, 0x1000, memory, 0), EINVAL);
    expect_error(bounce_emulator_add_memory(emulator_, 0x1001, memory, 4096), EINVAL, "multiples of 4096");
    expect_error(bounce_emulator_add_memory(emulator_, ~std::uint64_t{0} - 4095, memory, 8192), EINVAL);
    ASSERT_EQ(bounce_emulator_add_memory(emulator_, 0x1000, memory, 8192), 0);
    expect_error(bounce_emulator_add_memory(emulator_, 0x2000, memory, 4096), EEXIST, "overlap");
    expect_error(bounce_emulator_remove_memory(emulator_, 0x2000), EINVAL);
    EXPECT_EQ(bounce_emulator_remove_memory(emulator_, 0x1000), 0);
    expect_error(bounce_emulator_remove_memory(emulator_, 0x1000), EINVAL);
}

TEST_F(EmulatorAbiTest, RefusesFailuresThatAreNone) {
    bounce_failure failure{};
    failure.size = sizeof failure;
    expect_error(bounce_emulator_fail(nullptr, &failure), EINVAL, "emulator");
    failure.conversion = 4;
    expect_error(bounce_emulator_fail(emulator_, &failure), EINVAL, "conversion");
    failure.conversion = 0;
    failure.flags = 2;
    expect_error(bounce_emulator_fail(emulator_, &failure), EINVAL, "flags");
    failure.flags = 0;
    failure.error = -5;
    expect_error(bounce_emulator_fail(emulator_, &failure), EINVAL, "error");
}

// A guest that is not this library may do anything.
TEST_F(EmulatorAbiTest, CountsMistakesAndChangesNothing) {
    bounce_platform platform;
    ASSERT_EQ(bounce_emulator_platform(emulator_, nullptr, &platform), 0);
    void* const memory = ::mmap(nullptr, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bounce_range range{0x10'0000, 0, memory, 65536};
    const bounce_audience* const everyone = &platform.audience;
    EXPECT_EQ(platform.unshare(platform.user, &range, everyone), -EINVAL) << "not shared";
    EXPECT_EQ(platform.share(platform.user, &range, everyone), 0);
    EXPECT_EQ(platform.share(platform.user, &range, everyone), -EEXIST) << "shared already";
    bounce_range odd{0x10'0800, 0, memory, 4096};
    EXPECT_EQ(platform.share(platform.user, &odd, everyone), -EINVAL) << "off the granule";
    bounce_range across{0x1f'f000, 0, memory, 8192};
    EXPECT_EQ(platform.share(platform.user, &across, everyone), -EINVAL) << "across a chunk";
    bounce_range empty{0x40'0000, 0, memory, 0};
    EXPECT_EQ(platform.share(platform.user, &empty, everyone), -EINVAL) << "nothing";
    EXPECT_EQ(stats().mistakes, 5u);
    EXPECT_EQ(stats().shared_bytes, 65536u);
    const bounce_audience other{BOUNCE_AUDIENCE_DOMAIN, 0, 1};
    EXPECT_EQ(platform.share(platform.user, &range, &other), -EINVAL) << "not the audience of the platform";
    expect_error(bounce_emulator_destroy(emulator_), EBUSY, "65536");
    EXPECT_EQ(platform.unshare(platform.user, &range, everyone), 0);
    ::munmap(memory, 65536);
}

TEST_F(EmulatorAbiTest, TakesSocketsOfOneKind) {
    int pair[2];
    expect_error(bounce_emulator_attach(nullptr, 0, nullptr), EINVAL, "emulator");
    expect_error(bounce_emulator_attach(emulator_, -1, nullptr), EBADF);
    ASSERT_EQ(::pipe(pair), 0);
    expect_error(bounce_emulator_attach(emulator_, pair[0], nullptr), ENOTSOCK);
    ::close(pair[0]);
    ::close(pair[1]);
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    expect_error(bounce_emulator_attach(emulator_, pair[0], nullptr), EINVAL, "SEQPACKET");
    ::close(pair[0]);
    ::close(pair[1]);
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    EXPECT_EQ(bounce_emulator_attach(emulator_, pair[0], nullptr), 0);
    EXPECT_EQ(bounce_emulator_attach(emulator_, pair[0], nullptr), 1);
    EXPECT_EQ(bounce_emulator_serve(emulator_, 0), 0) << "nobody asks";
    expect_error(bounce_emulator_serve(nullptr, 0), EINVAL, "emulator");
    ::close(pair[0]);
    ::close(pair[1]);
    EXPECT_GT(bounce_emulator_serve(emulator_, 0), 0) << "both are gone";
    EXPECT_EQ(bounce_emulator_serve(emulator_, 0), 0);
}

TEST_F(EmulatorAbiTest, LetsADeviceDownGently) {
    bounce_emulated_device* device = nullptr;
    expect_error(bounce_emulated_device_open(-1, 0, &device), EBADF);
    expect_error(bounce_emulated_device_open(0, 0, nullptr), EINVAL, "device");
    EXPECT_EQ(bounce_emulated_device_close(nullptr), 0);
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    ASSERT_EQ(bounce_emulated_device_open(pair[1], 20, &device), 0);
    char byte = 0;
    void* pointer = &byte;
    expect_error(bounce_emulated_device_read(nullptr, 0, &byte, 1), EINVAL, "device");
    expect_error(bounce_emulated_device_read(device, 0, nullptr, 1), EINVAL, "to");
    expect_error(bounce_emulated_device_write(device, 0, nullptr, 1), EINVAL, "from");
    expect_error(bounce_emulated_device_pointer(device, 0, 1, nullptr), EINVAL, "pointer");
    expect_error(bounce_emulated_device_pointer(device, 0, 0, &pointer), EINVAL, "0 bytes");
    EXPECT_EQ(pointer, nullptr);
    EXPECT_EQ(bounce_emulated_device_read(device, 0, &byte, 0), 0) << "nothing is asked for";
    expect_error(bounce_emulated_device_read(device, 0, &byte, 1), ETIMEDOUT, "served");
    ::close(pair[0]);
    expect_error(bounce_emulated_device_read(device, 0, &byte, 1), ECONNRESET, "gone");
    EXPECT_EQ(bounce_emulated_device_close(device), 0);
}

TEST_F(EmulatorAbiTest, GivesPointersToWhatIsSharedAsAWhole) {
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    ASSERT_EQ(bounce_emulator_attach(emulator_, pair[0], nullptr), 0);
    bounce_emulated_device* device = nullptr;
    ASSERT_EQ(bounce_emulated_device_open(pair[1], 0, &device), 0);
    bounce_platform platform;
    ASSERT_EQ(bounce_emulator_platform(emulator_, nullptr, &platform), 0);
    const auto options = pool_options();
    bounce_pool* pool = nullptr;
    ASSERT_EQ(bounce_pool_create_on(&platform, &options, &pool), 0) << bounce_last_error();
    std::thread server([this] {
        for (int answered = 0; answered < 4;) answered += bounce_emulator_serve(emulator_, 1000);
    });
    void* pointer = nullptr;
    EXPECT_EQ(bounce_emulated_device_pointer(device, kBase, 2u << 20, &pointer), 0) << bounce_last_error();
    EXPECT_NE(pointer, nullptr);
    expect_error(bounce_emulated_device_pointer(device, kBase + 1, 2u << 20, &pointer), EFAULT, "as a whole");
    expect_error(bounce_emulated_device_pointer(device, kBase - 1, 1, &pointer), EFAULT, "faulted");
    void* second = nullptr;
    EXPECT_EQ(bounce_emulated_device_pointer(device, kBase + (2u << 20), 4096, &second), 0);
    server.join();
    EXPECT_EQ(bounce_pool_destroy(pool), 0);
    EXPECT_EQ(bounce_emulated_device_close(device), 0);
    ::close(pair[0]);
}

}  // namespace
}  // namespace bounce
