// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tests/hostile/session.hpp"

#include <iterator>
#include <optional>
#include <stdexcept>
#include <utility>

#include "tests/hostile/config_line.hpp"
#include "tests/hostile/shared_word.hpp"

namespace bounce::hostile {
namespace {

constexpr std::uint64_t kPoolBytes = 1U << 20;
constexpr std::uint64_t kBaseGpa = 0x1'0000'0000;
constexpr std::size_t kSizes[] = {1, 16, 63, 64, 65, 200, 512, 1500};
/// Steps that a broken ring is played on with before the driver resets it.
constexpr unsigned kBrokenSteps = 6;

class Session {
public:
    Session(const Setup& setup, std::function<void(const std::string&)> found)
        : setup_(setup), findings_(std::move(found)) {
        bounce_pool_options options{};
        options.size = sizeof options;
        options.name = "hostile";
        options.region.size = sizeof options.region;
        options.region.bytes = kPoolBytes;
        options.region.base_gpa = kBaseGpa;
        options.violation = [](void* user, const bounce_violation* violation) {
            static_cast<Session*>(user)->reported(*violation);
        };
        options.violation_user = this;
        if (bounce_pool_create(&options, &pool_) < 0) throw std::runtime_error(bounce_last_error());
    }
    ~Session() {
        attacked_.reset();
        honest_.reset();
        if (!findings_.any()) bounce_pool_destroy(pool_);
    }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    Report run(const std::vector<Action>& actions) {
        static const std::size_t room = measure();  // of any such pool; it takes as long as all the rest
        Setup beside = setup_;
        beside.queue_size = setup_.packed ? 3 : 4;
        beside.length_ignore = false;
        attacked_.emplace(findings_, pool_, "attacked", setup_, 0U);
        honest_.emplace(findings_, pool_, "honest", beside, 1U);
        for (const Action& action : actions) {
            if (findings_.any()) break;
            ++report_.steps;
            step(action);
            attacked_->oracle().check_ring();
        }
        if (!findings_.any()) end(room);
        report_.finding = findings_.first();
        return report_;
    }

private:
    void reported(const bounce_violation& violation) {
        ++report_.violations;
        if (violation.ring == 1) return findings_.add("a violation by the honest queue: %s", violation.text);
        if (attacked_) attacked_->oracle().violation(violation.kind);
    }

    /// What the pool can hand out while nothing of it is used.
    std::size_t measure() {
        bounce_device_options options{};
        options.size = sizeof options;
        bounce_device* device = nullptr;
        if (bounce_device_create(pool_, &options, &device) < 0) throw std::runtime_error(bounce_last_error());
        const std::size_t room = capacity(pool_, device);
        bounce_device_destroy(device);
        return room;
    }

    void step(const Action& action) {
        const bool broken = attacked_->broken();
        if (broken && ++broken_steps_ > kBrokenSteps) recover();
        switch (action.step) {
            case Step::kAdd: return add(action);
            case Step::kPublish: return attacked_->publish();
            case Step::kCollect: return collect(action, false);
            case Step::kPoll: return collect(action, true);
            case Step::kArm: static_cast<void>(bounce_ring_arm(attacked_->ring())); return;
            case Step::kDisarm: bounce_ring_disarm(attacked_->ring()); return;
            case Step::kRecover: return recover();
            case Step::kHonest: return honest_->honest_turn(1 + action.a % 2, action.b);
            case Step::kScan: return attacked_->oracle().scan();
            case Step::kFlipConfig: return config().flip(action.a, action.b);
            case Step::kReadConfig: return config().read(action.a, action.b);
            default: attacked_->device().act(action);
        }
    }

    void add(const Action& action) {
        std::size_t n_out = action.a % 4;
        std::size_t n_in = action.a / 4 % 4;
        if (action.a >= 240) n_in += 8;  // longer than what goes into the ring when there are tables
        if (n_out + n_in == 0) n_out = 1;
        std::vector<Buffer> buffers;
        for (std::size_t i = 0; i < n_out + n_in; ++i) {
            const std::size_t bytes = kSizes[(action.b >> (i % 8 * 3)) % std::size(kSizes)];
            buffers.emplace_back(action.a >= 240 ? bytes % 100 + 1 : bytes, i >= n_out,
                                 harmless(static_cast<std::uint32_t>(action.b + i)));
        }
        if (attacked_->add(std::move(buffers), n_out, static_cast<InPlace>(action.b / 8 % 5 % 3))) ++report_.added;
    }

    void collect(const Action& action, bool poll) {
        const std::size_t max = action.a % 4 == 0 ? 1 + action.a / 4 % 3 : setup_.queue_size + std::size_t{1};
        const int n = attacked_->collect(max, poll);
        if (n > 0) report_.completed += static_cast<std::uint64_t>(n);
    }

    /// Only a script that asks for it has a front-end.
    ConfigLine& config() {
        if (!config_) config_.emplace(findings_);
        return *config_;
    }

    void recover() {
        broken_steps_ = 0;
        ++report_.recoveries;
        attacked_->recover();
    }

    void end(std::size_t room) {
        honest_->honest_turn(2, 0);
        attacked_->oracle().scan();
        recover();
        // After a reset the attacked queue works, with a device that behaves.
        attacked_->honest_turn(1, 0);
        attacked_->oracle().scan();
        attacked_->finish();
        honest_->finish();
        if (config_) config_->finish();
        if (findings_.any()) return;
        attacked_.reset();
        honest_.reset();
        bounce_pool_stats stats{};
        bounce_pool_get_stats(pool_, &stats);
        if (stats.slots != 0 || stats.used_bytes != 0 || stats.quarantined != 0)
            findings_.add("%llu slots are still handed out and %llu in quarantine",
                          static_cast<unsigned long long>(stats.slots),
                          static_cast<unsigned long long>(stats.quarantined));
        if (const std::size_t now = measure(); now != room)
            findings_.add("the pool has room for %zu blocks of 4 KiB, expected %zu", now, room);
    }

    Setup setup_;
    Findings findings_;
    Report report_;
    bounce_pool* pool_ = nullptr;
    std::optional<Line> attacked_;
    std::optional<Line> honest_;
    std::optional<ConfigLine> config_;
    unsigned broken_steps_ = 0;
};

}  // namespace

Report play(const Script& script, std::function<void(const std::string&)> found) {
    Session session(script.setup, std::move(found));
    return session.run(script.actions);
}

}  // namespace bounce::hostile
