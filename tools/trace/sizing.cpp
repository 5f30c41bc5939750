// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/trace/sizing.hpp"

#include <algorithm>
#include <deque>
#include <limits>

#include "tools/common/failure.hpp"
#include "tools/common/signals.hpp"
#include "tools/common/units.hpp"

namespace bounce::tools {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kLeastLimit = 65536;
constexpr std::uint64_t kStepsOfLimit = 400;  // it is found to a quarter of a percent
constexpr double kMostHeadroom = 0.1;
constexpr std::uint64_t kLooksBelow = 32;  // so many sizes below the one that was found are tried, down to
constexpr double kLowest = 0.8;            // so much of it, or what is in use at most
constexpr int kRounds = 6;
// What threads and rings keep counts for a ceiling, and slots come in whole pages.
constexpr double kCeilingRoom = 1.25;

std::uint64_t scaled(std::uint64_t bytes, double by) {
    return static_cast<std::uint64_t>(static_cast<double>(bytes) * by);
}
std::uint64_t pages_up(std::uint64_t bytes) {
    return round_up(bytes, kPage);
}

/// Bytes in use over time: the most, the steepest, and each device's.
class UseOverTime {
public:
    UseOverTime(const Demand& demand, std::uint64_t lead_ns, Sizing& sizing) : lead_ns_(lead_ns), sizing_(sizing) {
        const auto slots = slot_bytes_of(demand);
        struct Of {
            std::uint64_t now = 0;
            std::uint64_t since = 0;
            double sum = 0;
        };
        std::vector<Of> of(demand.devices.size());
        const std::uint64_t end = std::max<std::uint64_t>(demand.last_ns, 1);
        std::uint64_t lowest = std::numeric_limits<std::uint64_t>::max();
        for (std::size_t i = 0; i < demand.steps.size(); ++i) {
            const DemandStep& step = demand.steps[i];
            const DemandObject& object = demand.objects[step.object];
            const std::uint64_t bytes = slots[step.object];
            Of& mine = of[object.device];
            DeviceNeed& need = sizing.devices[object.device];
            const std::uint64_t ns = std::min(step.ns, end);
            mine.sum += static_cast<double>(mine.now) * static_cast<double>(ns - mine.since);
            mine.since = ns;
            if (step.ends) {
                mine.now -= bytes;
                use_ -= bytes;
                if (step.ns <= end) lowest = std::min(lowest, use_);
            } else {
                mine.now += bytes;
                use_ += bytes;
                need.peak_bytes = std::max(need.peak_bytes, mine.now);
                if (use_ > sizing.peak_bytes) lowest = sizing.peak_bytes = use_;
            }
            // What was there before did not come within any lead.
            if (i + 1 >= demand.initial) grown(step.ns);
        }
        for (std::size_t d = 0; d < of.size(); ++d) {
            of[d].sum += static_cast<double>(of[d].now) * static_cast<double>(end - of[d].since);
            sizing.devices[d].mean_bytes = static_cast<std::uint64_t>(of[d].sum / static_cast<double>(end));
        }
        sizing.lowest_bytes = std::min(lowest, sizing.peak_bytes);
    }

private:
    /// The least use within the lead before now stands in front.
    void grown(std::uint64_t ns) {
        while (!least_.empty() && least_.back().use >= use_) least_.pop_back();
        least_.push_back({ns, use_});
        while (ns - least_.front().ns > lead_ns_) least_.pop_front();
        sizing_.steepest_bytes = std::max(sizing_.steepest_bytes, use_ - least_.front().use);
    }

    struct At {
        std::uint64_t ns;
        std::uint64_t use;
    };
    std::uint64_t lead_ns_;
    Sizing& sizing_;
    std::uint64_t use_ = 0;
    std::deque<At> least_;
};

class LimitSearch {
public:
    LimitSearch(const Demand& demand, const ReplayConfig& config, const SizingOptions& options, Sizing& sizing)
        : demand_(demand), config_(config), options_(options), sizing_(sizing) {
        // What is recommended goes with quotas of its own. The reserve stays, and who may take it.
        for (auto& [id, quota] : config_.quotas) quota = {0, 0, quota.priority};
    }

    /// The smallest one, to a step; then the one to recommend.
    void run() {
        // Less than what is in use at once cannot do.
        const std::uint64_t least = std::max(kLeastLimit, pages_up(sizing_.peak_bytes));
        std::uint64_t fails = least - kPage;
        std::uint64_t does = fails + kPage;
        while (!will_do(does)) {
            fails = does;
            if (does > options_.most_bytes / 2)
                throw Failure(
                    text("no pool of up to ", format_bytes(does), " has memory for all of this demand: ", why_));
            does = pages_up(does + std::max(does / 16, kPage));
        }
        // It need not be so that more always does better: less may do all the same, mostly where regions are cut
        // otherwise.
        bool found = true;
        for (int round = 0; found && round < kRounds; ++round) {
            narrow(fails, does);
            found = false;
            std::uint64_t less = std::max(least, scaled(does, kLowest) / kPage * kPage);
            const std::uint64_t step = std::max(kPage, (does - less) / kLooksBelow / kPage * kPage);
            for (fails = less - kPage; !found && less + sizing_.step_bytes < does; less += step) {
                found = will_do(less);
                if (found) {
                    does = less;
                } else {
                    fails = less;
                }
            }
        }
        sizing_.smallest_bytes = does;
        recommend();
    }

