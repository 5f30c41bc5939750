// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Recorded demand: its file, what is made of it, and asking a pool for it.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tools/common/failure.hpp"
#include "tools/trace/sizing.hpp"

namespace bounce::tools {
namespace {

constexpr std::uint64_t kMs = 1'000'000;
constexpr std::uint64_t kBase = std::uint64_t{1} << 32;

class TraceFileTest : public testing::Test {
protected:
    TraceFileTest() {
        if (!file_) throw Failure("no memfd");
        path_ = text("/proc/self/fd/", file_.get());
    }

    static Json config(std::uint64_t bytes = 4u << 20, std::uint64_t limit = 0) {
        return Json{
            {"schema_version", 1},
            {"pool",
             {{"name", "tested"},
              {"bytes", bytes},
              {"limit_bytes", limit},
              {"low_watermark", 0},
              {"high_watermark", 0},
              {"shrink_delay_ms", 0},
              {"reserve_bytes", 0}}},
            {"regions", {{{"bytes", bytes}}}},
            {"devices",
             {{{"id", 7}, {"name", "net0"}, {"floor_bytes", 0}, {"ceiling_bytes", 0}, {"priority", 0}},
              {{"id", 8}, {"name", "blk0"}, {"floor_bytes", 0}, {"ceiling_bytes", 0}, {"priority", 0}}}},
            {"tunables", {{{"name", "pool.limit_bytes"}, {"value", limit}, {"most", limit}, {"live", limit != 0}}}}};
    }
    void add(bounce_trace_kind kind, std::uint64_t ms, std::uint64_t addr, std::uint64_t bytes,
             std::uint32_t device = 7, std::uint16_t buffer = 0, std::uint8_t detail = 0) {
        records_.push_back({.ticks = 1000 + ms * 2 * kMs,
                            .addr = addr,
                            .bytes = bytes,
                            .device = device,
                            .buffer = buffer,
                            .kind = static_cast<std::uint8_t>(kind),
                            .detail = detail});
    }
    /// Two ticks are a ns.
    void write(const Json& config, std::uint64_t lost = 0) {
        TraceWriter writer(path_);
        writer.add(records_);
        writer.finish({5, 1000, 5 + 500 * kMs, 1000 + 1000 * kMs}, lost, held_, config);
    }
    void write() { write(config()); }
    std::string bytes() {
        std::ifstream in(path_, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    /// What is said of these bytes; "" when nothing is.
    std::string refusal(const std::string& bytes) {
        std::ofstream(path_, std::ios::binary | std::ios::trunc)
            .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        try {
            const TraceReader reader(path_);
            reader.each([](const bounce_trace_record&) {});
            return {};
        } catch (const Failure& failure) {
            return failure.what();
        }
    }
    static std::string with_word(std::string bytes, std::size_t word, std::uint64_t value) {
        std::memcpy(bytes.data() + word * 8, &value, sizeof value);
        return bytes;
    }

    const Descriptor file_{::memfd_create("trace", MFD_CLOEXEC)};
    std::string path_;
    std::vector<bounce_trace_record> records_;
    std::vector<TraceHeld> held_;
};

TEST_F(TraceFileTest, ComesBackAsItWasWritten) {
    std::mt19937_64 random(1);
    for (std::uint64_t i = 0; i < 50'000; ++i)
        add(static_cast<bounce_trace_kind>(1 + i % 8), i, random(), 1 + random() % 100'000,
            static_cast<std::uint32_t>(i), static_cast<std::uint16_t>(random()), static_cast<std::uint8_t>(i % 20));
    held_.push_back({kBase, 4096, 3000, 7, 2});
    write(config(64u << 20, 128u << 20), 5);
    const TraceReader reader(path_);
    ASSERT_EQ(reader.records(), records_.size());
    EXPECT_EQ(reader.lost(), 5u);
    std::size_t i = 0;
    reader.each([&](const bounce_trace_record& record) {
        ASSERT_EQ(std::memcmp(&record, &records_[i], sizeof record), 0) << i;
        ++i;
    });
    EXPECT_EQ(i, records_.size());
    ASSERT_EQ(reader.held().size(), 1u);
    EXPECT_EQ(reader.held()[0].bytes, 3000u);
    EXPECT_EQ(reader.config().limit_bytes, 128u << 20);
    EXPECT_EQ(reader.config().device_name(7), "net0");
    EXPECT_EQ(reader.config().device_name(9), "device 9");
    EXPECT_EQ(reader.clock().ns_of(1000 + 10), 5u);
}

TEST_F(TraceFileTest, WhatIsCutOffOrForgedIsRefused) {
    for (std::uint64_t i = 0; i < 20; ++i) add(BOUNCE_TRACE_MAP, i, kBase + i * 4096, 1000);
    held_.push_back({kBase, 4096, 3000, 7, 2});
    write();
    const std::string good = bytes();
    ASSERT_EQ(refusal(good), "");
    EXPECT_NE(refusal("").find("it is empty"), std::string::npos);
    for (std::size_t n = 1; n < good.size(); n += n < 200 || n > 4000 ? 1 : 97)
        ASSERT_NE(refusal(good.substr(0, n)), "") << n;
    EXPECT_NE(refusal(with_word(good, 0, 0)).find("was not ended"), std::string::npos);
    EXPECT_NE(refusal(with_word(good, 0, 1)).find("something else"), std::string::npos);
    EXPECT_NE(refusal(with_word(good, 1, 2)).find("version 2"), std::string::npos);
    for (const std::size_t word : {4U, 5U, 6U, 7U, 9U, 10U}) {  // where things are, and how many
        for (const std::uint64_t value :
             {UINT64_MAX, UINT64_MAX / 32 + 1, std::uint64_t{1} << 62, std::uint64_t{1} << 40})
            ASSERT_NE(refusal(with_word(good, word, value)), "") << word << " " << value;
    }
    for (const std::size_t word : {3U, 8U}) ASSERT_NE(refusal(with_word(good, word, 0)), "") << word;
    // Of a record: kind 0, no bytes, more than there can be.
    EXPECT_NE(refusal(with_word(good, 512 + 3, 7)).find("record 0 has kind 0"), std::string::npos);
    EXPECT_NE(refusal(with_word(good, 512 + 2, 0)).find("0 bytes"), std::string::npos);
    EXPECT_NE(refusal(with_word(good, 512 + 2, UINT64_MAX)).find("bytes, expected"), std::string::npos);
    // Any byte of it: an error or not, and no more than that.
    std::mt19937 random(1);
    for (int i = 0; i < 2000; ++i) {
        std::string forged = good;
        for (int n = 0; n < 3; ++n)
            forged[random() % (random() % 2 != 0 ? 128 : good.size())] = static_cast<char>(random());
        static_cast<void>(refusal(forged));
    }
}

TEST_F(TraceFileTest, ConfigurationsAreChecked) {
    add(BOUNCE_TRACE_MAP, 0, kBase, 1000);
    const auto refuses = [this](const Json& json) {
        write(json);
        return refusal(bytes());
    };
    EXPECT_EQ(refuses(config()), "");
    for (const char* const part : {"schema_version", "pool", "regions", "devices", "tunables"}) {
        Json json = config();
        json.erase(part);
        EXPECT_NE(refuses(json).find(part), std::string::npos) << part;
        json[part] = "text";
        EXPECT_NE(refuses(json).find(part), std::string::npos) << part;
    }
    Json json = config();
    json["devices"][0]["floor_bytes"] = -1;
    EXPECT_NE(refuses(json).find("floor_bytes"), std::string::npos);
    json = config();
    json["devices"][0] = 5;
    EXPECT_NE(refuses(json), "");
    EXPECT_NE(refuses(Json::array()), "");
}

class DemandTest : public TraceFileTest {
protected:
    Demand demand() {
        write();
        return Demand(TraceReader(path_));
    }
    static std::string steps_of(const Demand& demand) {
        std::string all;
        for (const DemandStep& step : demand.steps)
            all += text(step.ends ? "-" : "+", step.object, "@", step.ns / kMs, " ");
        return all;
    }
};

TEST_F(DemandTest, WhatWasThereBeforeComesFirst) {
    held_ = {{kBase, 4096, 3000, 7, 1}, {kBase + 8192, 4096, 0, 0, 2}, {kBase + 65536, 65536, 0, 0, 1}};
    add(BOUNCE_TRACE_UNMAP, 10, kBase, 3000);               // held, and known by its end
    add(BOUNCE_TRACE_MAP, 20, kBase, 2000);                 // another one in its place
    add(BOUNCE_TRACE_UNMAP, 30, kBase + 65536 + 512, 100);  // begins behind the start of its slot
    const Demand made = demand();
    EXPECT_EQ(made.initial, 3u);
    EXPECT_EQ(steps_of(made), "+0@0 +2@0 +3@0 -0@10 +1@20 -2@30 ");
    EXPECT_EQ(made.objects[3].bytes, 4096u);  // what is not known counts as its slot
    EXPECT_EQ(made.objects[3].want, Want::kCoherent);
    EXPECT_EQ(made.seats, 3u);
}

TEST_F(DemandTest, WhatFailedHoldsForTheMedian) {
    for (std::uint64_t i = 0; i < 5; ++i) {
        add(BOUNCE_TRACE_MAP, i * 20, kBase, 1000);
        add(BOUNCE_TRACE_UNMAP, i * 20 + 10, kBase, 1000);
    }
    add(BOUNCE_TRACE_FULL, 200, 0, 5000, 7, 1, BOUNCE_TRACE_NO_SPACE);
    add(BOUNCE_TRACE_FULL, 204, 0, 5000, 7, 1, BOUNCE_TRACE_NO_SPACE);  // the same once more
    add(BOUNCE_TRACE_FULL, 205, 0, 5000, 7, 2, BOUNCE_TRACE_NO_SPACE);  // another one
    add(BOUNCE_TRACE_FULL, 206, 0, 6000, 8, 3, BOUNCE_TRACE_NO_SPACE);  // of a device that never got any
    add(BOUNCE_TRACE_MAP, 300, kBase, 1000);
    const Demand made = demand();
    EXPECT_EQ(made.refused, 4u);
    EXPECT_EQ(made.repeated, 1u);
    EXPECT_EQ(made.failed, 3u);
    const std::string steps = steps_of(made);
    EXPECT_NE(steps.find("+5@200 +6@205 +7@206 -5@214 -6@215 -7@216 +8@300 "), std::string::npos) << steps;
}

TEST_F(DemandTest, WhatIsMappedLateWasAskedForEarly) {
    add(BOUNCE_TRACE_MAP, 0, kBase, 5000);
    add(BOUNCE_TRACE_UNMAP, 50, kBase, 5000);
    add(BOUNCE_TRACE_FULL, 100, 0, 5000, 7, 9, BOUNCE_TRACE_NO_SPACE);
    add(BOUNCE_TRACE_MAP, 130, kBase, 5000, 7, 9);
    add(BOUNCE_TRACE_UNMAP, 190, kBase, 5000);
    // Too late to be the same.
    add(BOUNCE_TRACE_FULL, 200, 0, 5000, 7, 9, BOUNCE_TRACE_NO_SPACE);
    add(BOUNCE_TRACE_MAP, 400, kBase, 5000, 7, 9);
    // Who waits waits for as long as it takes.
    add(BOUNCE_TRACE_WAIT, 401, 0, 5000, 7, 8);
    add(BOUNCE_TRACE_MAP, 490, kBase + 8192, 5000, 7, 8);
    add(BOUNCE_TRACE_WAIT, 491, 0, 5000, 7, 7);
    add(BOUNCE_TRACE_GAVE_UP, 495, 0, 5000, 7, 7);
    const Demand made = demand();
    EXPECT_EQ(steps_of(made), "+0@0 -0@50 +1@100 -1@190 +2@200 -2@260 +3@400 +4@401 +5@491 -5@495 ");
    EXPECT_EQ(made.waited, 2u);
}

TEST_F(DemandTest, BlocksThatFailedStay) {
    add(BOUNCE_TRACE_NO_BLOCK, 10, BOUNCE_TRACE_COHERENT, 8192, 7, 0, BOUNCE_TRACE_NO_SPACE);
    add(BOUNCE_TRACE_NO_BLOCK, 20, BOUNCE_TRACE_BUFFER, 8192, 7, 0, BOUNCE_TRACE_NO_SPACE);
    add(BOUNCE_TRACE_COHERENT, 30, kBase, 8192);
    add(BOUNCE_TRACE_FREE, 40, kBase, 8192);
    const Demand made = demand();
    EXPECT_EQ(steps_of(made), "+0@10 +1@20 -0@40 ");
}

TEST_F(DemandTest, LostRecordsAreBorne) {
    add(BOUNCE_TRACE_MAP, 0, kBase, 1000);
    add(BOUNCE_TRACE_MAP, 10, kBase, 2000);  // the end of the first one is missing
    add(BOUNCE_TRACE_UNMAP, 20, kBase, 2000);
    add(BOUNCE_TRACE_UNMAP, 30, kBase, 3000);  // and a beginning
    const Demand made = demand();
    EXPECT_EQ(made.gaps, 2u);
    EXPECT_EQ(steps_of(made), "+0@0 -0@10 +1@10 -1@20 ");
}

class SizingTest : public DemandTest {
protected:
    /// Two devices, sizes from 64 B to 64 KiB, up to `most` bytes at once.
    void add_load(std::uint64_t most, unsigned seed) {
        std::mt19937_64 random(seed);
        struct Live {
            std::uint64_t addr;
            std::uint64_t bytes;
            std::uint32_t device;
        };
        std::vector<Live> live;
        std::uint64_t used = 0;
        std::uint64_t next = kBase;
        for (std::uint64_t ms = 0; ms < 490; ++ms) {
            for (int i = 0; i < 40; ++i) {
                const std::uint64_t bytes = std::uint64_t{64} << random() % 11;
                if (used + bytes <= most) {
                    const Live one{next, bytes, random() % 3 != 0 ? 7U : 8U};
                    add(BOUNCE_TRACE_MAP, ms, one.addr, bytes, one.device);
                    live.push_back(one);
                    used += bytes;
                    next += 65536;
                } else if (!live.empty()) {
                    std::swap(live[random() % live.size()], live.back());
                    add(BOUNCE_TRACE_UNMAP, ms, live.back().addr, live.back().bytes, live.back().device);
                    used -= live.back().bytes;
                    live.pop_back();
                }
            }
        }
    }
};

TEST_F(SizingTest, ReplayIsTheSameEachTime) {
    add_load(8u << 20, 1);
    const Demand made = demand();
    ReplayConfig small;
    small.size_bytes = 7u << 20;
    const ReplayResult first = replay(made, small);
    EXPECT_GT(first.failed, 0u);
    ASSERT_TRUE(first.first);
    EXPECT_EQ(first.first->code, ENOSPC);
    EXPECT_FALSE(first.first->why.empty());
    const ReplayResult again = replay(made, small);
    EXPECT_EQ(again.failed, first.failed);
    EXPECT_EQ(again.first->ns, first.first->ns);
    EXPECT_EQ(again.peak_bytes, first.peak_bytes);
    EXPECT_EQ(first.requests, made.objects.size());
    ReplayConfig large;
    large.size_bytes = 64u << 20;
    EXPECT_EQ(replay(made, large).failed, 0u);
    // One that grows by itself serves as much as its limit.
    ReplayConfig grows = small;
    grows.size_bytes = 1u << 20;
    grows.limit_bytes = 64u << 20;
    const ReplayResult grown = replay(made, grows);
    EXPECT_EQ(grown.failed, 0u);
    EXPECT_GT(grown.grows, 0u);
}

TEST_F(SizingTest, TheSmallestIsTheSmallest) {
    for (const std::uint64_t limit : {std::uint64_t{0}, std::uint64_t{4} << 20}) {
        records_.clear();
        add_load(5u << 20, 3);
        write(config(2u << 20, limit));
        const TraceReader reader(path_);
        const Demand made(reader);
        const ReplayConfig recorded = ReplayConfig::of(reader.config());
        EXPECT_GT(replay(made, recorded).failed, 0u);
        const Sizing sizing = size_for(made, recorded, reader.config().bytes, {});
        EXPECT_EQ(replay(made, recorded.with_limit(sizing.smallest_bytes)).failed, 0u);
        EXPECT_EQ(replay(made, recorded.with_limit(sizing.limit_bytes)).failed, 0u);
        EXPECT_GT(replay(made, recorded.with_limit(sizing.smallest_bytes - sizing.step_bytes)).failed, 0u);
        EXPECT_LE(sizing.step_bytes * 100, sizing.smallest_bytes);
        EXPECT_GE(sizing.limit_bytes, sizing.smallest_bytes);
        EXPECT_LE(static_cast<double>(sizing.limit_bytes), 1.1 * static_cast<double>(sizing.smallest_bytes));
        // A tenth less fails, and whatever is in between.
        EXPECT_GT(replay(made, recorded.with_limit(sizing.limit_bytes / 10 * 9 / 4096 * 4096)).failed, 0u);
        EXPECT_GE(sizing.smallest_bytes, sizing.peak_bytes);
        EXPECT_GT(sizing.steepest_bytes, 0u);
        EXPECT_LE(sizing.low_watermark, sizing.high_watermark);
        ASSERT_EQ(sizing.devices.size(), 2u);
        if (!sizing.quotas) continue;
        ReplayConfig with = recorded.with_limit(sizing.limit_bytes);
        for (const DeviceNeed& need : sizing.devices) {
            EXPECT_TRUE(need.ceiling_bytes == 0 || need.ceiling_bytes >= need.peak_bytes);
            with.quotas[need.id] = {0, need.ceiling_bytes, false};
        }
        EXPECT_EQ(replay(made, with).failed, 0u);
    }
}

TEST_F(SizingTest, AReserveComesOnTop) {
    add_load(3u << 20, 4);
    Json with = config(8u << 20);
    with["pool"]["reserve_bytes"] = 1u << 20;
    write(with);
    const TraceReader reader(path_);
    const Demand made(reader);
    const ReplayConfig recorded = ReplayConfig::of(reader.config());
    const Sizing sizing = size_for(made, recorded, reader.config().bytes, {});
    EXPECT_GE(sizing.smallest_bytes, sizing.peak_bytes + (1u << 20));
    EXPECT_EQ(replay(made, recorded.with_limit(sizing.limit_bytes)).failed, 0u);
}

TEST_F(SizingTest, NothingAskedIsNoSize) {
    write();
    const TraceReader reader(path_);
    EXPECT_THROW(size_for(Demand(reader), ReplayConfig::of(reader.config()), 1u << 20, {}), Failure);
}

}  // namespace
}  // namespace bounce::tools
