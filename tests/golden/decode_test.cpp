// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tests/golden/decode.hpp"

#include <gtest/gtest.h>

#include <initializer_list>
#include <vector>

namespace bounce::golden {
namespace {

Instruction of(std::initializer_list<std::uint8_t> bytes) {
    return decode(std::vector<std::uint8_t>(bytes));
}

constexpr Instruction kPlain{};
constexpr Instruction kCall{.call = true};
constexpr Instruction kLocked{.locked = true};

TEST(Decode, Calls) {
    EXPECT_EQ(of({0xe8, 1, 2, 3, 4}), kCall);              // call rel32
    EXPECT_EQ(of({0xff, 0xd0}), kCall);                    // call *%rax
    EXPECT_EQ(of({0xff, 0x15, 1, 2, 3, 4}), kCall);        // call *x(%rip)
    EXPECT_EQ(of({0x41, 0xff, 0x54, 0x24, 8}), kCall);     // call *8(%r12)
    EXPECT_EQ(of({0x66, 0x48, 0xe8, 1, 2, 3, 4}), kCall);  // data16 rex.W call, as for __tls_get_addr
    EXPECT_EQ(of({0xff, 0xe0}), kPlain);                   // jmp *%rax
    EXPECT_EQ(of({0xff, 0xc0}), kPlain);                   // inc %eax
    EXPECT_EQ(of({0xe9, 1, 2, 3, 4}), kPlain);             // jmp rel32
    EXPECT_EQ(of({0x48, 0x8b, 0x04, 0xe8}), kPlain);       // mov (%rax,%rbp,8),%rax
    EXPECT_EQ(of({0xc3}), kPlain);                         // ret
}

TEST(Decode, Locked) {
    EXPECT_EQ(of({0xf0, 0x48, 0x0f, 0xb1, 0x17}), kLocked);          // lock cmpxchg %rdx,(%rdi)
    EXPECT_EQ(of({0x66, 0xf0, 0x0f, 0xc1, 0x07}), kLocked);          // lock xadd %ax,(%rdi)
    EXPECT_EQ(of({0xf0, 0x48, 0x83, 0x0c, 0x24, 0}), kLocked);       // lock orq $0,(%rsp): gcc's fence
    EXPECT_EQ(of({0x0f, 0xae, 0xf0}), kLocked);                      // mfence
    EXPECT_EQ(of({0x48, 0x87, 0x07}), kLocked);                      // xchg %rax,(%rdi)
    EXPECT_EQ(of({0x41, 0x86, 0x45, 1}), kLocked);                   // xchg %al,1(%r13)
    EXPECT_EQ(of({0x48, 0x87, 0xc3}), kPlain);                       // xchg %rax,%rbx
    EXPECT_EQ(of({0x0f, 0xae, 0xf8}), kPlain);                       // sfence
    EXPECT_EQ(of({0x48, 0x0f, 0xb1, 0x17}), kPlain);                 // cmpxchg without lock
    EXPECT_EQ(of({0x48, 0xb8, 0xf0, 0, 0, 0, 0, 0, 0, 0}), kPlain);  // movabs $0xf0,%rax
}

TEST(Decode, SystemCallsAndRepeats) {
    EXPECT_EQ(of({0x0f, 0x05}), Instruction{.system_call = true});
    EXPECT_EQ(of({0xf3, 0xa4}), Instruction{.repeats = true});        // rep movsb
    EXPECT_EQ(of({0xf3, 0x48, 0xab}), Instruction{.repeats = true});  // rep stosq
    EXPECT_EQ(of({0xf3, 0x90}), kPlain);                              // pause
    EXPECT_EQ(of({0xf3, 0x48, 0x0f, 0xbc, 0xc0}), kPlain);            // tzcnt
    EXPECT_EQ(of({0xa4}), kPlain);                                    // movsb
    EXPECT_EQ(of({0xf3, 0x0f, 0x1e, 0xfa}), kPlain);                  // endbr64
}

TEST(Decode, WhatIsCutShortIsNothing) {
    EXPECT_EQ(of({}), kPlain);
    EXPECT_EQ(of({0xff}), kPlain);
    EXPECT_EQ(of({0x87}), kPlain);
    EXPECT_EQ(of({0x66, 0x48}), kPlain);
}

}  // namespace
}  // namespace bounce::golden
