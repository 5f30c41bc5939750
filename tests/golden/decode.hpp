// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// As much of an x86-64 instruction as counting takes: is it a call, is it locked, is it a system call?
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace bounce::golden {

inline constexpr std::size_t kMaxInstructionBytes = 15;

struct Instruction {
    bool call = false;    // near or far, direct or indirect
    bool locked = false;  // a lock prefix, xchg with memory (which locks by itself), or mfence (which costs as much)
    bool system_call = false;  // syscall
    bool repeats = false;      // a string instruction with rep: stays where it is from step to step
    friend bool operator==(const Instruction&, const Instruction&) = default;
};

/// Legacy prefixes but lock and rep: operand and address size, segments.
constexpr bool is_plain_prefix(std::uint8_t byte) noexcept {
    switch (byte) {
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
        case 0x64:
        case 0x65:
        case 0x66:
        case 0x67: return true;
        default: return false;
    }
}

/// ins, outs, movs, cmps, stos, lods, scas.
constexpr bool is_string_operation(std::uint8_t opcode) noexcept {
    return (opcode >= 0x6c && opcode <= 0x6f) || (opcode >= 0xa4 && opcode <= 0xa7) ||
           (opcode >= 0xaa && opcode <= 0xaf);
}

/// Reads the instruction that `bytes` begins with; what is cut short is no call and not locked.
constexpr Instruction decode(std::span<const std::uint8_t> bytes) noexcept {
    Instruction instruction;
    bool rep = false;
    std::size_t at = 0;
    const auto next = [&bytes, &at]() noexcept { return at < bytes.size() ? bytes[at++] : std::uint8_t{0x90}; };
    std::uint8_t opcode = next();
    for (;; opcode = next()) {
        if (opcode == 0xf0) {
            instruction.locked = true;
        } else if (opcode == 0xf2 || opcode == 0xf3) {
            rep = true;
        } else if (!is_plain_prefix(opcode)) {
            break;
        }
    }
    if ((opcode & 0xf0) == 0x40) opcode = next();  // REX is the last prefix
    instruction.repeats = rep && is_string_operation(opcode);
    const auto modrm = [&bytes, &at]() noexcept { return at < bytes.size() ? bytes[at] : std::uint8_t{0xc0}; };
    const unsigned operation = (modrm() >> 3) & 7U;
    switch (opcode) {
        case 0xe8: instruction.call = true; break;
        case 0xff: instruction.call = operation == 2 || operation == 3; break;
        case 0x86:
        case 0x87: instruction.locked = instruction.locked || modrm() < 0xc0; break;
        case 0x0f: {
            const std::uint8_t second = next();
            instruction.system_call = second == 0x05;
            if (second == 0xae && modrm() == 0xf0) instruction.locked = true;
            break;
        }
        default: break;
    }
    return instruction;
}

}  // namespace bounce::golden
