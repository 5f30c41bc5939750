// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-blk/session.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>

#include "tools/common/failure.hpp"
#include "tools/common/signals.hpp"
#include "tools/common/units.hpp"

namespace bounce::blk {
namespace {

using tools::Failure;
using tools::flag_if;
using tools::format_bytes;
using tools::stoppable;
using tools::text;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

/// A request without INDIRECT_DESC takes three descriptors. 1024 is what common back-ends have; only the bare loop
/// cannot do with less than it needs.
std::uint32_t default_queue_size(const Options& options, std::uint32_t queue_depth) {
    const std::uint32_t size = std::clamp(std::bit_ceil(4 * queue_depth), 128U, 1024U);
    return options.measures_bare() ? std::max(size, least_bare_queue_size(queue_depth)) : size;
}

/// Room for everything in flight, a quarter more for rounding, and the rings.
std::uint64_t default_pool_bytes(std::uint64_t in_flight_bytes, std::uint64_t requests) {
    const std::uint64_t needed = in_flight_bytes + in_flight_bytes / 4 + requests * 1024 + 4 * kMiB;
    return tools::round_up(std::max(64 * kMiB, needed), 2 * kMiB);
}

}  // namespace

void fail_add(const Session& session, int code, std::uint64_t bytes) {
    const std::string sentence = bounce_last_error();
    if (code == -ENOSPC || code == -E2BIG) {
        throw Failure(text("a request of ", format_bytes(bytes), " does not fit into the pool of ",
                           format_bytes(session.config().pool_bytes),
                           ": choose a larger --pool-size or a smaller --bs (", sentence, ")"));
    }
    check(code, "cannot add a request to the ring");
    throw Failure("cannot add a request to the ring");
}

SessionConfig SessionConfig::make(const Options& options, std::uint64_t request_bytes, std::uint32_t queue_depth) {
    SessionConfig config;
    config.socket = options.socket;
    config.queues = options.queues;
    config.queue_size = options.queue_size.value_or(default_queue_size(options, queue_depth));
    config.base_gpa = options.base_gpa;
    config.hugepages = options.hugepages;
    config.quiet = options.quiet;
    config.timeout_seconds = options.timeout_seconds;
    config.calls = options.wait != Wait::kPoll;
    config.control = options.control;

    const std::uint64_t requests = std::uint64_t{options.queues} * queue_depth;  // at most 256 * 4096
    const std::uint64_t in_flight = requests * request_bytes;                    // at most 2^50
    config.pool_bytes = options.pool_bytes.value_or(default_pool_bytes(in_flight, requests));
    tools::check_pool(config.pool_bytes, config.base_gpa,
                      text(options.pool_bytes ? "" : " (it is --qd times --bs times --queues that needs so much)",
                           "; choose a smaller ", options.pool_bytes ? "--pool-size" : "--qd or --bs"));
    return config;
}

Session::Session(const SessionConfig& config) : config_(config), log_{"bounce-blk", config.quiet} {
    tools::check_socket(config_.socket);
    create_pool();
    connect();
}

void Session::create_pool() {
    bounce_pool_options options{};
    options.size = sizeof options;
    options.name = "bounce-blk";
    options.region.size = sizeof options.region;
    options.region.bytes = config_.pool_bytes;
    options.region.base_gpa = config_.base_gpa;
    options.region.flags =
        flag_if(config_.hugepages, BOUNCE_REGION_HUGEPAGES) | flag_if(config_.prefault, BOUNCE_REGION_PREFAULT);
    log_.attach(options);
    bounce_pool* pool = nullptr;
    check(bounce_pool_create(&options, &pool), "cannot make the pool");
    pool_.reset(pool);
    control_ = std::make_unique<ControlThread>(pool, config_.control);
}

void Session::connect() {
    bounce_frontend_options options{};
    options.size = sizeof options;
    options.socket_path = config_.socket.c_str();
    options.name = "bounce-blk";
    options.wanted_features = kWantedFeatures & ~config_.refused_features;
    options.refused_features = config_.refused_features;
    options.queues = config_.queues;
    options.queue_size = config_.queue_size;
    options.timeout_ms = static_cast<std::uint32_t>(config_.timeout_seconds * 1000);
    options.flags = flag_if(config_.calls, BOUNCE_FRONTEND_CALLS) | flag_if(config_.hugepages, BOUNCE_FRONTEND_TRUSTED);
    bounce_frontend* frontend = nullptr;
    try {
        check(stoppable(bounce_frontend_connect(pool_.get(), &options, &frontend)), "cannot connect");
        frontend_.reset(frontend);
        read_config();
    } catch (const DeviceLost& lost) {
        throw Failure(lost.what());  // nothing was begun: there is nothing to go on with
    }
}

void Session::read_config() {
    check(bounce_frontend_get_info(frontend_.get(), &info_), "cannot ask the connection");
    std::array<std::byte, DeviceConfig::kBytes> bytes{};
    check(stoppable(bounce_frontend_read_config(frontend_.get(), 0, bytes.data(), bytes.size())),
          "cannot read the device's configuration");
    device_config_ = DeviceConfig::parse(bytes);
    // Read-only is not up to the one who negotiates, and a successor's word on it is not among what was negotiated
    // once.
    limits_ = Limits::check(device_config_, info_.features | (info_.offered_features & feature(kReadOnly)));
}

void Session::check_alive() const {
    if (bounce_frontend_check(frontend_.get()) < 0) throw DeviceLost(bounce_last_error());
}

void Session::disconnect() {
    const int code = bounce_frontend_disconnect(frontend_.get());
    if (code < 0) throw Failure(text("cannot disconnect: ", bounce_last_error()));
}

bool Session::reconnect(std::string& why) {
    const Limits before = limits_;
    const int code = stoppable(bounce_frontend_reconnect(frontend_.get()));
    if (code < 0 && !tools::may_come_back(code)) throw Failure(text("cannot reconnect: ", bounce_last_error()));
    if (code < 0) {
        why = bounce_last_error();
        return false;
    }
    try {
        read_config();
    } catch (const DeviceLost& lost) {
        why = lost.what();
        disconnect();
        return false;
    }
    if (limits_.capacity_bytes < before.capacity_bytes || limits_.block_bytes != before.block_bytes ||
        limits_.read_only != before.read_only) {
        throw Failure(text("the device that came back is another one: ", format_bytes(limits_.capacity_bytes),
                           limits_.read_only ? " read-only" : "", " in blocks of ", limits_.block_bytes, "; it was ",
                           format_bytes(before.capacity_bytes), " in blocks of ", before.block_bytes));
    }
    return true;
}

std::string Session::violations() const {
    bounce_pool_stats stats{};
    if (bounce_pool_get_stats(pool_.get(), &stats) < 0 || stats.violations == 0) return {};
    return text(stats.violations, " protocol violations by the device");
}

}  // namespace bounce::blk
