// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The state machine on made-up machines: what a mapping costs under each choice is said, and no clock is read.
#include "api/dma/calibration.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace bounce {
namespace {

constexpr Choice kLifo{ReusePolicy::kLifo, CopyPolicy::kMemcpy, 0};
constexpr Choice kWindow{ReusePolicy::kWindow, CopyPolicy::kMemcpy, 2u << 20};
constexpr Choice kFifo{ReusePolicy::kFifo, CopyPolicy::kMemcpy, 64u << 20};
constexpr Choice kStream{ReusePolicy::kWindow, CopyPolicy::kNonTemporal, 2u << 20};
constexpr Choice kWideStream{ReusePolicy::kFifo, CopyPolicy::kNonTemporal, 64u << 20};
constexpr Choice kAll[] = {kLifo, kWindow, kFifo, kStream, kWideStream};

/// Ticks of a mapping of 4 KiB: in the driver, and on the slower side of the two.
struct Cost {
    std::uint64_t driver;
    std::uint64_t slower;
};
using Machine = std::function<Cost(const Choice&)>;

enum class Way { kIn, kBack, kBoth };

/// A driver that maps and unmaps as fast as the machine goes, `depth` mappings at once.
class Driver {
public:
    Driver(std::span<const Choice> arms, Machine machine, Way way = Way::kIn, std::size_t depth = 32)
        : calibration(arms), machine_(std::move(machine)), way_(way), depth_(depth) {}

    void step() {
        if (live_.size() == depth_) end_oldest();
        const bool in = way_ == Way::kIn || (way_ == Way::kBoth && turn_ % 2 == 0);
        const Cost cost = machine_(calibration.choice());
        clocks += calibration.wants_clock() ? 1U : 0U;
        const std::uint64_t begin = now_;
        now_ += cost.slower;
        live_.push_back({++turn_, !in});
        calibration.mapped({live_.back().id, kBytes, begin, now_, in ? cost.driver : 10, in});
    }
    /// Mappings of a trial, with the pause before it.
    std::uint64_t trial() {
        wait_for_trial();
        const std::uint64_t before = turn_;
        while (calibration.trying() && turn_ - before <= Calibration::kMostOfTrial) step();
        return turn_ - before;
    }
    /// Mappings until a trial begins: those of the pauses are only counted.
    std::uint64_t wait_for_trial() {
        std::uint64_t mappings = 0;
        while (!calibration.trying()) {
            mappings += calibration.pause();
            calibration.begin();
            for (; calibration.timing() && !calibration.trying(); ++mappings) step();
        }
        return mappings;
    }

    static constexpr std::uint64_t kBytes = 4096;
    Calibration calibration;
    Machine machine_;
    std::uint64_t clocks = 0;  // maps that wanted one

private:
    struct Live {
        std::uint64_t id;
        bool copies_back;
    };
    void end_oldest() {
        const Live live = live_.front();
        live_.pop_front();
        const std::uint64_t copy = live.copies_back ? machine_(calibration.choice()).driver : 10;
        calibration.unmapped({live.id, kBytes, now_, now_ + 1, copy, live.copies_back});
    }