    [[nodiscard]] bool will_do(std::uint64_t limit) {
        ++sizing_.replays;
        try {
            const ReplayResult result = replay(demand_, config_.with_limit(limit), true);
            if (result.first) why_ = result.first->why;
            return result.failed == 0;
        } catch (const Failure& failure) {  // not even the reserve fits
            throw_if_stopped();
            why_ = failure.what();
            return false;
        }
    }

private:
    void narrow(std::uint64_t& fails, std::uint64_t& does) {
        const std::uint64_t step = std::max(kPage, does / kStepsOfLimit / kPage * kPage);
        while (does - fails > step) {
            const std::uint64_t middle = fails + (does - fails) / 2 / kPage * kPage;
            if (middle <= fails || middle >= does) break;
            (will_do(middle) ? does : fails) = middle;
        }
        sizing_.step_bytes = does - fails;
    }

    void recommend() {
        const double most = std::min(options_.headroom, kMostHeadroom);
        const std::uint64_t smallest = sizing_.smallest_bytes;
        // In halves: what is tried last is the smallest one, which does.
        for (double headroom = most; headroom > 0.001; headroom /= 2) {
            const std::uint64_t limit = scaled(smallest, 1 + headroom) / kPage * kPage;
            if (limit <= smallest || !will_do(limit)) continue;
            sizing_.limit_bytes = limit;
            return;
        }
        sizing_.limit_bytes = smallest;
    }

    const Demand& demand_;
    ReplayConfig config_;
    const SizingOptions& options_;
    Sizing& sizing_;
    std::string why_;
};

/// A floor is what a device has on average, a ceiling what it had at most and a quarter: others get the rest.
void add_quotas(const Demand& demand, const ReplayConfig& config, std::uint64_t pool_bytes, Sizing& sizing) {
    const auto known = [](const DeviceNeed& need) { return need.id != 0; };
    if (std::count_if(sizing.devices.begin(), sizing.devices.end(), known) < 2) return;
    // Floors, an eighth more, and the reserve fit into what the pool has now and will begin with.
    const std::uint64_t has = std::min(pool_bytes, sizing.limit_bytes);
    const std::uint64_t room = has > config.reserve_bytes ? (has - config.reserve_bytes) / 9 * 8 : 0;
    std::uint64_t wanted = 0;
    for (const DeviceNeed& need : sizing.devices) wanted += pages_up(need.mean_bytes);
    const double part =
        wanted > room / 2 && wanted != 0 ? static_cast<double>(room / 2) / static_cast<double>(wanted) : 1;
    for (DeviceNeed& need : sizing.devices) {
        if (need.id == 0) continue;  // nobody knows whose it is
        need.floor_bytes = scaled(pages_up(need.mean_bytes), part) / kPage * kPage;
        const std::uint64_t ceiling = pages_up(scaled(need.peak_bytes, kCeilingRoom) + sizing.limit_bytes / 64);
        need.ceiling_bytes = ceiling < sizing.limit_bytes ? ceiling : 0;
    }
    const auto tried = [&] {
        ReplayConfig with = config.with_limit(sizing.limit_bytes);
        with.size_bytes =
            std::min(with.limit_bytes == 0 ? with.size_bytes : with.limit_bytes, std::max(with.size_bytes, pool_bytes));
        for (const DeviceNeed& need : sizing.devices) {
            ReplayQuota& quota = with.quotas[need.id];
            quota = {need.floor_bytes, need.ceiling_bytes, quota.priority};
        }
        ++sizing.replays;
        return replay(demand, with, true).failed == 0;
    };
    // Floors keep memory from those that have theirs: where that makes something fail there are none.
    for (const bool floors : {true, false}) {
        if (!floors) {
            for (DeviceNeed& need : sizing.devices) need.floor_bytes = 0;
        }
        try {
            sizing.quotas = tried();
        } catch (const Failure&) {  // the floors cannot be promised
            sizing.quotas = false;
        }
        if (sizing.quotas) return;
    }
    for (DeviceNeed& need : sizing.devices) need.ceiling_bytes = 0;
}

}  // namespace

Sizing size_for(const Demand& demand, const ReplayConfig& config, std::uint64_t pool_bytes,
                const SizingOptions& options) {
    if (demand.objects.empty()) throw Failure("nothing was asked of the pool in this recording");
    Sizing sizing;
    for (const DemandDevice& device : demand.devices)
        sizing.devices.push_back(
            {.id = device.id, .requests = device.objects, .failed = device.failed, .hold_ns = device.hold_ns});
    UseOverTime(demand, options.lead_ns, sizing);
    LimitSearch(demand, config, options, sizing).run();
    sizing.low_watermark = pages_up(sizing.steepest_bytes);
    // What swings stays: shrinking by it would mean growing again.
    sizing.high_watermark = sizing.low_watermark + pages_up(sizing.peak_bytes - sizing.lowest_bytes);
    add_quotas(demand, config, pool_bytes, sizing);
    return sizing;
}

}  // namespace bounce::tools
