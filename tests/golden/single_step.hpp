// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Counts what a child process executes between two marks, exactly: one step of ptrace(2) for each instruction. Nothing
// is read out of the layout of the code, so cold parts, inlining and link-time optimisation are what they are at run
// time.
#pragma once

#include <compare>
#include <cstdint>
#include <span>

namespace bounce::golden {

/// Of one operation; only what lies in the text of the object that is looked at, but for what it calls elsewhere.
struct Counts {
    std::uint64_t instructions = 0;
    std::uint64_t calls = 0;
    std::uint64_t calls_out = 0;  // times that control went to another object (memcpy, __tls_get_addr)
    std::uint64_t locked = 0;
    std::uint64_t system_calls = 0;
    friend auto operator<=>(const Counts&, const Counts&) = default;
};

inline constexpr int kRounds = 33;  // measured, of each operation
inline constexpr int kWarm = 200;   // rounds before

/// Around an operation in the child: begin(i), the operation, end(). The compiler moves no memory access across them.
inline void begin(std::uint64_t operation) noexcept {
    asm volatile("int3" : : "a"(operation) : "memory");
}
inline void end() noexcept {
    asm volatile("int3" : : : "memory");
}

/// What a probe is made of. All of it runs in the child, since a forked child has no pool of its parent's.
struct Probe {
    std::span<const char* const> operations;  // their names
    const char* object;                       // in the file name of the object to look at; nullptr: the program itself
    bool (*prepare)();                        // false when something failed
    bool (*round)();                          // every operation once, between its marks
};

/// The program: prints "name<TAB>instructions<TAB>calls<TAB>calls_out<TAB>locked<TAB>system_calls<TAB>alike" for each
/// operation, the counts that most rounds had and how many had them; with --show NAME the file of the object and then
/// the offsets of what one round executed in it. Exit status: 0, 1, or 77 when stepping is not allowed here.
int probe_main(int argc, char** argv, const Probe& probe);

}  // namespace bounce::golden
