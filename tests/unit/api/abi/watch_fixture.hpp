// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A device that is watched, and what was reported of it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "bounce/debug.h"
#include "bounce/records.h"
#include "tests/unit/api/abi/abi_fixture.hpp"

// Where the program's code begins and ends, by the linker.
extern "C" const char __executable_start;
extern "C" const char etext;

namespace bounce {

struct Seen {
    int kind;
    std::string name, device, function, tag, text;
    bounce_debug_report report;
};

class WatchAbi : public testing::Test {
protected:
    WatchAbi() {
        const auto options = pool_options();
        EXPECT_EQ(bounce_pool_create(&options, &pool_), 0) << bounce_last_error();
        debug_.size = sizeof debug_;
        debug_.report = [](void* user, const bounce_debug_report* report) {
            static_cast<std::vector<Seen>*>(user)->push_back({report->kind, bounce_debug_kind_name(report->kind),
                                                              report->device, report->function, report->tag,
                                                              report->text, *report});
        };
        debug_.user = &seen_;
        device_ = create(BOUNCE_DEVICE_DEBUG | BOUNCE_DEVICE_RECORDS, "watched");
    }
    ~WatchAbi() override {
        EXPECT_EQ(bounce_device_destroy(device_), 0) << bounce_last_error();
        EXPECT_EQ(bounce_pool_destroy(pool_), 0) << bounce_last_error();
    }
    bounce_device* create(std::uint32_t flags, const char* name) {
        auto options = device_options();
        options.name = name;
        options.flags = flags;
        options.debug = (flags & BOUNCE_DEVICE_DEBUG) != 0 ? &debug_ : nullptr;
        bounce_device* device = nullptr;
        EXPECT_EQ(bounce_device_create(pool_, &options, &device), 0) << bounce_last_error();
        return device;
    }
    bounce_mapping map(void* buf, std::size_t bytes, int direction) {
        bounce_mapping mapping;
        EXPECT_EQ(bounce_device_map(device_, buf, bytes, direction, 0, &mapping), 0) << bounce_last_error();
        return mapping;
    }
    /// That there was one report, of this name; printed as a host would.
    Seen only(const char* name, const char* function) {
        EXPECT_EQ(seen_.size(), 1u) << name;
        if (seen_.empty()) return {};
        Seen one = seen_.back();
        for (const Seen& other : seen_) EXPECT_EQ(other.name, name) << other.text;
        EXPECT_EQ(one.function, function);
        EXPECT_EQ(one.device, "watched");
        EXPECT_TRUE(ours(one.report.site)) << name;
        EXPECT_NE(one.text.find(name), std::string::npos) << one.text;
        std::printf("%s\n", one.text.c_str());
        seen_.clear();
        return one;
    }
    /// Does the site lie in this program? (Where it is linked statically, there is nothing to ask dladdr().)
    static bool ours(const void* site) {
        const auto at = reinterpret_cast<std::uintptr_t>(site);
        return at >= reinterpret_cast<std::uintptr_t>(&__executable_start) &&
               at < reinterpret_cast<std::uintptr_t>(&etext);
    }

    bounce_debug_options debug_{};
    std::vector<Seen> seen_;
    bounce_pool* pool_ = nullptr;
    bounce_device* device_ = nullptr;
    char buf_[4096] = "private content";
};

}  // namespace bounce
