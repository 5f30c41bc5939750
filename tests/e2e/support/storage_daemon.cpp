// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tests/e2e/support/storage_daemon.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace bounce::e2e {
namespace {

bool exists(const std::string& path) {
    return ::access(path.c_str(), F_OK) == 0;
}

}  // namespace

std::string find_program(const char* name) {
    const char* path = std::getenv("PATH");
    std::istringstream folders(path != nullptr ? path : "/usr/bin");
    for (std::string folder; std::getline(folders, folder, ':');) {
        std::string full = folder + "/" + name;
        if (::access(full.c_str(), X_OK) == 0) return full;
    }
    return {};
}

pid_t spawn(const std::vector<std::string>& argv, const std::string& output, const std::string& input) {
    std::vector<char*> raw;
    raw.reserve(argv.size() + 1);
    for (const std::string& argument : argv) raw.push_back(const_cast<char*>(argument.c_str()));
    raw.push_back(nullptr);
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) throw std::runtime_error("fork failed");
    if (pid > 0) return pid;
    // The child, up to exec: system calls only.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(126);
    const int in = ::open(input.c_str(), O_RDWR);  // a FIFO that stays open, too
    const int log = ::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (in < 0 || log < 0 || ::dup2(in, 0) < 0 || ::dup2(log, 1) < 0 || ::dup2(log, 2) < 0) ::_exit(126);
    ::execv(raw[0], raw.data());
    ::_exit(127);
}

bool StorageDaemon::available() {
    return !find_program("qemu-storage-daemon").empty();
}

StorageDaemon::StorageDaemon(std::uint64_t bytes, unsigned queues) : queues_(queues) {
    const int fd = ::open(image().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(bytes)) != 0) throw std::runtime_error("no disk image");
    ::close(fd);
}

StorageDaemon::~StorageDaemon() {
    kill();
}

std::string StorageDaemon::said() const {
    std::ostringstream text;
    text << std::ifstream(folder_ / "log").rdbuf();
    return text.str();
}

void StorageDaemon::start() {
    if (pid_ > 0) throw std::runtime_error("the daemon runs already");
    ::unlink(socket().c_str());
    // The pid file is written once the export is there.
    const std::string ready = folder_ / "pid";
    ::unlink(ready.c_str());
    pid_ = spawn({find_program("qemu-storage-daemon"), "--blockdev", "driver=file,node-name=f0,filename=" + image(),
                  "--blockdev", "driver=raw,node-name=d0,file=f0,discard=unmap", "--export",
                  "type=vhost-user-blk,id=e0,node-name=d0,addr.type=unix,addr.path=" + socket() +
                      ",writable=on,num-queues=" + std::to_string(queues_),
                  "--pidfile", ready},
                 folder_ / "log");
    for (int i = 0; i < 3000; ++i) {
        if (exists(ready) && exists(socket())) return;
        if (::waitpid(pid_, nullptr, WNOHANG) == pid_) {
            pid_ = -1;
            throw std::runtime_error("qemu-storage-daemon ended at once: " + said());
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    throw std::runtime_error("qemu-storage-daemon did not get ready: " + said());
}

void StorageDaemon::kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
}

void StorageDaemon::pause() {
    ::kill(pid_, SIGSTOP);
    ::waitpid(pid_, nullptr, WUNTRACED);  // until it has stopped
}

void StorageDaemon::resume() {
    ::kill(pid_, SIGCONT);
}

}  // namespace bounce::e2e
