// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tests/e2e/support/testpmd.hpp"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "tests/e2e/support/storage_daemon.hpp"

namespace bounce::e2e {

bool TestPmd::available() {
    return !find_program("dpdk-testpmd").empty();
}

TestPmd::TestPmd(unsigned queues, std::string options) : queues_(queues), options_(std::move(options)) {}

TestPmd::~TestPmd() {
    kill();
}

std::string TestPmd::said() const {
    std::ostringstream text;
    text << std::ifstream(folder_ / "log").rdbuf();
    return text.str();
}

void TestPmd::start() {
    if (pid_ > 0) throw std::runtime_error("testpmd runs already");
    ::unlink(socket().c_str());
    ::unlink((folder_ / "log").c_str());
    // It ends when its stdin does: this one does not.
    const std::string input = folder_ / "stdin";
    if (::mkfifo(input.c_str(), 0600) != 0 && errno != EEXIST) throw std::runtime_error("no FIFO");
    const std::string count = std::to_string(queues_);
    pid_ = spawn({find_program("dpdk-testpmd"), "-l", "0,1", "--no-huge", "-m", "256", "--no-pci", "--no-telemetry",
                  "--file-prefix=bounce" + std::to_string(::getpid()), "--vdev",
                  "net_vhost0,iface=" + socket() + ",queues=" + count + (options_.empty() ? "" : "," + options_), "--",
                  "--auto-start", "--disable-link-check", "--forward-mode=macswap", "--total-num-mbufs=8192",
                  "--rxq=" + count, "--txq=" + count},
                 folder_ / "log", input);
    for (int i = 0; i < 6000; ++i) {
        // What comes before it forwards waits in the rings.
        if (::access(socket().c_str(), F_OK) == 0) return;
        if (::waitpid(pid_, nullptr, WNOHANG) == pid_) {
            pid_ = -1;
            throw std::runtime_error("dpdk-testpmd ended at once: " + said());
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    throw std::runtime_error("dpdk-testpmd did not get ready: " + said());
}

void TestPmd::kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
}

}  // namespace bounce::e2e
