// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-net/session.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include "bounce/platform.h"
#include "bounce/policy.h"
#include "tools/common/failure.hpp"
#include "tools/common/units.hpp"

namespace bounce::net {
namespace {

using tools::Failure;
using tools::flag_if;
using tools::stoppable;
using tools::text;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr std::uint32_t kNetworkDevice = 1;
/// How far from GPAs IOVAs are: an address that is passed on without a translation is wrong then.
constexpr std::uint64_t kIovaDistance = std::uint64_t{1} << 40;

/// Room for what can be posted in both queues of each pair, a quarter more for rounding, and the rings.
std::uint64_t default_pool_bytes(const Options& options) {
    const std::uint64_t posted =
        std::uint64_t{options.pairs} * options.queue_size * (options.rx_buffer + kMaxFrameBytes / 4 + 1024);
    return (posted + posted / 4 + 16 * kMiB) / (2 * kMiB) * (2 * kMiB);
}

/// The policy function's answer for a back-end that translates.
bounce_policy iova_policy() {
    bounce_policy_options ask{};
    ask.size = sizeof ask;
    ask.platform = BOUNCE_PLATFORM_PLAIN;
    ask.transport = BOUNCE_TRANSPORT_VHOST_USER;
    ask.features = BOUNCE_F_VERSION_1 | BOUNCE_F_ACCESS_PLATFORM;
    ask.flags = BOUNCE_POLICY_IOMMU;
    ask.bounce = BOUNCE_LEVEL_ALWAYS;
    bounce_policy answer{};
    check(bounce_policy_decide(&ask, &answer), "no policy for a device behind an IOTLB");
    if (answer.decision != BOUNCE_DECISION_BOUNCED_IOVA)
        throw Failure(text("the policy for a device behind an IOTLB is another one: ", answer.reason));
    return answer;
}

}  // namespace

SessionConfig SessionConfig::make(const Options& options) {
    SessionConfig config;
    config.socket = options.socket;
    config.pairs = options.pairs;
    config.queue_size = options.queue_size;
    config.base_gpa = options.base_gpa;
    config.hugepages = options.hugepages;
    config.iommu = options.iommu;
    config.quiet = options.quiet;
    config.timeout_seconds = options.timeout_seconds;
    config.calls = options.wait != Wait::kPoll;
    config.wanted_features = options.mergeable ? feature(kMrgRxbuf) : 0;
    if (options.checksum_offload) config.required_features |= feature(kCsum) | feature(kGuestCsum);
    if (options.packed) config.required_features |= feature(kRingPacked);
    if (options.in_order) config.required_features |= feature(kInOrder);
    if (options.pairs > 1) config.required_features |= feature(kMultiQueue);
    if (!options.mergeable) config.refused_features |= feature(kMrgRxbuf);
    if (!options.indirect) config.refused_features |= feature(kIndirectDesc);
    if (!options.event_idx) config.refused_features |= feature(kEventIdx);

    config.pool_bytes = options.pool_bytes.value_or(default_pool_bytes(options));
    tools::check_pool(config.pool_bytes, config.base_gpa,
                      options.pool_bytes ? "; choose a smaller --pool-size"
                                         : " (it is --queues times --queue-size that needs so much)");
    return config;
}

Session::Session(const SessionConfig& config) : config_(config), log_{"bounce-net", config.quiet} {
    tools::check_socket(config_.socket);
    create_pool();
    connect();
}

void Session::create_pool() {
    bounce_pool_options options{};
    options.size = sizeof options;
    options.name = "bounce-net";
    options.region.size = sizeof options.region;
    options.region.bytes = config_.pool_bytes;
    options.region.base_gpa = config_.base_gpa;
    options.region.flags =
        flag_if(config_.hugepages, BOUNCE_REGION_HUGEPAGES) | flag_if(config_.prefault, BOUNCE_REGION_PREFAULT);
    log_.attach(options);
    bounce_platform platform{};
    platform.size = sizeof platform;
    if (config_.iommu) {
        platform.encoding = BOUNCE_ENCODING_IOVA;
        platform.encoding_value = kIovaDistance;
    }
    bounce_pool* pool = nullptr;
    check(bounce_pool_create_on(&platform, &options, &pool), "cannot make the pool");
    pool_.reset(pool);
}

void Session::connect() {
    bounce_policy policy{};
    bounce_frontend_options options{};
    options.size = sizeof options;
    options.socket_path = config_.socket.c_str();
    options.name = "bounce-net";
    options.device_type = kNetworkDevice;
    options.wanted_features = config_.wanted_features;
    options.required_features = config_.required_features;
    options.refused_features = config_.refused_features;
    options.queues = 2 * config_.pairs;
    options.queue_size = config_.queue_size;
    options.timeout_ms = static_cast<std::uint32_t>(config_.timeout_seconds * 1000);
    options.flags = flag_if(config_.calls, BOUNCE_FRONTEND_CALLS) | flag_if(config_.hugepages, BOUNCE_FRONTEND_TRUSTED);
    if (config_.iommu) {
        policy = iova_policy();
        options.policy = &policy;
    }
    bounce_frontend* frontend = nullptr;
    try {
        check(stoppable(bounce_frontend_connect(pool_.get(), &options, &frontend)), "cannot connect");
        frontend_.reset(frontend);
        check(bounce_frontend_get_info(frontend_.get(), &info_), "cannot ask the connection");
    } catch (const DeviceLost& lost) {
        throw Failure(lost.what());  // nothing was begun: there is nothing to go on with
    }
}

std::optional<NetConfig> Session::read_config() const {
    std::array<std::byte, NetConfig::kBytes> bytes{};
    const int code = stoppable(bounce_frontend_read_config(frontend_.get(), 0, bytes.data(), bytes.size()));
    if (code == -ENOTSUP) return std::nullopt;
    check(code, "cannot read the device's configuration");
    return NetConfig::parse(bytes);
}

void Session::process() const {
    if (config_.iommu) check(bounce_frontend_process(frontend_.get()), "cannot answer the device");
}

void Session::check_alive() const {
    if (bounce_frontend_check(frontend_.get()) < 0) throw DeviceLost(bounce_last_error());
}

void Session::disconnect() {
    const int code = bounce_frontend_disconnect(frontend_.get());
    if (code < 0) throw Failure(text("cannot disconnect: ", bounce_last_error()));
}

bool Session::reconnect(std::string& why) {
    const int code = stoppable(bounce_frontend_reconnect(frontend_.get()));
    if (code < 0 && !tools::may_come_back(code)) throw Failure(text("cannot reconnect: ", bounce_last_error()));
    if (code < 0) why = bounce_last_error();
    return code >= 0;
}

std::string Session::violations() const {
    bounce_pool_stats stats{};
    if (bounce_pool_get_stats(pool_.get(), &stats) < 0 || stats.violations == 0) return {};
    return text(stats.violations, " protocol violations by the device");
}

}  // namespace bounce::net
