// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/trace/demand.hpp"

#include <algorithm>

#include "tools/common/failure.hpp"

namespace bounce::tools {
namespace {

constexpr std::uint64_t kForever = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint32_t kNobody = std::numeric_limits<std::uint32_t>::max();
constexpr std::size_t kMostHolds = 1u << 20;  // of a device that a median is made of: the first ones
constexpr std::size_t kMostDevices = 65536;

std::uint64_t median(std::vector<std::uint64_t>& values) {
    if (values.empty()) return 0;
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

/// A request that would be the same if it were made again.
struct RequestKey {
    std::uint64_t bytes;
    std::uint32_t device;
    std::uint16_t buffer;
    Want want;
    friend bool operator==(const RequestKey&, const RequestKey&) = default;
};
struct RequestKeyHash {
    std::size_t operator()(const RequestKey& key) const noexcept {
        std::uint64_t mixed = key.bytes * 0x9e37'79b9'7f4a'7c15U;
        mixed ^= (std::uint64_t{key.device} << 24 | std::uint64_t{key.buffer} << 4 | static_cast<unsigned>(key.want)) *
                 0xc2b2'ae3d'27d4'eb4fU;
        return static_cast<std::size_t>(mixed ^ mixed >> 29);
    }
};

class DemandBuilder {
public:
    DemandBuilder(Demand& demand, const TraceReader& trace) : demand_(demand), trace_(trace) {}

    void build() {
        find_holds();
        trace_.each([this](const bounce_trace_record& record) { take(record); });
        for (const auto& [key, pending] : pending_) {
            if (pending.until != kForever) end_at(pending.until, pending.object);
        }
        add_held();
        merge();
        give_seats();
    }

private:
    struct Place {
        std::uint32_t object = kNobody;
        std::uint64_t begin_ns = 0;
    };
    struct Pending {
        std::uint32_t object;
        std::uint64_t until;
    };

    /// The medians, which have to be known before what failed can be placed.
    void find_holds() {
        struct Begin {
            std::uint64_t ns;
            std::uint32_t device;
        };
        std::unordered_map<std::uint64_t, Begin> begun;
        std::unordered_map<std::uint32_t, std::vector<std::uint64_t>> holds;
        std::vector<std::uint64_t> all;
        trace_.each([&](const bounce_trace_record& record) {
            const std::uint64_t ns = trace_.clock().ns_of(record.ticks);
            last_ns_ = std::max(last_ns_, ns);
            if (record.kind == BOUNCE_TRACE_MAP) begun[record.addr] = {ns, record.device};
            if (record.kind != BOUNCE_TRACE_UNMAP) return;
            const auto found = begun.find(record.addr);
            if (found == begun.end()) return;
            const std::uint64_t hold = ns - std::min(ns, found->second.ns);
            if (auto& mine = holds[record.device]; mine.size() < kMostHolds) mine.push_back(hold);
            if (all.size() < kMostHolds) all.push_back(hold);
            begun.erase(found);
        });
        hold_of_all_ = median(all);
        for (auto& [device, values] : holds) demand_.devices[device_index(device)].hold_ns = median(values);
        demand_.last_ns = last_ns_;
        last_ns_ = 0;
    }

    std::uint32_t device_index(std::uint32_t id) {
        const auto [found, is_new] = index_.try_emplace(id, static_cast<std::uint32_t>(demand_.devices.size()));
        if (is_new) {
            if (demand_.devices.size() == kMostDevices)
                throw Failure(text("'", trace_.path(), "' has more than ", kMostDevices, " devices"));
            demand_.devices.push_back({.id = id});
        }
        return found->second;
    }

    std::uint32_t add(std::uint64_t bytes, std::uint32_t device, Want want, std::uint8_t align_bits, bool failed) {
        if (demand_.objects.size() == kNobody) throw Failure(text("'", trace_.path(), "' has too many requests"));
        const std::uint32_t index = device_index(device);
        demand_.objects.push_back({bytes, index, want, align_bits, failed});
        demand_.most_bytes = std::max(demand_.most_bytes, bytes);
        DemandDevice& of = demand_.devices[index];
        ++of.objects;
        if (failed) {
            ++of.failed;
            ++demand_.failed;
        }
        return static_cast<std::uint32_t>(demand_.objects.size() - 1);
    }
    void begin_at(std::uint64_t ns, std::uint32_t object) { demand_.steps.push_back({ns, object, 0, false}); }
    void end_now(std::uint64_t ns, std::uint32_t object) { demand_.steps.push_back({ns, object, 0, true}); }
    /// Where it belongs is found later.
    void end_at(std::uint64_t ns, std::uint32_t object) { late_.push_back({ns, object, 0, true}); }

    [[nodiscard]] std::uint64_t hold_of(std::uint32_t device) {
        const std::uint64_t hold = demand_.devices[device_index(device)].hold_ns;
        return hold != 0 ? hold : hold_of_all_ != 0 ? hold_of_all_ : kForever;
    }
    /// The end of what began at `ns` and is held for as long as its like.
    [[nodiscard]] std::uint64_t after_hold(std::uint64_t ns, std::uint32_t device) {
        const std::uint64_t hold = hold_of(device);
        return hold < kForever - ns ? ns + hold : kForever;
    }

    void take(const bounce_trace_record& record) {
        // What was written at the same time by two threads may be out of order by a little: the numbers are the order.
        last_ns_ = std::max(last_ns_, trace_.clock().ns_of(record.ticks));
        const std::uint64_t now = last_ns_;
        switch (record.kind) {
            case BOUNCE_TRACE_MAP: return placed(record, now, Want::kMapping);
            case BOUNCE_TRACE_COHERENT: return placed(record, now, Want::kCoherent);
            case BOUNCE_TRACE_BUFFER: return placed(record, now, Want::kBuffer);
            case BOUNCE_TRACE_UNMAP:
            case BOUNCE_TRACE_FREE: return ended(record, now);
            case BOUNCE_TRACE_FULL: return refused(key_of(record, Want::kMapping), now, after_hold(now, record.device));
            case BOUNCE_TRACE_NO_BLOCK:
                return refused(key_of(record, record.addr == BOUNCE_TRACE_COHERENT ? Want::kCoherent : Want::kBuffer),
                               now, kForever);
            case BOUNCE_TRACE_WAIT: ++demand_.waited; return refused(key_of(record, Want::kMapping), now, kForever);
            case BOUNCE_TRACE_GAVE_UP: {
                const auto found = pending_.find(key_of(record, Want::kMapping));
                if (found == pending_.end()) return;
                end_now(now, found->second.object);
                pending_.erase(found);
                return;
            }
            default: return;
        }
    }

    static RequestKey key_of(const bounce_trace_record& record, Want want) {
        return {record.bytes, record.device, want == Want::kMapping ? record.buffer : std::uint16_t{0}, want};
    }

    void placed(const bounce_trace_record& record, std::uint64_t now, Want want) {
        Place& place = at_.try_emplace(record.addr).first->second;
        if (place.object != kNobody) {  // its end was lost
            ++demand_.gaps;
            const std::uint64_t end = std::min(now, after_hold(place.begin_ns, record.device));
            if (end > place.begin_ns)
                end_at(end, place.object);
            else
                end_now(now, place.object);
        }
        place.begin_ns = now;
        if (const auto found = pending_.find(key_of(record, want)); found != pending_.end()) {
            const Pending pending = found->second;
            pending_.erase(found);
            if (now <= pending.until) {
                place.object = pending.object;
                demand_.objects[pending.object].align_bits = record.detail;
                return;
            }
            end_at(pending.until, pending.object);
        }
        place.object = add(record.bytes, record.device, want, record.detail, false);
        begin_at(now, place.object);
    }

    void ended(const bounce_trace_record& record, std::uint64_t now) {
        const auto [found, is_new] = at_.try_emplace(record.addr);
        if (found->second.object != kNobody) {
            end_now(now, found->second.object);
            found->second.object = kNobody;
        } else if (is_new) {  // it was there before
            const std::uint32_t object =
                add(record.bytes, record.device, record.kind == BOUNCE_TRACE_FREE ? Want::kBuffer : Want::kMapping, 0,
                    false);
            initial_.push_back(object);
            end_now(now, object);
        } else {  // its beginning was lost
            ++demand_.gaps;
        }
    }

    void refused(const RequestKey& key, std::uint64_t now, std::uint64_t until) {
        ++demand_.refused;
        if (const auto found = pending_.find(key); found != pending_.end()) {
            if (now <= found->second.until) {
                ++demand_.repeated;
                found->second.until = until;
                return;
            }
            end_at(found->second.until, found->second.object);
            pending_.erase(found);
        }
        const std::uint32_t object = add(key.bytes, key.device, key.want, 0, true);
        begin_at(now, object);
        pending_.emplace(key, Pending{object, until});
    }

    /// Of what was held when the recording began, that which no record is about.
    void add_held() {
        std::vector<std::uint64_t> touched;
        touched.reserve(at_.size());
        for (const auto& [addr, place] : at_) touched.push_back(addr);
        std::sort(touched.begin(), touched.end());
        for (const TraceHeld& held : trace_.held()) {
            const auto next = std::lower_bound(touched.begin(), touched.end(), held.addr);
            if (next != touched.end() && *next - held.addr < held.slot_bytes) continue;
            const Want want = held.kind == 1 ? Want::kMapping : held.kind == 2 ? Want::kCoherent : Want::kBuffer;
            initial_.push_back(add(held.bytes != 0 ? held.bytes : held.slot_bytes, held.device, want, 0, false));
        }
        demand_.initial = initial_.size();
    }

    void merge() {
        const auto earlier = [](const DemandStep& a, const DemandStep& b) { return a.ns < b.ns; };
        std::stable_sort(late_.begin(), late_.end(), earlier);
        std::vector<DemandStep> all;
        all.reserve(initial_.size() + demand_.steps.size() + late_.size());
        for (const std::uint32_t object : initial_) all.push_back({0, object, 0, false});
        // An end comes before what begins at the same time.
        auto late = late_.begin();
        for (const DemandStep& step : demand_.steps) {
            while (late != late_.end() && late->ns <= step.ns) all.push_back(*late++);
            all.push_back(step);
        }
        all.insert(all.end(), late, late_.end());
        demand_.steps = std::move(all);
    }

    void give_seats() {
        std::vector<std::uint32_t> seat_of(demand_.objects.size());
        std::vector<std::uint32_t> free;
        for (DemandStep& step : demand_.steps) {
            std::uint32_t& seat = seat_of[step.object];
            if (step.ends) {
                free.push_back(seat);
            } else if (free.empty()) {
                seat = demand_.seats++;
            } else {
                seat = free.back();
                free.pop_back();
            }
            step.seat = seat;
        }
    }

    Demand& demand_;
    const TraceReader& trace_;
    std::uint64_t hold_of_all_ = 0;
    std::uint64_t last_ns_ = 0;
    std::unordered_map<std::uint32_t, std::uint32_t> index_;
    // Of each address that a record is about: what is there.
    std::unordered_map<std::uint64_t, Place> at_;
    std::unordered_map<RequestKey, Pending, RequestKeyHash> pending_;
    std::vector<std::uint32_t> initial_;
    std::vector<DemandStep> late_;
};

}  // namespace

Demand::Demand(const TraceReader& trace) {
    DemandBuilder(*this, trace).build();
}

}  // namespace bounce::tools
