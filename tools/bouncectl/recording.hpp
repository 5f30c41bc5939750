// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Recording what is asked of a live pool into a file.
#pragma once

#include <string>

#include "tools/bouncectl/client.hpp"
#include "tools/common/json.hpp"

namespace bounce::ctl {

struct Recorded {
    std::uint64_t records = 0;
    std::uint64_t lost = 0;
    double seconds = 0;
    bool gone = false;  // the process went before the end
    tools::Json picture;
};

/// Until the time is over (0: for ever), a stop is asked for, or the process goes; the file is whole in each case.
/// Throws tools::Failure.
Recorded record_demand(Client& client, const std::string& path, double seconds);

}  // namespace bounce::ctl
