// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A pool, a fake back-end, and what they said.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>

#include "api/vhost/frontend.hpp"
#include "tests/unit/api/vhost/fake_backend.hpp"

namespace bounce::vhost {

inline constexpr std::uint64_t kTestGpa = std::uint64_t{3} << 40;

class FrontendTest : public ::testing::Test {
protected:
    FrontendTest() {
        RegionConfig first;
        first.bytes = 4U << 20;
        first.base_gpa = Gpa{kTestGpa};
        auto made = Pool::create(first);
        if (!made) throw std::runtime_error(last_error());
        pool_ = std::move(*made);
        path_ = folder_ / "s";
        config_.socket_path = path_.c_str();
        config_.timeout_ms = 20000;
    }
    Result<void> connect() {
        auto made = Frontend::connect(*pool_, callbacks_, config_);
        if (!made) return made.error();
        frontend_ = std::move(*made);
        return {};
    }
    Result<void> close() {
        auto closed = frontend_->close();
        if (closed.code() != EBUSY) frontend_.reset();
        return closed;
    }
    void add_region(std::uint64_t at) {
        RegionConfig more;
        more.bytes = 1U << 20;
        more.base_gpa = Gpa{kTestGpa + at};
        ASSERT_TRUE(pool_->add_region(more)) << last_error();
    }
    /// Nothing is held, and nobody has the pool.
    void expect_clean() {
        EXPECT_EQ(pool_->stats().used_bytes, 0U);
        EXPECT_EQ(pool_->users(), 0U);
        EXPECT_TRUE(pool_->lend()) << last_error();
        pool_->take_back();
    }

    const test::TempFolder folder_;
    std::string path_;
    std::unique_ptr<Pool> pool_;
    Callbacks callbacks_;
    FrontendConfig config_;
    test::FakeBackend backend_{folder_ / "s"};
    std::unique_ptr<Frontend> frontend_;
};

}  // namespace bounce::vhost
