// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The names that the command line has for what bounce/policy.h and bounce/platform.h have values for. Each parse_
// function throws tools::UsageError with the names that there are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace bounce::ctl {

std::uint32_t parse_platform(const std::string& input);
std::uint32_t parse_transport(const std::string& input);
/// "version_1,access_platform", in either case, with VIRTIO_F_ or without; a number is that bit. Empty: none.
std::uint64_t parse_features(const std::string& input);
std::uint32_t parse_without(const std::string& input);
std::uint32_t parse_level(const std::string& input);
/// A set: "gpa,iova".
std::uint32_t parse_addresses(const std::string& input);

const char* platform_name(std::uint32_t platform);
const char* transport_name(std::uint32_t transport);
/// In the order of their bits; one without a name is its number.
std::vector<std::string> feature_names(std::uint64_t features);

}  // namespace bounce::ctl
