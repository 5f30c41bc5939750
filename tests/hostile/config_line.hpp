// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A driver that reads configuration space through a front-end, and the back-end that answers: with a space that changes
// between any two reads, with other places and sizes than were asked for, with descriptors, or not at all.
#pragma once

#include <bounce/bounce.h>
#include <bounce/virtio.h>

#include <array>
#include <cstdint>
#include <mutex>
#include <string>

#include "tests/hostile/oracle.hpp"
#include "tests/support/temp_folder.hpp"
#include "tests/unit/api/vhost/fake_backend.hpp"

namespace bounce::hostile {

class ConfigLine {
public:
    /// Throws std::runtime_error when there is no connection.
    explicit ConfigLine(Findings& findings);
    ~ConfigLine();
    ConfigLine(const ConfigLine&) = delete;
    ConfigLine& operator=(const ConfigLine&) = delete;

    /// The device: byte a of the space becomes b, and the next answer is of kind b / 256 (see Lie).
    void flip(std::uint8_t a, std::uint32_t b);
    /// The driver: reads b % 72 + 1 bytes at a % 64. What comes is what one answer said, or nothing and an error.
    void read(std::uint8_t a, std::uint32_t b);
    /// Everything is given back.
    void finish();

private:
    enum class Lie : std::uint8_t { kNone, kOffset, kLength, kShort, kLong, kEmpty, kDescriptor, kHangUp, kCount };
    static constexpr std::size_t kSpace = 64;

    void answer(test::Peer& peer, test::Message& message);
    void connect();
    void again();

    Findings& findings_;
    const test::TempFolder folder_;
    const std::string path_;
    test::FakeBackend backend_;
    bounce_pool* pool_ = nullptr;
    bounce_frontend* frontend_ = nullptr;
    // By the thread of the back-end too.
    std::mutex mutex_;
    std::array<std::uint8_t, kSpace> space_{};
    Lie lie_ = Lie::kNone;
    std::vector<std::uint8_t> told_;  // by the last answer that was one
};

}  // namespace bounce::hostile
