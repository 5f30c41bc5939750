// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "bounce/policy.h"

#include <cstdio>

#include "api/abi/handles.hpp"
#include "api/abi/options.hpp"
#include "api/dma/access_policy.hpp"
#include "api/dma/access_rules.hpp"

using namespace bounce;
using namespace bounce::abi;

namespace {

constexpr std::size_t kFirstPolicyOptions = sizeof(bounce_policy_options);

}  // namespace

int bounce_policy_decide(const bounce_policy_options* options, bounce_policy* policy) {
    if (policy == nullptr) return negative(null_argument("policy"));
    *policy = bounce_policy{};
    set_refused(*policy);
    bounce_policy_options ours{};
    if (const auto read = read_options(options, kFirstPolicyOptions, "options", ours); !read) {
        std::snprintf(policy->reason, sizeof policy->reason, "%s", last_error());
        return status(read);
    }
    return status(decide_access(ours, *policy));
}

const char* bounce_policy_decision_name(uint32_t decision) {
    return decision_name(decision);
}

const char* bounce_policy_level_name(uint32_t level) {
    return level_name(level);
}
