// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Which addresses of some memory a piece of code reads and writes, one entry for each access of an instruction: the
// pages are taken away, and each fault lets one instruction through. For x86-64; kCanTrace says where.
#pragma once

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <utility>
#include <vector>

#include "tests/support/emulator.hpp"

#if defined(__x86_64__) && defined(__linux__)
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#endif

namespace bounce::test {

// Not with sanitizers, which look at memory beside the code, and want these signals.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__x86_64__) || !defined(__linux__)
inline constexpr bool kCanTrace = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kCanTrace = false;
#else
inline constexpr bool kCanTrace = !kEmulated;
#endif
#else
inline constexpr bool kCanTrace = !kEmulated;
#endif

struct Access {
    std::uintptr_t address;
    bool write;
};

#if defined(__x86_64__) && defined(__linux__)
/// One at a time in a process, and in one thread. Between start() and stop() nothing but this thread, and no system
/// call, may use the memory.
class AccessTrace {
public:
    AccessTrace(const void* memory, std::size_t bytes) {
        const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
        const auto at = reinterpret_cast<std::uintptr_t>(memory);
        begin_ = at / page * page;
        bytes_ = (at + bytes + page - 1) / page * page - begin_;
        log_.reserve(kMost);
        if (std::exchange(current(), this) != nullptr) throw std::runtime_error("there is a trace already");
        struct sigaction action {};
        action.sa_sigaction = fault;
        action.sa_flags = SA_SIGINFO;
        ::sigaction(SIGSEGV, &action, &old_fault_);
        action.sa_sigaction = step;
        ::sigaction(SIGTRAP, &action, &old_step_);
    }
    AccessTrace(const AccessTrace&) = delete;
    AccessTrace& operator=(const AccessTrace&) = delete;
    ~AccessTrace() {
        stop();
        ::sigaction(SIGSEGV, &old_fault_, nullptr);
        ::sigaction(SIGTRAP, &old_step_, nullptr);
        current() = nullptr;
    }
    void start() {
        log_.clear();
        protect(PROT_NONE);
    }
    void stop() { protect(PROT_READ | PROT_WRITE); }
    [[nodiscard]] const std::vector<Access>& log() const { return log_; }

private:
    static constexpr std::size_t kMost = 1U << 14;
    static constexpr greg_t kTrapFlag = 0x100;
    static constexpr greg_t kFaultOfWrite = 2;

    static AccessTrace*& current() {
        static AccessTrace* one = nullptr;
        return one;
    }
    void protect(int how) const {
        // NOLINTNEXTLINE(performance-no-int-to-ptr)
        if (::mprotect(reinterpret_cast<void*>(begin_), bytes_, how) != 0) std::abort();
    }
    static void fault(int, siginfo_t* info, void* context) {
        AccessTrace* const self = current();
        const auto at = reinterpret_cast<std::uintptr_t>(info->si_addr);
        auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
        if (self == nullptr || at - self->begin_ >= self->bytes_ || self->log_.size() == kMost) {
            ::signal(SIGSEGV, SIG_DFL);  // a fault of its own: again, and to the end
            return;
        }
        self->log_.push_back({at, (registers[REG_ERR] & kFaultOfWrite) != 0});
        self->protect(PROT_READ | PROT_WRITE);
        registers[REG_EFL] |= kTrapFlag;
    }
    static void step(int, siginfo_t*, void* context) {
        static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_EFL] &= ~kTrapFlag;
        current()->protect(PROT_NONE);
    }

    std::uintptr_t begin_;
    std::size_t bytes_;
    std::vector<Access> log_;
    struct sigaction old_fault_ {};
    struct sigaction old_step_ {};
};
#endif

}  // namespace bounce::test
