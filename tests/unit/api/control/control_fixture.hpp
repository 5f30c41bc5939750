// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A pool with devices, and its control without a socket: questions and answers.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "api/control/requests.hpp"
#include "api/control/stats_view.hpp"
#include "api/dma/device.hpp"

namespace bounce {

inline constexpr std::uint64_t kBase = 0x1'0000'0000;

class ControlTest : public testing::Test {
protected:
    explicit ControlTest(std::uint64_t pool_bytes = 4u << 20, const GrowthConfig& growth = {}) {
        RegionConfig region;
        region.bytes = pool_bytes;
        region.base_gpa = Gpa{kBase};
        auto pool = Pool::create(region, growth);
        if (!pool) throw std::runtime_error(last_error());
        pool_ = std::move(*pool);
        auto segment = StatsSegment::create(1);
        if (!segment) throw std::runtime_error(last_error());
        segment_ = std::move(*segment);
        std::snprintf(names_.pool, sizeof names_.pool, "tested");
        requests_ = std::make_unique<ControlRequests>(*pool_, callbacks_, names_, *segment_);
        if (!callbacks_.telemetry().keep_events()) throw std::runtime_error(last_error());
        peer_.rights = BOUNCE_CONTROL_OBSERVE | BOUNCE_CONTROL_TUNE;
        peer_.uid = 7;
        requests_->tick();
        device_ = make("net0");
    }

    std::unique_ptr<Device> make(const char* name) {
        auto device = Device::create(*pool_, callbacks_, {.name = name});
        if (!device) throw std::runtime_error(last_error());
        return std::move(*device);
    }

    struct Answer {
        bounce_control_reply head{};
        std::string error;
        std::vector<std::byte> records;

        template <class T>
        [[nodiscard]] std::vector<T> as() const {
            std::vector<T> all(head.records);
            for (std::size_t i = 0; i < all.size(); ++i)
                std::memcpy(&all[i], records.data() + i * head.record_bytes, sizeof(T));
            return all;
        }
    };
    Answer ask_bytes(const std::vector<std::byte>& request) {
        requests_->answer(peer_, request, reply_);
        Answer answer;
        EXPECT_GE(reply_.size, sizeof answer.head);
        EXPECT_LE(reply_.size, reply_.bytes.size());
        std::memcpy(&answer.head, reply_.bytes.data(), sizeof answer.head);
        answer.records.assign(reply_.bytes.begin() + sizeof answer.head,
                              reply_.bytes.begin() + static_cast<std::ptrdiff_t>(reply_.size));
        if (answer.head.status != 0) answer.error = reinterpret_cast<const char*>(answer.records.data());
        return answer;
    }
    Answer ask(int command, std::vector<std::uint64_t> args = {}, const std::vector<bounce_control_item>& items = {},
               std::uint16_t flags = 0) {
        bounce_control_request head{};
        head.magic = BOUNCE_CONTROL_MAGIC;
        head.version = BOUNCE_CONTROL_VERSION;
        head.command = static_cast<std::uint16_t>(command);
        head.flags = flags;
        head.items = static_cast<std::uint32_t>(items.size());
        head.item_bytes = items.empty() ? 0 : sizeof(bounce_control_item);
        std::copy(args.begin(), args.end(), head.arg);
        const std::span sent = std::as_bytes(std::span(&head, 1));
        const std::span rest = std::as_bytes(std::span(items));
        std::vector<std::byte> bytes(sent.begin(), sent.end());
        bytes.insert(bytes.end(), rest.begin(), rest.end());
        return ask_bytes(bytes);
    }
    /// All of an answer that comes in parts.
    template <class T>
    std::vector<T> ask_all(int command, std::vector<std::uint64_t> args = {}) {
        args.resize(4);
        std::vector<T> all;
        for (;;) {
            const Answer answer = ask(command, args);
            EXPECT_EQ(answer.head.status, 0) << answer.error;
            const auto some = answer.as<T>();
            all.insert(all.end(), some.begin(), some.end());
            if (answer.head.more == 0 || answer.head.status != 0) return all;
            args[0] = answer.head.next[0];
            args[1] = answer.head.next[1];
        }
    }
    static bounce_control_item item(const std::string& name, std::uint64_t value) {
        bounce_control_item made{};
        std::snprintf(made.name, sizeof made.name, "%s", name.c_str());
        made.value = value;
        return made;
    }
    Answer set(const std::vector<bounce_control_item>& items, bool dry_run = false) {
        return ask(BOUNCE_CONTROL_SET, {}, items, dry_run ? BOUNCE_CONTROL_DRY_RUN : 0);
    }
    std::string of_device(const char* name) const { return "device." + std::to_string(device_->id()) + "." + name; }
    std::uint64_t value_of(const std::string& name) {
        for (const auto& one : ask_all<bounce_control_tunable>(BOUNCE_CONTROL_TUNABLES)) {
            if (name == one.name) return one.value;
        }
        ADD_FAILURE() << "no tunable " << name;
        return 0;
    }
    /// The pool's audit has nothing to say.
    void expect_clean() {
        for (const auto& problem : ask_all<bounce_control_problem>(BOUNCE_CONTROL_CHECK))
            ADD_FAILURE() << problem.text << ": expected " << problem.expected << ", got " << problem.got;
    }

    Callbacks callbacks_;
    std::unique_ptr<Pool> pool_;
    std::unique_ptr<StatsSegment> segment_;
    HostNames names_;
    std::unique_ptr<ControlRequests> requests_;
    ControlPeer peer_;
    ControlRequests::Reply reply_;
    std::unique_ptr<Device> device_;
};

}  // namespace bounce
