// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A real back-end for packets: dpdk-testpmd, which sends everything back with its Ethernet addresses swapped. A child
// of the test that never outlives it.
#pragma once

#include <sys/types.h>

#include <string>

#include "tests/support/temp_folder.hpp"

namespace bounce::e2e {

class TestPmd {
public:
    /// Is the program on this machine?
    static bool available();
    static constexpr const char* kMissing = "dpdk-testpmd (package dpdk-dev) is not installed";

    /// options: more for its vhost device, such as "iommu-support=1".
    TestPmd(unsigned queues, std::string options);
    TestPmd(const TestPmd&) = delete;
    TestPmd& operator=(const TestPmd&) = delete;
    ~TestPmd();

    /// Starts it and waits until it listens; throws what it said when it does not.
    void start();
    /// SIGKILL, and waits for the end.
    void kill();
    [[nodiscard]] std::string socket() const { return folder_ / "net.sock"; }

private:
    [[nodiscard]] std::string said() const;

    test::TempFolder folder_;
    unsigned queues_;
    std::string options_;
    pid_t pid_ = -1;
};

}  // namespace bounce::e2e
