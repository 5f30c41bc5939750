// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What feature bits are called. Those of a device's type come from a table of its tool.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bounce/bounce.h"
#include "tools/common/json.hpp"
#include "tools/common/report.hpp"

namespace bounce::tools {

struct BitName {
    unsigned bit;
    const char* name;
};

/// "VIRTIO_F_VERSION_1", or a name of the device's table; "bit 60" for one without a name.
std::string feature_name(std::span<const BitName> device, unsigned bit);
/// The names of all bits that are set.
std::vector<std::string> feature_names(std::span<const BitName> device, std::uint64_t features);
std::vector<std::string> protocol_feature_names(std::uint64_t features);

/// Features and protocol features, for people and for programs.
void print_features(const Report& report, std::span<const BitName> device, const bounce_frontend_info& info);
Json connection_json(std::span<const BitName> device, const bounce_frontend_info& info);

}  // namespace bounce::tools
