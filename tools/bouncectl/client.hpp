// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A connection to the control of a pool (bounce/control.h).
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "bounce/control.h"
#include "tools/common/descriptor.hpp"

namespace bounce::ctl {

/// What is asked, with up to four arguments.
struct Question {
    bounce_control_command command{};
    std::uint64_t arg[4] = {};
    std::uint16_t flags = 0;
    std::span<const bounce_control_item> items{};
};

class Client {
public:
    /// Throws tools::NoTarget when nobody listens there, tools::Failure when it may not be.
    explicit Client(std::string path);

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] const bounce_control_hello& hello() const noexcept { return hello_; }
    /// As this process sees it; 0 when it is of another pid namespace.
    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    /// Of the stats segment.
    [[nodiscard]] int stats_fd() const noexcept { return stats_.get(); }

    /// Asks until all of the answer is there, or `most` records; `total` is that of the last reply. Throws
    /// tools::Failure with what the library said; tools::NoTarget when the process has gone.
    template <class T>
    std::vector<T> ask(Question question, std::uint64_t* total = nullptr, std::size_t most = SIZE_MAX) {
        std::vector<T> all;
        for (;;) {
            const bounce_control_reply& reply = exchange(question);
            const char* record = reinterpret_cast<const char*>(buffer_.data()) + sizeof reply;
            for (std::uint32_t i = 0; i < reply.records; ++i, record += reply.record_bytes) {
                T one{};
                std::memcpy(&one, record, std::min<std::size_t>(sizeof one, reply.record_bytes));
                all.push_back(one);
            }
            if (total != nullptr) *total = reply.total;
            if (reply.more == 0 || all.size() >= most) return all;
            question.arg[0] = reply.next[0];
            question.arg[1] = reply.next[1];
        }
    }
    /// One reply of it; question goes on behind it. False: that was all.
    template <class T>
    bool ask_some(Question& question, std::vector<T>& all) {
        const bounce_control_reply& reply = exchange(question);
        const char* record = reinterpret_cast<const char*>(buffer_.data()) + sizeof reply;
        for (std::uint32_t i = 0; i < reply.records; ++i, record += reply.record_bytes) {
            T one{};
            std::memcpy(&one, record, std::min<std::size_t>(sizeof one, reply.record_bytes));
            all.push_back(one);
        }
        question.arg[0] = reply.next[0];
        question.arg[1] = reply.next[1];
        return reply.more != 0;
    }
    /// For what has no records; `total` of the reply.
    std::uint64_t tell(const Question& question) { return exchange(question).total; }
    /// For what is answered with a descriptor. Throws tools::Failure when none came.
    tools::Descriptor tell_for_descriptor(const Question& question);
    /// The other side has ended the connection.
    [[nodiscard]] bool hung_up() const noexcept;

private:
    const bounce_control_reply& exchange(const Question& question);
    [[noreturn]] void gone() const;

    std::string path_;
    tools::Descriptor socket_;
    tools::Descriptor stats_;
    tools::Descriptor received_;  // with the last reply
    pid_t pid_ = 0;
    bounce_control_hello hello_{};
    std::vector<std::uint64_t> buffer_;
    std::uint64_t tag_ = 0;
};

}  // namespace bounce::ctl
