// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/control/requests.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iterator>

#include "allocator/base/clock.hpp"
#include "api/dma/device.hpp"

namespace bounce {
namespace {

struct Command {
    std::uint32_t number;
    std::uint32_t rights;
    const char* name;
    const char* help;
};
constexpr Command kCommands[] = {
    {BOUNCE_CONTROL_HELLO, 0, "hello", "who this is, and the descriptor of its stats segment"},
    {BOUNCE_CONTROL_COMMANDS, 0, "commands", "what can be asked"},
    {BOUNCE_CONTROL_PUBLISH, BOUNCE_CONTROL_OBSERVE, "publish", "writes the stats segment now"},
    {BOUNCE_CONTROL_TUNABLES, BOUNCE_CONTROL_OBSERVE, "tunables", "what can be set, with ranges and values"},
    {BOUNCE_CONTROL_SET, BOUNCE_CONTROL_TUNE, "set", "sets several tunables, all or none"},
    {BOUNCE_CONTROL_HELD, BOUNCE_CONTROL_OBSERVE, "held", "what is handed out, to whom, since when"},
    {BOUNCE_CONTROL_FIND, BOUNCE_CONTROL_OBSERVE, "find", "what is at an address"},
    {BOUNCE_CONTROL_CHUNKS, BOUNCE_CONTROL_OBSERVE, "chunks", "how full each chunk is"},
    {BOUNCE_CONTROL_CHECK, BOUNCE_CONTROL_OBSERVE, "check", "audits what the pool says of itself"},
    {BOUNCE_CONTROL_EVENTS, BOUNCE_CONTROL_OBSERVE, "events", "what has happened"},
    {BOUNCE_CONTROL_QUARANTINE, BOUNCE_CONTROL_TUNE, "quarantine", "holds back what a device gives back"},
    {BOUNCE_CONTROL_DRAIN, BOUNCE_CONTROL_TUNE, "drain", "hands nothing more out of a region"},
    {BOUNCE_CONTROL_TRACE, BOUNCE_CONTROL_TUNE, "trace", "records what is asked of the pool, and gives the descriptor"},
    {BOUNCE_CONTROL_ADD_REGION, BOUNCE_CONTROL_TUNE, "add_region", "grows the pool by a region"},
    {BOUNCE_CONTROL_REMOVE_REGION, BOUNCE_CONTROL_TUNE, "remove_region", "gives the memory of a drained region back"},
    {BOUNCE_CONTROL_REVOKE, BOUNCE_CONTROL_TUNE, "revoke", "retires a region: nobody gets it again"},
};

constexpr std::uint64_t kLastCommand = kCommands[std::size(kCommands) - 1].number;
constexpr std::size_t kEventsAtOnce =
    (BOUNCE_CONTROL_REPLY_BYTES - sizeof(bounce_control_reply)) / sizeof(bounce_control_event);

const Command* find_command(std::uint32_t number) noexcept {
    for (const Command& command : kCommands) {
        if (command.number == number) return &command;
    }
    return nullptr;
}

WalkPlace place_of(const bounce_control_request& head) noexcept {
    return {head.arg[0], head.arg[1]};
}

void go_on(bounce_control_reply& head, bool more, const WalkPlace& place) noexcept {
    head.more = more ? 1 : 0;
    if (!more) return;
    head.next[0] = place.region;
    head.next[1] = place.offset;
}

}  // namespace

bounce_control_reply& ControlRequests::head(Reply& reply) noexcept {
    return *reinterpret_cast<bounce_control_reply*>(reply.bytes.data());
}

void ControlRequests::records(Reply& reply, std::size_t n, std::size_t bytes) noexcept {
    head(reply).records = static_cast<std::uint32_t>(n);
    head(reply).record_bytes = static_cast<std::uint32_t>(bytes);
    reply.size = sizeof(bounce_control_reply) + n * bytes;
}

/// Zeroed records behind the head.
template <class T>
std::span<T> ControlRequests::room(Reply& reply) noexcept {
    static_assert(sizeof(bounce_control_reply) % alignof(T) == 0);
    std::memset(reply.bytes.data() + sizeof(bounce_control_reply), 0,
                reply.bytes.size() - sizeof(bounce_control_reply));
    return {reinterpret_cast<T*>(reply.bytes.data() + sizeof(bounce_control_reply)),
            (reply.bytes.size() - sizeof(bounce_control_reply)) / sizeof(T)};
}

Result<ControlRequests::Asked> ControlRequests::read(std::span<const std::byte> request, Reply& reply) noexcept {
    Asked asked;
    bounce_control_request& head = asked.head;
    reply.last = true;
    if (request.size() < sizeof head)
        return fail(EPROTO, "a request of %llu bytes, expected at least %llu", request.size(), sizeof head);
    std::memcpy(&head, request.data(), sizeof head);
    if (head.magic != BOUNCE_CONTROL_MAGIC || head.version != BOUNCE_CONTROL_VERSION)
        return fail(EPROTO, "a request with magic 0x%llx and version %llu, expected 0x%llx and %llu", head.magic,
                    head.version, BOUNCE_CONTROL_MAGIC, BOUNCE_CONTROL_VERSION);
    reply.last = false;
    asked.items = request.subspan(sizeof head);
    if (std::uint64_t{head.items} * head.item_bytes != asked.items.size())
        return fail(EINVAL, "%llu items of %llu bytes are said to come, but %llu bytes did", head.items,
                    head.item_bytes, asked.items.size());
    return asked;
}

void ControlRequests::answer(ControlPeer& peer, std::span<const std::byte> request, Reply& reply) noexcept {
    reply.with_stats = false;
    reply.trace_fd = -1;
    bounce_control_reply& head_of = head(reply);
    head_of = bounce_control_reply{};
    head_of.magic = BOUNCE_CONTROL_MAGIC;
    head_of.version = BOUNCE_CONTROL_VERSION;
    reply.size = sizeof head_of;
    Result<void> done;
    if (const auto asked = read(request, reply); asked) {
        head_of.command = asked->head.command;
        head_of.tag = asked->head.tag;
        done = dispatch(peer, *asked, reply);
    } else {
        done = asked.error();
    }
    if (done) return;
    head_of.status = -done.code();
    head_of.records = head_of.record_bytes = head_of.more = 0;
    char* const text = reinterpret_cast<char*>(reply.bytes.data() + sizeof head_of);
    std::snprintf(text, 512, "%s", last_error());
    reply.size = sizeof head_of + std::strlen(text) + 1;
    reply.with_stats = false;
    reply.trace_fd = -1;
}

Result<void> ControlRequests::dispatch(ControlPeer& peer, const Asked& asked, Reply& reply) noexcept {
    const bounce_control_request& head_of = asked.head;
    const Command* const command = find_command(head_of.command);
    if (command == nullptr)
        return fail(ENOTSUP, "command %llu: this library knows none above %llu", head_of.command, kLastCommand);
    if ((peer.rights & command->rights) != command->rights)
        return fail_text(EPERM, "%s needs the right to %s", command->name,
                         command->rights == BOUNCE_CONTROL_TUNE ? "tune" : "observe");
    std::size_t n = 0;
    WalkPlace place = place_of(head_of);
    switch (head_of.command) {
        case BOUNCE_CONTROL_HELLO: hello(peer, reply); return {};
        case BOUNCE_CONTROL_COMMANDS: commands(asked, reply); return {};
        case BOUNCE_CONTROL_PUBLISH: tick(); return {};
        case BOUNCE_CONTROL_TUNABLES:
            n = tunables_.list(head_of.arg[0], room<bounce_control_tunable>(reply), head(reply).total);
            records(reply, n, sizeof(bounce_control_tunable));
            go_on(head(reply), head_of.arg[0] + n < head(reply).total && n != 0, {head_of.arg[0] + n, 0});
            return {};
        case BOUNCE_CONTROL_SET: return set(peer, asked, reply);
        case BOUNCE_CONTROL_HELD: held(asked, reply); return {};
        case BOUNCE_CONTROL_FIND: {
            const auto found = publisher_.walk().find(Gpa{head_of.arg[0]});
            if (!found) return found.error();
            room<bounce_control_held>(reply)[0] = *found;
            records(reply, 1, sizeof *found);
            return {};
        }
        case BOUNCE_CONTROL_CHUNKS: {
            const bool more = publisher_.walk().chunks(place, room<bounce_control_chunk>(reply), n);
            records(reply, n, sizeof(bounce_control_chunk));
            go_on(head(reply), more, place);
            return {};
        }
        case BOUNCE_CONTROL_CHECK: {
            const bool more = peer.check.step(publisher_.walk(), pool_, place, room<bounce_control_problem>(reply), n);
            records(reply, n, sizeof(bounce_control_problem));
            go_on(head(reply), more, place);
            head(reply).total = peer.check.slots();
            return {};
        }
        case BOUNCE_CONTROL_EVENTS:
            n = callbacks_.telemetry().events(head_of.arg[0], room<bounce_control_event>(reply), head(reply).total);
            records(reply, n, sizeof(bounce_control_event));
            go_on(head(reply), n == kEventsAtOnce, {head(reply).total, 0});
            return {};
        case BOUNCE_CONTROL_QUARANTINE: return quarantine(peer, head_of.arg[0]);
        case BOUNCE_CONTROL_TRACE: return trace(peer, asked, reply);
        case BOUNCE_CONTROL_ADD_REGION: return add_region(peer, asked, reply);
        case BOUNCE_CONTROL_DRAIN:
        case BOUNCE_CONTROL_REMOVE_REGION:
        case BOUNCE_CONTROL_REVOKE: return end_region(peer, head_of.command, head_of.arg[0]);
        default: return fail(ENOTSUP, "command %llu", head_of.command);
    }
}

void ControlRequests::hello(const ControlPeer& peer, Reply& reply) noexcept {
    bounce_control_hello& hello = room<bounce_control_hello>(reply)[0];
    hello.library = bounce_version();
    hello.rights = settings_.read_only ? peer.rights & ~std::uint32_t{BOUNCE_CONTROL_TUNE} : peer.rights;
    hello.pid = static_cast<std::uint64_t>(::getpid());
    hello.uid = ::geteuid();
    hello.stats_bytes = segment_.bytes();
    hello.commands = kLastCommand;
    std::memcpy(hello.name, names_.pool, sizeof hello.name);
    std::memcpy(hello.vm_name, names_.vm_name, sizeof hello.vm_name);
    std::memcpy(hello.vm_uuid, names_.vm_uuid, sizeof hello.vm_uuid);
    records(reply, 1, sizeof hello);
    reply.with_stats = true;
}

void ControlRequests::commands(const Asked& asked, Reply& reply) noexcept {
    const auto all = room<bounce_control_info>(reply);
    std::size_t n = 0;
    for (const Command& command : kCommands) {
        if (command.number <= asked.head.arg[0] || n == all.size()) continue;
        bounce_control_info& info = all[n++];
        info.command = command.number;
        info.rights = command.rights;
        std::snprintf(info.name, sizeof info.name, "%s", command.name);
        std::snprintf(info.help, sizeof info.help, "%s", command.help);
    }
    records(reply, n, sizeof(bounce_control_info));
}

Result<void> ControlRequests::set(const ControlPeer& peer, const Asked& asked, Reply& reply) noexcept {
    const std::size_t bytes = asked.head.item_bytes;
    constexpr std::size_t kLeast = offsetof(bounce_control_item, before);
    if (asked.head.items != 0 && bytes < kLeast)
        return fail(EINVAL, "items of %llu bytes, expected at least %llu", bytes, kLeast);
    if (asked.head.items > Tunables::kMostItems)
        return fail(EINVAL, "%llu items, expected at most %llu", asked.head.items, Tunables::kMostItems);
    const std::span<bounce_control_item> items = room<bounce_control_item>(reply).first(asked.head.items);
    for (std::size_t i = 0; i < items.size(); ++i)
        std::memcpy(&items[i], asked.items.data() + i * bytes, std::min(bytes, sizeof items[i]));
    const bool dry_run = (asked.head.flags & BOUNCE_CONTROL_DRY_RUN) != 0;
    if (auto done = tunables_.set(items, dry_run); !done) return done;
    for (const bounce_control_item& item : items) {
        if (!dry_run) callbacks_.telemetry().event(BOUNCE_EVENT_SET, item.name, item.before, item.value, peer.uid);
    }
    records(reply, items.size(), sizeof(bounce_control_item));
    return {};
}

void ControlRequests::held(const Asked& asked, Reply& reply) noexcept {
    std::size_t n = 0;
    WalkPlace place = place_of(asked.head);
    const PoolWalk::Wanted wanted{asked.head.arg[2], asked.head.arg[3]};
    const bool more = publisher_.walk().held(place, wanted, room<bounce_control_held>(reply), n);
    records(reply, n, sizeof(bounce_control_held));
    go_on(head(reply), more, place);
}

Result<void> ControlRequests::quarantine(const ControlPeer& peer, std::uint64_t id) noexcept {
    Result<void> done = fail(ENOENT, "there is no device %llu", id);
    callbacks_.telemetry().visit([&](Device& device) {
        if (device.id() == id) done = device.quarantine();
    });
    if (done) callbacks_.telemetry().event(BOUNCE_EVENT_QUARANTINE, "", id, 0, peer.uid);
    return done;
}

Result<void> ControlRequests::add_region(const ControlPeer& peer, const Asked& asked, Reply& reply) noexcept {
    const std::uint64_t bytes = asked.head.arg[0];
    const std::uint64_t node = asked.head.arg[1];
    if (node > INT32_MAX) return fail(EINVAL, "node %llu, expected 0 to %llu", node - 1, INT32_MAX - 1);
    const auto added = pool_.grow_by(bytes, node == 0 ? kAnyNode : NodeId{static_cast<std::int32_t>(node - 1)});
    if (!added) return added.error();
    // Nobody who maps waits for the tags of what comes; without memory for them it has none.
    if (settings_.tags) static_cast<void>(callbacks_.telemetry().prepare_tags(pool_));
    callbacks_.telemetry().event(BOUNCE_EVENT_ADD_REGION, "", added->value, bytes, peer.uid);
    head(reply).total = added->value;
    return {};
}

/// Drains, removes or retires it.
Result<void> ControlRequests::end_region(const ControlPeer& peer, std::uint32_t command, std::uint64_t index) noexcept {
    if (index >= pool_.regions()) return fail(ENOENT, "region %llu, but the pool has %llu", index, pool_.regions());
    const RegionId id{static_cast<std::uint32_t>(index)};
    const bool drains = command == BOUNCE_CONTROL_DRAIN;
    const bool removes = command == BOUNCE_CONTROL_REMOVE_REGION;
    const auto done = drains ? pool_.drain_region(id) : removes ? pool_.remove_region(id) : pool_.retire_region(id);
    if (done)
        callbacks_.telemetry().event(drains    ? BOUNCE_EVENT_DRAIN
                                     : removes ? BOUNCE_EVENT_REMOVE_REGION
                                               : BOUNCE_EVENT_REVOKE,
                                     "", index, 0, peer.uid);
    return done;
}

void ControlRequests::tick() noexcept {
    Telemetry& telemetry = callbacks_.telemetry();
    if (Trace* const trace = telemetry.wanted_trace(); trace != nullptr) trace->set_now();
    telemetry.set_now(clock_ns());
    // Regions come while tags are on. Without memory for their tags they have none.
    if (settings_.tags) static_cast<void>(telemetry.prepare_tags(pool_));
    const PoolStats now = pool_.stats();
    if (now.full != told_.full) telemetry.event(BOUNCE_EVENT_FULL, "", now.full - told_.full, telemetry.full_device());
    if (now.grows != told_.grows) telemetry.event(BOUNCE_EVENT_GROW, "", now.grows - told_.grows, now.bytes);
    if (now.shrinks != told_.shrinks) telemetry.event(BOUNCE_EVENT_SHRINK, "", now.shrinks - told_.shrinks, now.bytes);
    told_ = now;
    publisher_.publish(segment_);
}

}  // namespace bounce
