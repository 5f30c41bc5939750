// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Files of packets (libpcap, included in capture.cpp only).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace bounce::net {

using Packet = std::vector<std::byte>;

/// All packets of a file, in order. Throws tools::Failure: it cannot be read, is not of Ethernet, has none, or one that
/// is cut short, shorter than an Ethernet header or longer than most_bytes.
std::vector<Packet> read_capture(const std::string& path, std::size_t most_bytes);

class CaptureWriter {
public:
    /// Throws tools::Failure when it cannot be written.
    explicit CaptureWriter(const std::string& path);
    ~CaptureWriter();
    CaptureWriter(const CaptureWriter&) = delete;
    CaptureWriter& operator=(const CaptureWriter&) = delete;

    void write(std::span<const std::byte> frame);
    /// Throws tools::Failure when not all could be written.
    void finish();

private:
    struct State;
    std::string path_;
    std::unique_ptr<State> state_;
};

}  // namespace bounce::net
