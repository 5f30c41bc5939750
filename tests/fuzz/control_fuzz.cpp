// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Requests to a control: as they come, and with a head that fits, so that the fuzzer gets to the commands. The pool has
// mappings, and is audited now and then: whatever was asked, it is right.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "api/control/requests.hpp"
#include "api/dma/device.hpp"
#include "tests/fuzz/fuzz_target.hpp"

namespace {

using namespace bounce;

template <class T>
T must(Result<T> result) {
    if (!result) std::abort();
    return std::move(*result);
}

struct Target {
    Target() {
        RegionConfig region;
        region.bytes = 4u << 20;
        region.base_gpa = Gpa{0x1'0000'0000};
        GrowthConfig growth;
        growth.limit_bytes = 16u << 20;
        pool = must(Pool::create(region, growth));
        segment = must(StatsSegment::create(1));
        requests = std::make_unique<ControlRequests>(*pool, callbacks, names, *segment);
        if (!callbacks.telemetry().keep_events()) std::abort();
        device = must(Device::create(*pool, callbacks, {}));
        for (auto& mapping : mappings) {
            if (!device->map(buffer.data(), 3000, Direction::kToDevice, 0, mapping)) std::abort();
        }
        peer.rights = BOUNCE_CONTROL_OBSERVE | BOUNCE_CONTROL_TUNE;
    }
    void ask(const std::vector<std::byte>& bytes) {
        requests->answer(peer, bytes, reply);
        if (reply.size < sizeof(bounce_control_reply) || reply.size > reply.bytes.size()) __builtin_trap();
        bounce_control_reply head{};
        std::memcpy(&head, reply.bytes.data(), sizeof head);
        if (head.status == 0 && head.records * std::size_t{head.record_bytes} + sizeof head != reply.size)
            __builtin_trap();
    }
    void audit() {
        PoolCheck check;
        PoolWalk walk(*pool, callbacks.telemetry());
        WalkPlace place;
        bounce_control_problem problems[16];
        std::size_t n = 0;
        while (check.step(walk, *pool, place, problems, n)) {
            if (n != 0) __builtin_trap();
        }
        if (n != 0) __builtin_trap();
    }

    Callbacks callbacks;
    std::unique_ptr<Pool> pool;
    std::unique_ptr<StatsSegment> segment;
    HostNames names;
    std::unique_ptr<ControlRequests> requests;
    std::unique_ptr<Device> device;
    bounce_mapping mappings[40];
    std::vector<char> buffer = std::vector<char>(4096);
    ControlPeer peer;
    ControlRequests::Reply reply;
    unsigned asked = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static auto* const target = new Target;  // for ever: its mappings are never ended
    std::vector<std::byte> bytes(size);
    if (size != 0) std::memcpy(bytes.data(), data, size);
    target->ask(bytes);
    bounce_control_request head{};
    if (size < sizeof head) return 0;
    std::memcpy(&head, data, sizeof head);
    head.magic = BOUNCE_CONTROL_MAGIC;
    head.version = BOUNCE_CONTROL_VERSION;
    head.command = static_cast<std::uint16_t>(head.command % 18);
    const std::size_t rest = size - sizeof head;
    head.item_bytes = head.item_bytes % 97;
    head.items = head.item_bytes == 0 ? 0 : static_cast<std::uint32_t>(rest / head.item_bytes);
    bytes.resize(sizeof head + std::size_t{head.items} * head.item_bytes);
    std::memcpy(bytes.data(), &head, sizeof head);
    target->ask(bytes);
    if (++target->asked % 256 == 0) target->audit();
    return 0;
}
