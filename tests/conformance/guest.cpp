// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tests/conformance/guest.hpp"

#include <utility>

namespace bounce::conformance {

void must(int status, const char* what) {
    if (status < 0) throw GiveUp{std::string(what) + ": " + bounce_last_error()};
}

GuestPool::GuestPool(GuestPool&& other) noexcept
    : pool(std::exchange(other.pool, nullptr)), device(std::exchange(other.device, nullptr)), rule(other.rule) {}

GuestPool::~GuestPool() {
    (void)close();
}

int GuestPool::close() noexcept {
    if (const int status = bounce_device_destroy(std::exchange(device, nullptr)); status != 0) return status;
    return bounce_pool_destroy(std::exchange(pool, nullptr));
}

Guest::Guest(const Case& rule, const std::vector<bounce_audience>& who) : rule_(rule) {
    // The processes first: what comes later is not in them.
    for (std::size_t i = 0; i < who.size(); ++i) devices_.push_back(std::make_unique<DeviceProcess>());
    bounce_emulator_options options{};
    options.size = sizeof options;
    options.model = rule.model;
    options.granule = rule.granule;
    options.violation = on_violation;
    options.violation_user = this;
    must(bounce_emulator_create(&options, &emulator_), "emulator");
    for (std::size_t i = 0; i < who.size(); ++i)
        must(bounce_emulator_attach(emulator_, devices_[i]->port(), &who[i]), "port");
    server_ = std::thread([this] {
        while (!stop_.load(std::memory_order_relaxed) && bounce_emulator_serve(emulator_, 10) >= 0) {
        }
    });
}

Guest::~Guest() {
    stop_.store(true, std::memory_order_relaxed);
    server_.join();
    devices_.clear();
    (void)bounce_emulator_destroy(emulator_);
}

void Guest::on_violation(void* user, const bounce_violation* violation) {
    auto& guest = *static_cast<Guest*>(user);
    const std::lock_guard guard(guest.lock_);
    if (violation->kind == BOUNCE_VIOLATION_ACCESS) guest.faults_.push_back(violation->got);
}

bounce_emulator_stats Guest::stats() const {
    bounce_emulator_stats stats{};
    must(bounce_emulator_get_stats(emulator_, &stats), "stats");
    return stats;
}

std::vector<std::uint64_t> Guest::faults() const {
    const std::lock_guard guard(lock_);
    return faults_;
}

bounce_platform Guest::platform(const bounce_audience& audience) const {
    bounce_platform platform{};
    must(bounce_emulator_platform(emulator_, &audience, &platform), "platform");
    return platform;
}

bounce_region_options Guest::region_options(std::uint64_t gpa, std::uint64_t bytes) const {
    bounce_region_options options{};
    options.size = sizeof options;
    options.base_gpa = gpa;
    options.bytes = bytes;
    return options;
}

bounce_pool_options Guest::pool_options() const {
    bounce_pool_options options{};
    options.size = sizeof options;
    options.name = rule_.name;
    options.region = region_options(rule_.base_gpa, kPoolBytes);
    return options;
}

bounce_device_options Guest::device_options() const {
    bounce_device_options options{};
    options.size = sizeof options;
    options.name = rule_.name;
    options.coherent_dma_mask = rule_.coherent_mask;
    // Nothing is to depend on what is found out while it runs.
    options.copy_policy = BOUNCE_COPY_MEMCPY;
    options.reuse_policy = BOUNCE_REUSE_LIFO;
    return options;
}

GuestPool Guest::open(const bounce_pool_options& pool, const bounce_device_options& device,
                      const bounce_audience& audience) const {
    const bounce_platform platform = this->platform(audience);
    GuestPool opened;
    opened.rule = &rule_;
    must(bounce_pool_create_on(&platform, &pool, &opened.pool), "pool");
    must(bounce_device_create(opened.pool, &device, &opened.device), "device");
    return opened;
}

}  // namespace bounce::conformance
