// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// One process saves with 10,000 mappings outstanding and ends; another restores over the same descriptors at other
// addresses, while the device, a third, works on them all the time. This one is the host: it holds the descriptors.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>

#include "tests/e2e/save/pattern.hpp"

namespace {

using namespace save_test;

int memory(const char* name, std::uint64_t bytes) {
    const int fd = ::memfd_create(name, 0);  // inherited
    EXPECT_GE(fd, 0);
    EXPECT_EQ(::ftruncate(fd, static_cast<off_t>(bytes)), 0);
    return fd;
}

class Save : public testing::Test {
protected:
    Save() {
        fds_ = {memory("handover", sizeof(Handover)), memory("region0", kRegionBytes), memory("region1", kRegionBytes)};
        EXPECT_EQ(::pipe(pipe_), 0);
    }
    ~Save() override {
        for (const int fd : fds_) ::close(fd);
        ::close(pipe_[0]);
        ::close(pipe_[1]);
    }
    pid_t start(const char* role, int pipe) const {
        std::array<std::string, 4> numbers;
        for (std::size_t i = 0; i < 3; ++i) numbers[i] = std::to_string(fds_[i]);
        numbers[3] = std::to_string(pipe);
        const pid_t child = ::fork();
        if (child != 0) return child;
        ::execl(BOUNCE_SAVE_PROCESS, "save_process", role, numbers[0].c_str(), numbers[1].c_str(), numbers[2].c_str(),
                numbers[3].c_str(), nullptr);
        ::_exit(127);
    }
    static int wait(pid_t child) {
        int status = 0;
        EXPECT_EQ(::waitpid(child, &status, 0), child);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

    std::array<int, 3> fds_{};
    int pipe_[2]{};
};

TEST_F(Save, GoesOnInAnotherProcess) {
    ASSERT_EQ(wait(start("old", pipe_[1])), 0);
    const pid_t device = start("device", pipe_[1]);
    const pid_t next = start("new", pipe_[0]);
    EXPECT_EQ(wait(device), 0);
    EXPECT_EQ(wait(next), 0);
}

}  // namespace
