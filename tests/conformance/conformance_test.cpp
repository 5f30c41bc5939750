// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Every check on every platform.
#include <gtest/gtest.h>

#include <tuple>

#include "tests/conformance/runner.hpp"

namespace bounce::conformance {
namespace {

class Conformance : public testing::TestWithParam<std::tuple<Case, Runner::NamedCheck>> {};

TEST_P(Conformance, Check) {
    const auto& [rule, check] = GetParam();
    for (const std::string& finding : Runner(rule).run(check)) ADD_FAILURE() << finding;
}

INSTANTIATE_TEST_SUITE_P(All, Conformance,
                         testing::Combine(testing::ValuesIn(kCases),
                                          testing::ValuesIn(Runner::checks().begin(), Runner::checks().end())),
                         [](const auto& of) {
                             return std::string(std::get<0>(of.param).name) + "_" + std::get<1>(of.param).name;
                         });

}  // namespace
}  // namespace bounce::conformance
