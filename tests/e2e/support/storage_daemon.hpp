// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A real back-end: qemu-storage-daemon with a vhost-user-blk export, as a child of the test that never outlives it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/temp_folder.hpp"

namespace bounce::e2e {

class StorageDaemon {
public:
    /// Is the program on this machine?
    static bool available();
    static constexpr const char* kMissing = "qemu-storage-daemon (package qemu-system-common) is not installed";

    /// Over a raw image of `bytes` zeros in a folder of its own; `queues` virtqueues.
    StorageDaemon(std::uint64_t bytes, unsigned queues);
    StorageDaemon(const StorageDaemon&) = delete;
    StorageDaemon& operator=(const StorageDaemon&) = delete;
    ~StorageDaemon();

    /// Starts it and waits until it listens; throws what it said when it does not. From the main thread, whose end is
    /// the daemon's end.
    void start();
    /// SIGKILL, and waits for the end.
    void kill();
    void pause();
    void resume();

    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] std::string socket() const { return folder_ / "blk.sock"; }
    [[nodiscard]] std::string image() const { return folder_ / "disk.raw"; }

private:
    [[nodiscard]] std::string said() const;

    test::TempFolder folder_;
    unsigned queues_;
    pid_t pid_ = -1;
};

/// Runs `argv` as a child that dies with this thread; its output goes to the file `output`.
pid_t spawn(const std::vector<std::string>& argv, const std::string& output, const std::string& input = "/dev/null");

/// The program of that name in $PATH; empty when there is none.
std::string find_program(const char* name);

}  // namespace bounce::e2e
