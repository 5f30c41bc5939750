// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a device and the emulator say to each other: one message each way, over a SOCK_SEQPACKET socket on one machine.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bounce::emulated {

inline constexpr std::uint32_t kMostData = 4096;

enum class Op : std::uint32_t {
    kFindToRead = 1,  // where does an address lead?
    kFindToWrite = 2,
    kRead = 3,  // private memory, by what the emulator says
    kWrite = 4,
};

struct Request {
    std::uint32_t op;
    std::uint32_t bytes;  // of kRead and kWrite: 1 to kMostData
    std::uint64_t address;
    std::byte data[kMostData];  // of kWrite; otherwise not sent
};
inline constexpr std::size_t kRequestHead = offsetof(Request, data);

struct Reply {
    std::int32_t status;   // 0 or -errno
    std::uint32_t window;  // of kFind...: 0, or in which one the address is, from 1; the first time with its descriptor
    std::uint64_t bytes;   // that are alike
    std::uint64_t offset;  // in the window's file
    std::byte data[kMostData];  // of kRead; otherwise not sent
};
inline constexpr std::size_t kReplyHead = offsetof(Reply, data);

}  // namespace bounce::emulated
