// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bouncectl/recording.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>

#include "tools/bouncectl/picture.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/signals.hpp"
#include "tools/trace/trace_file.hpp"

namespace bounce::ctl {
namespace {

using tools::Failure;
using tools::Json;
using tools::text;

constexpr std::size_t kAtOnce = 8192;
constexpr double kPause = 0.001;  // a ring has room for a quarter of a second at a million mappings each

struct TraceDeleter {
    void operator()(bounce_trace* trace) const noexcept { bounce_trace_close(trace); }
};

class Recording {
public:
    Recording(Client& client, const std::string& path)
        : client_(client), records_(kAtOnce), begun_(std::chrono::steady_clock::now()) {
        picture_ = take_picture(client_, kStats | kTunables);
        const auto fd = client_.tell_for_descriptor({.command = BOUNCE_CONTROL_TRACE, .arg = {1}});
        bounce_trace* trace = nullptr;
        if (bounce_trace_open(fd.get(), &trace) < 0) throw Failure(bounce_last_error());
        trace_.reset(trace);
        // A file that is there stays as it is when nothing can be recorded.
        writer_.emplace(path);
    }

    Recorded run(double seconds) {
        bool gone = false;
        try {
            take_held();
            while (!tools::stop_requested() && (seconds <= 0 || passed() < seconds)) {
                if (take_records()) continue;
                if (client_.hung_up()) throw tools::NoTarget("");
                static_cast<void>(tools::sleep_unless_stopped(kPause));
            }
            // What is on its way when it ends is read to the end.
            client_.tell({.command = BOUNCE_CONTROL_TRACE, .arg = {0}});
            const auto end = passed();
            while (!ended() && passed() < end + kPatience) {
                if (!take_records()) static_cast<void>(tools::sleep_unless_stopped(kPause));
            }
            add_devices(take_picture(client_, kStats | kTunables));
        } catch (const tools::NoTarget&) {
            gone = true;
            while (take_records()) {
            }
        }
        const bounce_trace_status status = this->status();
        Json config = {{"schema_version", 1}, {"process", picture_["process"]}, {"seconds", passed()}};
        for (const char* const part : {"pool", "regions", "devices", "tunables"}) config[part] = picture_[part];
        writer_->finish({status.begin_ns, status.begin_ticks, status.last_ns, status.last_ticks}, status.lost, held_,
                        config);
        return {writer_->records(), status.lost, passed(), gone, std::move(picture_)};
    }

private:
    static constexpr double kPatience = 2;  // s, for records that are being written

    [[nodiscard]] double passed() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_).count();
    }
    [[nodiscard]] bounce_trace_status status() const {
        bounce_trace_status status{};
        if (bounce_trace_get_status(trace_.get(), &status) < 0) throw Failure(bounce_last_error());
        return status;
    }
    [[nodiscard]] bool ended() const { return status().ended != 0; }

    /// False: there were not many, so that it may be waited for more.
    bool take_records() {
        const std::int64_t n = bounce_trace_read(trace_.get(), records_.data(), records_.size());
        if (n < 0) throw Failure(bounce_last_error());
        const auto got = static_cast<std::size_t>(n);
        writer_->add(std::span(records_).first(got));
        return got == records_.size();
    }

    /// What is handed out already; meanwhile records come.
    void take_held() {
        Question question{.command = BOUNCE_CONTROL_HELD};
        std::vector<bounce_control_held> some;
        for (bool more = true; more && !tools::stop_requested();) {
            some.clear();
            more = client_.ask_some(question, some);
            for (const bounce_control_held& one : some)
                held_.push_back({one.gpa, one.slot_bytes, one.bytes,
                                 static_cast<std::uint32_t>(one.device & 0xff'ffffU), one.kind});
            while (take_records()) {
            }
        }
    }

    /// Those that there were and are not any more stay known.
    void add_devices(Json later) {
        for (const Json& one : picture_["devices"]) {
            const auto same = [&one](const Json& other) { return other["id"] == one["id"]; };
            Json& devices = later["devices"];
            if (std::none_of(devices.begin(), devices.end(), same)) devices.push_back(one);
        }
        picture_ = std::move(later);
    }

    Client& client_;
    std::optional<tools::TraceWriter> writer_;
    std::vector<bounce_trace_record> records_;
    std::chrono::steady_clock::time_point begun_;
    Json picture_;
    std::unique_ptr<bounce_trace, TraceDeleter> trace_;
    std::vector<tools::TraceHeld> held_;
};

}  // namespace

Recorded record_demand(Client& client, const std::string& path, double seconds) {
    return Recording(client, path).run(seconds);
}

}  // namespace bounce::ctl