    Way way_;
    std::size_t depth_;
    std::deque<Live> live_;
    std::uint64_t now_ = 1000;
    std::uint64_t turn_ = 0;
};

bool streams(const Choice& choice) {
    return choice.copy == CopyPolicy::kNonTemporal;
}
bool is_wide(const Choice& choice) {
    return choice.reuse == ReusePolicy::kFifo;
}

// In the proportions that were measured: 4 KiB, a device that reads or writes all of it on another core.
Cost same_core(const Choice& choice) {
    const std::uint64_t ticks = streams(choice) ? 260 : is_wide(choice) ? 240 : choice == kLifo ? 120 : 140;
    return {ticks, ticks + 60};
}
Cost near_core(const Choice& choice) {
    if (streams(choice)) return {280, 310};
    return choice == kLifo ? Cost{380, 510} : choice == kWindow ? Cost{150, 210} : Cost{300, 480};
}
Cost far_core(const Choice& choice) {
    if (streams(choice)) return {280, 330};
    return choice == kLifo ? Cost{1450, 2000} : choice == kWindow ? Cost{1380, 1900} : Cost{1000, 1300};
}
Cost far_core_writes(const Choice& choice) {
    return is_wide(choice) ? Cost{260, 400} : choice == kLifo ? Cost{340, 1930} : Cost{335, 1400};
}

Choice settled(const Machine& machine, Way way = Way::kIn, std::size_t depth = 32) {
    Driver driver(kAll, machine, way, depth);
    EXPECT_LE(driver.trial(), Calibration::kMostOfTrial);
    EXPECT_FALSE(driver.calibration.trying());
    return driver.calibration.choice();
}

TEST(Calibration, TheFirstArmIsInForceUntilATrial) {
    Driver driver(kAll, far_core);
    for (int i = 0; i < 1000; ++i) driver.step();
    EXPECT_EQ(driver.calibration.choice(), kLifo);
    EXPECT_FALSE(driver.calibration.trying());
    EXPECT_EQ(driver.calibration.pause(), Calibration::kFirstTrial);
}

TEST(Calibration, FindsWhatSuitsEachMachine) {
    EXPECT_EQ(settled(same_core), kLifo);
    EXPECT_EQ(settled(near_core), kWindow);
    EXPECT_EQ(settled(far_core), kStream);
    EXPECT_EQ(settled(far_core_writes, Way::kBack), kFifo);
    EXPECT_EQ(settled(
                  [](const Choice& choice) {
                      return is_wide(choice) ? Cost{270, 400} : Cost{far_core(choice).driver, 1400};
                  },
                  Way::kBoth)
                  .reuse,
              ReusePolicy::kFifo);
}

TEST(Calibration, DepthDoesNotMatter) {
    for (const std::size_t depth : {1u, 2u, 7u, 256u, 400u}) {
        EXPECT_EQ(settled(same_core, Way::kIn, depth), kLifo) << depth;
        EXPECT_EQ(settled(near_core, Way::kIn, depth), kWindow) << depth;
        EXPECT_EQ(settled(far_core, Way::kIn, depth), kStream) << depth;
    }
}

TEST(Calibration, ASlowDeviceLeavesTheChoiceToTheDriversOwnCost) {
    // A disk: the spans are all the same, and noisy.
    std::uint64_t noise = 1;
    const Machine disk = [&](const Choice& choice) {
        noise = noise * 6364136223846793005u + 1442695040888963407u;
        return Cost{far_core(choice).driver, 100'000 + (noise >> 33) % 20'000};
    };
    EXPECT_TRUE(streams(settled(disk)));
}

TEST(Calibration, NothingChangesForALittle) {
    const Choice two[] = {kLifo, kWindow};
    for (const std::uint64_t other : {195u, 200u, 205u}) {
        Driver driver(two, [=](const Choice& choice) { return Cost{choice == kLifo ? 200 : other, 300}; });
        for (int i = 0; i < 5; ++i) driver.trial();
        EXPECT_EQ(driver.calibration.choice(), kLifo) << other;
    }
}

TEST(Calibration, APreemptionInARoundDecidesNothing) {
    // Every 400th mapping is interrupted for a long time, whatever the arm.
    std::uint64_t count = 0;
    const Machine machine = [&](const Choice& choice) {
        Cost cost = near_core(choice);
        if (++count % 400 == 0) cost.slower += 100'000;
        return cost;
    };
    const Choice two[] = {kLifo, kWindow};
    Driver driver(two, machine);
    for (int i = 0; i < 4; ++i) driver.trial();
    EXPECT_EQ(driver.calibration.choice(), kWindow);
}

TEST(Calibration, FollowsAMachineThatChanges) {
    Driver driver(kAll, near_core);
    driver.trial();
    EXPECT_EQ(driver.calibration.choice(), kWindow);
    driver.machine_ = far_core;
    driver.trial();
    EXPECT_EQ(driver.calibration.choice(), kStream);
    driver.machine_ = same_core;
    driver.trial();
    EXPECT_EQ(driver.calibration.choice(), kLifo);
}

TEST(Calibration, TrialsAreASmallPartAndRarerWhileNothingChanges) {
    Driver driver(kAll, far_core);
    std::uint64_t before = 0;
    for (int i = 0; i < 6; ++i) {
        const std::uint64_t trial = driver.trial();
        const std::uint64_t pause = driver.calibration.until_trial();
        EXPECT_GE(pause, Calibration::kLeastPause);
        EXPECT_GE(pause, Calibration::kLeastPart * trial);
        if (i > 1) {
            EXPECT_GE(pause, before / 2);  // trials differ in length
        }
        EXPECT_LE(pause, std::max(Calibration::kMostPart * trial, Calibration::kLeastPause));
        before = pause;
    }
}

TEST(Calibration, ProbesAreFewAndShort) {
    Driver driver(kAll, near_core);
    driver.trial();
    std::uint64_t probed = 0;
    std::uint64_t all = 0;
    for (int i = 0; i < 8; ++i) {
        EXPECT_EQ(driver.calibration.pause(), Calibration::kProbePause);
        all += driver.calibration.pause();
        driver.calibration.begin();
        ASSERT_FALSE(driver.calibration.trying());
        for (; driver.calibration.timing(); ++probed) driver.step();
    }
    EXPECT_LT(probed, all / 500);
    EXPECT_EQ(driver.calibration.choice(), kWindow);
}

TEST(Calibration, AChangeIsNoticedByProbes) {
    Driver driver(kAll, near_core);
    const std::uint64_t trial = driver.trial();
    // Some time later: else the trial that was made just now has to be paid off first.
    for (std::uint64_t waited = 0; waited < Calibration::kSoonPart * trial; waited += Calibration::kProbePause) {
        driver.calibration.begin();
        while (driver.calibration.timing()) driver.step();
    }
    driver.machine_ = far_core;
    EXPECT_LE(driver.wait_for_trial(),
              Calibration::kProbePause + Calibration::kProbeAgain + 4 * ArmVisit::kMostMappings);
    driver.trial();
    EXPECT_TRUE(streams(driver.calibration.choice()));
    // What the choice in force does not feel is found by the next trial.
    driver.machine_ = near_core;
    const std::uint64_t pause = driver.calibration.until_trial();
    EXPECT_LE(driver.wait_for_trial(), 2 * pause);
    driver.trial();
    EXPECT_EQ(driver.calibration.choice(), kWindow);
}

TEST(Calibration, OneOddProbeIsNoChange) {
    Driver driver(kAll, near_core);
    driver.trial();
    for (int i = 0; i < 10; ++i) {
        driver.machine_ = i % 2 == 0 ? far_core : near_core;  // a preemption
        driver.calibration.begin();
        ASSERT_FALSE(driver.calibration.trying()) << i;
        while (driver.calibration.timing()) driver.step();
        EXPECT_EQ(driver.calibration.pause(), i % 2 == 0 ? Calibration::kProbeAgain : Calibration::kProbePause);
    }
}

TEST(Calibration, TrialsThatProbesAskForInVainBecomeRarer) {
    // Whatever the choice, the device is fast in one moment and slow in the next.
    std::uint64_t count = 0;
    Driver driver(kAll, [&](const Choice& choice) {
        Cost cost = near_core(choice);
        cost.slower *= ++count / 20'000 % 2 == 0 ? 1U : 3U;
        return cost;
    });
    driver.trial();
    std::uint64_t trials = 0;
    std::uint64_t pauses = 0;
    for (int i = 0; i < 30; ++i) {
        pauses += driver.wait_for_trial();
        trials += driver.trial();
    }
    EXPECT_LT(trials, pauses / 20);
}

TEST(Calibration, TheClockIsReadForASmallPartOfATrial) {
    Driver driver(kAll, near_core);
    const std::uint64_t trial = driver.trial();
    EXPECT_GT(driver.clocks, 0u);
    EXPECT_LT(driver.clocks, trial / 20);
}

/// Slots cost as much as `cold` says until a window was gone through without another choice in between.
Machine with_memory(Machine cold, Machine warm) {
    auto last = std::make_shared<Choice>();
    auto bytes = std::make_shared<std::uint64_t>(0);
    return [=](const Choice& choice) {
        if (!(choice == *last)) *bytes = 0;
        *last = choice;
        *bytes += Driver::kBytes;
        return *bytes > choice.window_bytes ? warm(choice) : cold(choice);
    };
}

TEST(Calibration, AWindowIsMeasuredWhenItHasBeenGoneThrough) {
    const Machine as_lifo = [](const Choice& choice) { return streams(choice) ? Cost{280, 310} : near_core(kLifo); };
    EXPECT_EQ(settled(with_memory(as_lifo, near_core)), kWindow);
    const Machine dirty = [](const Choice&) { return far_core_writes(kLifo); };
    EXPECT_EQ(settled(with_memory(dirty, far_core_writes), Way::kBack), kFifo);
    // And the other way around: what looks good at first does not mislead.
    const Machine tempting = [](const Choice& choice) { return choice == kLifo ? Cost{120, 180} : Cost{50, 60}; };
    EXPECT_EQ(settled(with_memory(tempting, same_core)), kLifo);
}

TEST(Calibration, AWideWindowIsGoneThroughOnceInATrial) {
    int entered = 0;
    bool inside = false;
    settled(
        [&](const Choice& choice) {
            if (is_wide(choice) && !inside) ++entered;
            inside = is_wide(choice);
            return far_core_writes(choice);
        },
        Way::kBack);
    EXPECT_EQ(entered, 1);
}

TEST(Calibration, ABadArmIsNotVisitedToTheEnd) {
    const Choice two[] = {kLifo, kStream};
    Driver clear(two, far_core);
    Driver close(two, [](const Choice& choice) { return Cost{200, streams(choice) ? 300u : 310u}; });
    EXPECT_LT(clear.trial(), close.trial());
}

TEST(Calibration, StreamingIsNotTriedWhereNothingIsCopiedIn) {
    bool streamed = false;
    settled(
        [&](const Choice& choice) {
            streamed = streamed || streams(choice);
            return far_core_writes(choice);
        },
        Way::kBack);
    EXPECT_FALSE(streamed);
}

TEST(Calibration, AWideWindowIsNotTriedWhereStreamingDoesTheSame) {
    bool tried = false;
    settled([&](const Choice& choice) {
        tried = tried || is_wide(choice);
        return far_core(choice);
    });
    EXPECT_FALSE(tried);
}

TEST(Calibration, AWideWindowIsNotTriedWhereTheDeviceKeepsUp) {
    bool tried = false;
    settled([&](const Choice& choice) {
        tried = tried || is_wide(choice);
        return same_core(choice);
    });
    EXPECT_FALSE(tried);
}

TEST(Calibration, AnArmWithoutAnAlternativeIsNeverTried) {
    Calibration one(std::span(kAll, 1));
    one.begin();
    EXPECT_FALSE(one.trying());
    EXPECT_EQ(one.choice(), kLifo);
    Calibration none;
    none.begin();
    EXPECT_FALSE(none.trying());
    EXPECT_EQ(none.choice(), Choice{});
}

TEST(Calibration, MappingsThatNeverEndDoNotHoldItUp) {
    Calibration calibration(kAll);
    calibration.begin();
    std::uint64_t made = 1;
    // The driver's own cost is all there is, and it is enough.
    for (; calibration.trying() && made <= Calibration::kMostOfTrial; ++made) {
        const std::uint64_t ticks = near_core(calibration.choice()).driver;
        calibration.mapped({made, 4096, made * 1000, made * 1000 + ticks, ticks, true});
    }
    EXPECT_FALSE(calibration.trying());
    EXPECT_EQ(calibration.choice(), kWindow);
}

TEST(Calibration, ClocksThatDisagreeAndEventsThatGetLostDoNoHarm) {
    Calibration calibration(kAll);
    calibration.begin();
    std::uint64_t made = 1;
    for (; calibration.trying() && made <= Calibration::kMostOfTrial; ++made) {
        calibration.mapped({made, 4096, 1'000'000 - made, 0, 0, made % 3 != 0});
        if (made % 5 != 0) calibration.unmapped({made, 4096, 0, made % 7, 0, false});
    }
    EXPECT_FALSE(calibration.trying());
}

TEST(Calibration, LargeAndSmallMappings) {
    for (const std::uint64_t bytes :
         {std::uint64_t{1}, std::uint64_t{64}, std::uint64_t{1} << 20, std::uint64_t{1} << 30}) {
        Calibration calibration(kAll);
        calibration.begin();
        std::uint64_t now = 1;
        std::uint64_t made = 0;
        for (; calibration.trying() && made <= Calibration::kMostOfTrial; ++made) {
            const std::uint64_t begin = now;
            now += 1 + bytes / (streams(calibration.choice()) ? 2 : 1);
            calibration.mapped({made, bytes, begin, now, now - begin, true});
            calibration.unmapped({made, bytes, now, now + 1, 0, false});
        }
        EXPECT_FALSE(calibration.trying()) << bytes;
    }
}

}  // namespace
}  // namespace bounce
