// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a pool is like at one moment, as JSON: that is what all commands show, what -j prints, and what a snapshot
// keeps.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "tools/bouncectl/client.hpp"
#include "tools/bouncectl/target.hpp"
#include "tools/common/json.hpp"

namespace bounce::ctl {

inline constexpr int kPictureSchema = 1;

// The parts of a picture.
inline constexpr unsigned kStats = 1u << 0;     // process, pool, regions, nodes, classes, devices, rings, histograms
inline constexpr unsigned kTunables = 1u << 1;  // tunables
inline constexpr unsigned kHeld = 1u << 2;      // held
inline constexpr unsigned kChunks = 1u << 3;    // chunks
inline constexpr unsigned kEvents = 1u << 4;    // events
inline constexpr unsigned kCheck = 1u << 5;     // check
inline constexpr unsigned kAllParts = (1u << 6) - 1;

/// Of a value that another process says.
template <std::size_t N>
const char* name_of(const std::array<const char*, N>& names, std::uint64_t value) {
    return value < N ? names[value] : "unknown";
}

/// Asks for these parts. Throws as Client does.
tools::Json take_picture(Client& client, unsigned parts);

/// Of a live process or a snapshot, as the options say; the parts that a snapshot lacks are an error. Throws as Client
/// does.
tools::Json picture_of(const TargetOptions& options, unsigned parts);

tools::Json stats_json(int stats_fd);
tools::Json held_json(const bounce_control_held& held);
tools::Json tunable_json(const bounce_control_tunable& tunable);
tools::Json events_json(Client& client, std::uint64_t from);
tools::Json check_json(Client& client);

/// "auto" of "auto,memcpy", or the number.
std::string value_text(const tools::Json& tunable, std::uint64_t value);

}  // namespace bounce::ctl
