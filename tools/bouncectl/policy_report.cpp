// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bouncectl/policy_report.hpp"

#include "tools/common/failure.hpp"

namespace bounce::ctl {

bounce_policy ask_policy(const bounce_policy_options& options) {
    bounce_policy policy;
    if (bounce_policy_decide(&options, &policy) < 0) throw tools::Failure(bounce_last_error());
    return policy;
}

tools::Json policy_json(const bounce_policy& policy) {
    return {{"decision", bounce_policy_decision_name(policy.decision)},
            {"reason", policy.reason},
            {"rings", policy.rings_text},
            {"address", policy.address_text},
            {"bounce", bounce_policy_level_name(policy.bounce)}};
}

std::string policy_text(const bounce_policy& policy) {
    return tools::text("decision: ", bounce_policy_decision_name(policy.decision), "\nreason:   ", policy.reason,
                       "\nrings:    ", policy.rings_text, "\naddress:  ", policy.address_text,
                       "\nbounce:   ", bounce_policy_level_name(policy.bounce), "\n");
}

std::string json_text(const tools::Json& json, bool pretty) {
    return json.dump(pretty ? 2 : -1) + "\n";
}

}  // namespace bounce::ctl
