// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/callbacks.hpp"

#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace bounce {
namespace {

std::atomic<std::uint64_t> g_now{1'000'000'000'000};

struct Sink {
    std::mutex mutex;
    std::vector<std::pair<int, std::string>> lines;
    std::vector<bounce_violation> violations;
    std::vector<std::string> texts;

    static void log(void* user, int level, const char* line) {
        auto& sink = *static_cast<Sink*>(user);
        const std::lock_guard lock(sink.mutex);
        sink.lines.emplace_back(level, line);
    }
    static void violation(void* user, const bounce_violation* violation) {
        auto& sink = *static_cast<Sink*>(user);
        const std::lock_guard lock(sink.mutex);
        sink.violations.push_back(*violation);
        sink.texts.emplace_back(violation->text);
    }
};

class CallbacksTest : public testing::Test {
protected:
    CallbacksTest() {
        callbacks_.set_clock([]() noexcept { return g_now.load(); });
    }
    Sink sink_;
    Callbacks callbacks_{Sink::log, &sink_, Sink::violation, &sink_};
};

TEST_F(CallbacksTest, PassesALineOn) {
    callbacks_.log(BOUNCE_LOG_INFO, "region %u of %s", 3u, "net");
    ASSERT_EQ(sink_.lines.size(), 1u);
    EXPECT_EQ(sink_.lines[0], std::pair(int{BOUNCE_LOG_INFO}, std::string("region 3 of net")));
}

TEST_F(CallbacksTest, SaysHowManyLinesWereLeftOut) {
    for (int i = 0; i < 20; ++i) callbacks_.log(BOUNCE_LOG_ERROR, "line");
    ASSERT_EQ(sink_.lines.size(), 16u);
    EXPECT_EQ(sink_.lines.back().second, "line");
    g_now += RateLimit::kIntervalNs;
    callbacks_.log(BOUNCE_LOG_ERROR, "later");
    ASSERT_EQ(sink_.lines.size(), 17u);
    EXPECT_EQ(sink_.lines.back().second, "later (4 left out before this)");
    g_now += RateLimit::kIntervalNs;
    callbacks_.log(BOUNCE_LOG_ERROR, "again");
    EXPECT_EQ(sink_.lines.back().second, "again");
}

TEST_F(CallbacksTest, AFloodOfNotesDoesNotSilenceErrors) {
    for (int i = 0; i < 100; ++i) callbacks_.log(BOUNCE_LOG_DEBUG, "note");
    callbacks_.log(BOUNCE_LOG_ERROR, "error");
    callbacks_.violation("blk0", BOUNCE_VIOLATION_REPLY, UINT32_MAX, 1, 2, "a reply");
    EXPECT_EQ(sink_.lines.back().second, "error");
    EXPECT_EQ(sink_.violations.size(), 1u);
}

TEST_F(CallbacksTest, ALineIsOneLineAndPrintable) {
    callbacks_.log(BOUNCE_LOG_INFO, "peer says %s", "a\nb\x1b[2Jc\x7f");
    EXPECT_EQ(sink_.lines.at(0).second, "peer says a?b?[2Jc?");
}

TEST_F(CallbacksTest, ALongLineIsCutButKeepsTheCount) {
    const std::string longer(2000, 'x');
    for (int i = 0; i < 17; ++i) callbacks_.log(BOUNCE_LOG_INFO, "%s", longer.c_str());
    g_now += RateLimit::kIntervalNs;
    callbacks_.log(BOUNCE_LOG_INFO, "%s", longer.c_str());
    EXPECT_EQ(sink_.lines.front().second, std::string(511, 'x'));
    EXPECT_EQ(sink_.lines.back().second.size(), 511u);
    EXPECT_TRUE(sink_.lines.back().second.ends_with("x (1 left out before this)"));
}

TEST_F(CallbacksTest, ReportsAViolationAsTheDeviceMadeIt) {
    callbacks_.violation("blk0", BOUNCE_VIOLATION_USED_ID, 2, 70000, 128, "used id out of range");
    ASSERT_EQ(sink_.violations.size(), 1u);
    const bounce_violation& report = sink_.violations[0];
    EXPECT_EQ(report.kind, BOUNCE_VIOLATION_USED_ID);
    EXPECT_EQ(report.ring, 2u);
    EXPECT_EQ(report.got, 70000u);
    EXPECT_EQ(report.expected, 128u);
    EXPECT_STREQ(report.device, "blk0");
    EXPECT_EQ(sink_.texts[0], "used id out of range");
}

TEST_F(CallbacksTest, CountsEveryViolationAndReportsWithinTheRate) {
    for (int i = 0; i < 1000; ++i) callbacks_.violation("d", BOUNCE_VIOLATION_USED_INDEX, 0, 1, 0, "index");
    EXPECT_EQ(callbacks_.violations(), 1000u);
    EXPECT_EQ(sink_.violations.size(), 16u);
    g_now += RateLimit::kIntervalNs;
    callbacks_.violation("d", BOUNCE_VIOLATION_USED_INDEX, 0, 1, 0, "index");
    EXPECT_EQ(sink_.texts.back(), "index (984 left out before this)");
}

TEST_F(CallbacksTest, NothingIsLostBetweenThreads) {
    constexpr int kThreads = 4;
    constexpr int kLines = 2000;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t)
        threads.emplace_back([this] {
            for (int i = 0; i < kLines; ++i) {
                if (i % 100 == 0) g_now += RateLimit::kIntervalNs;
                callbacks_.log(BOUNCE_LOG_INFO, "line");
            }
        });
    for (auto& thread : threads) thread.join();
    g_now += 10 * RateLimit::kIntervalNs;
    callbacks_.log(BOUNCE_LOG_INFO, "line");
    std::size_t total = 0;
    for (const auto& [level, line] : sink_.lines) {
        unsigned left_out = 0;
        if (line != "line") {
            ASSERT_EQ(std::sscanf(line.c_str(), "line (%u left out before this)", &left_out), 1) << line;
        }
        total += 1 + left_out;
    }
    EXPECT_EQ(total, std::size_t{kThreads} * kLines + 1);
}

TEST(Callbacks, WithoutReceiversOnlyCounts) {
    Callbacks callbacks;
    callbacks.log(BOUNCE_LOG_ERROR, "nobody hears this");
    callbacks.violation("d", BOUNCE_VIOLATION_CONFIG, UINT32_MAX, 0, 0, "nor this");
    EXPECT_EQ(callbacks.violations(), 1u);
}

TEST(Callbacks, TheRealClockAdmitsAFirstBurst) {
    Sink sink;
    Callbacks callbacks(Sink::log, &sink, nullptr, nullptr);
    for (int i = 0; i < 16; ++i) callbacks.log(BOUNCE_LOG_INFO, "line %d", i);
    EXPECT_EQ(sink.lines.size(), 16u);
}

}  // namespace
}  // namespace bounce
