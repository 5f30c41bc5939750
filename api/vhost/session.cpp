// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/vhost/session.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>

#include "allocator/base/mutation.hpp"
namespace bounce::vhost {
namespace {

/// The user address is the GPA: a number that means nothing in this process. What devices call the memory is what is
/// in rings: without a translation the same number.
MemoryRegion describe(const Region& region, bool translated) noexcept {
    const std::uint64_t gpa = translated ? region.base().value : region.address().value;
    return {gpa, region.bytes(), gpa, region.fd_offset()};
}

Error no_translation(const char* missing) noexcept {
    return fail_text(ENOTSUP,
                     "the policy says that addresses are IOVAs, but the back-end cannot ask for translations (no %s)",
                     missing);
}

}  // namespace

Result<void> Session::open(const char* path) noexcept {
    auto socket = connect_socket(path, timeout_ms_);
    if (!socket) return socket.error();
    terms_ = {};
    return channel_.adopt(std::move(*socket));
}

Error Session::failed(Error error) noexcept {
    if (error.code() == EPROTO || error.code() == ETIMEDOUT) {
        const Fault fault = channel_.fault();
        callbacks_.violation(name_, BOUNCE_VIOLATION_REPLY, kNoRing, fault.got, fault.expected, last_error());
    }
    // Whatever went wrong on the wire, what comes next could not be told from a late answer.
    channel_.hang_up();
    return error;
}

Error Session::violated(std::uint32_t ring, std::uint64_t got, std::uint64_t expected) noexcept {
    callbacks_.violation(name_, BOUNCE_VIOLATION_REPLY, ring, got, expected, last_error());
    channel_.hang_up();
    return Error(EPROTO);
}

Result<void> Session::set_bytes(Request request, std::span<const std::byte> payload,
                                std::span<const int> fds) noexcept {
    if ((terms_.protocol & kReplyAck) == 0) {
        auto sent = channel_.send(request, payload, fds, deadline());
        if (!sent) return failed(sent.error());
        return {};
    }
    std::uint64_t refusal = 0;
    auto answer = channel_.exchange(request, kFlagNeedReply, payload, fds,
                                    std::as_writable_bytes(std::span(&refusal, 1)), false, deadline());
    if (!answer) return failed(answer.error());
    if (refusal != 0)
        return fail_text(ENOTSUP, "%s: the back-end refused (answer %llu, expected 0)", request_name(request),
                         static_cast<unsigned long long>(refusal));
    return {};
}

Result<std::uint64_t> Session::get(Request request) noexcept {
    std::uint64_t value = 0;
    auto answer =
        channel_.exchange(request, 0, {}, {}, std::as_writable_bytes(std::span(&value, 1)), false, deadline());
    if (!answer) return failed(answer.error());
    return value;
}

Result<void> Session::negotiate(const FeaturePolicy& policy, std::uint64_t previous) noexcept {
    if (auto owned = set_bytes(Request::kSetOwner, {}, {}); !owned) return owned;
    auto offered = get(Request::kGetFeatures);
    if (!offered) return offered.error();
    const bool extended = (*offered & kProtocolFeatures) != 0;
    terms_.offered = *offered & ~kProtocolFeatures;
    auto accepted = accept_features(terms_.offered, policy, previous);
    if (!accepted) return accepted.error();
    terms_.accepted = *accepted;
    terms_.rings_start_disabled = extended;

    if (extended) {
        if (auto agreed = agree_on_protocol(); !agreed) return agreed;
    } else if (terms_.translated()) {
        return no_translation("VHOST_USER_F_PROTOCOL_FEATURES");
    }
    if (auto asked = ask_limits(); !asked) return asked;
    return set(Request::kSetFeatures, terms_.accepted | (extended ? kProtocolFeatures : 0));
}

Result<void> Session::agree_on_protocol() noexcept {
    auto protocol = get(Request::kGetProtocolFeatures);
    if (!protocol) return protocol.error();
    std::uint64_t ours = *protocol & kKnownProtocolFeatures;
    if (terms_.translated()) {
        // Without an answer nobody knows when a translation is gone.
        if ((*protocol & kBackendRequests) == 0) return no_translation("VHOST_USER_PROTOCOL_F_BACKEND_REQ");
        if ((*protocol & kReplyAck) == 0) return no_translation("VHOST_USER_PROTOCOL_F_REPLY_ACK");
        ours |= kBackendRequests;
    }
    // REPLY_ACK holds from the next message on, so it is noted after this one.
    if (auto done = set(Request::kSetProtocolFeatures, ours); !done) return done;
    terms_.protocol = ours;
    return terms_.translated() ? give_backend_channel() : Result<void>();
}

Result<void> Session::give_backend_channel() noexcept {
    auto theirs = requests_.open();
    if (!theirs) return theirs.error();
    const int fd = theirs->get();
    return set_bytes(Request::kSetBackendReqFd, {}, std::span(&fd, 1));
}

/// How many queues and regions the back-end takes.
Result<void> Session::ask_limits() noexcept {
    terms_.max_queues = queue_unit_;
    if ((terms_.protocol & kMultiQueue) != 0) {
        auto queues = get(Request::kGetQueueNum);
        if (!queues) return queues.error();
        if (*queues == 0) {
            (void)fail(EPROTO, "GET_QUEUE_NUM: the back-end has 0 queues, expected at least 1");
            return violated(kNoRing, 0, 1);
        }
        const std::uint64_t most = kMaxQueues / queue_unit_;
        terms_.max_queues = static_cast<std::uint32_t>(std::min(*queues, most)) * queue_unit_;
    }
    if ((terms_.protocol & kConfigureMemSlots) != 0) {
        auto slots = get(Request::kGetMaxMemSlots);
        if (!slots) return slots.error();
        if (*slots == 0) {
            (void)fail(EPROTO, "GET_MAX_MEM_SLOTS: the back-end has 0 memory slots, expected at least 1");
            return violated(kNoRing, 0, 1);
        }
        terms_.max_memory_slots =
            static_cast<std::uint32_t>(std::min<std::uint64_t>(*slots, std::numeric_limits<std::uint32_t>::max()));
    }
    return {};
}

Result<void> Session::set_memory(std::span<const Region* const> regions) noexcept {
    MemoryTable table{};
    int fds[kMaxTableRegions];
    if (regions.size() > kMaxTableRegions)
        return fail(ENOTSUP, "a memory table of %llu regions, at most %llu are possible", regions.size(),
                    kMaxTableRegions);
    for (const Region* region : regions) {
        fds[table.regions] = region->fd();
        table.region[table.regions++] = describe(*region, terms_.translated());
    }
    const auto bytes = std::as_bytes(std::span(&table, 1))
                           .first(offsetof(MemoryTable, region) + regions.size() * sizeof(MemoryRegion));
    return set_bytes(Request::kSetMemTable, bytes, std::span<const int>(fds, regions.size()));
}

Result<void> Session::add_memory(const Region& region) noexcept {
    const int fd = region.fd();
    return set(Request::kAddMemReg, SingleRegion{0, describe(region, terms_.translated())}, std::span(&fd, 1));
}

Result<void> Session::remove_memory(const Region& region) noexcept {
    return set(Request::kRemMemReg, SingleRegion{0, describe(region, terms_.translated())});
}

Result<void> Session::start_queue(std::uint32_t index, const bounce_ring_layout& layout, int call, int kick) noexcept {
    if (auto done = set(Request::kSetVringNum, VringState{index, layout.queue_size}); !done) return done;
    // Of a packed ring both places, each with its wrap counter; used_index of a split one is 0.
    const std::uint32_t base = layout.avail_index | std::uint32_t{layout.used_index} << 16;
    if (auto done = set(Request::kSetVringBase, VringState{index, base}); !done) return done;
    const VringAddress address{index, 0, layout.desc_addr, layout.used_addr, layout.avail_addr, 0};
    if (auto done = set(Request::kSetVringAddr, address); !done) return done;
    if (auto done = set(Request::kSetVringCall, std::uint64_t{index}, std::span(&call, 1)); !done) return done;
    return set(Request::kSetVringKick, std::uint64_t{index}, std::span(&kick, 1));
}

Result<void> Session::enable_queue(std::uint32_t index) noexcept {
    if (!terms_.rings_start_disabled) return {};
    return set(Request::kSetVringEnable, VringState{index, 1});
}

Result<void> Session::stop_queue(std::uint32_t index, Deadline deadline) noexcept {
    const VringState ask{index, 0};
    VringState answer{};
    auto got = channel_.exchange(Request::kGetVringBase, 0, std::as_bytes(std::span(&ask, 1)), {},
                                 std::as_writable_bytes(std::span(&answer, 1)), false, deadline);
    if (got.code() == ETIMEDOUT) {  // slow, perhaps with requests to finish first: that breaks no rule
        channel_.hang_up();
        return got.error();
    }
    if (!got) return failed(got.error());
    if (answer.index != index) {
        (void)fail(EPROTO, "GET_VRING_BASE: the answer is for ring %llu, expected %llu", answer.index, index);
        return violated(index, answer.index, index);
    }
    // A packed ring has two places, so any number may be one.
    if (answer.number > 0xffff && (terms_.accepted & kRingPacked) == 0) {
        (void)fail(EPROTO, "GET_VRING_BASE: the index is 0x%llx, expected 16 bits", answer.number);
        return violated(index, answer.number, 0xffff);
    }
    return {};
}

Result<void> Session::update_iotlb(const Translation& range) noexcept {
    return set(Request::kIotlbMsg, IotlbMessage{range.iova,
                                                range.bytes,
                                                range.user_address,
                                                static_cast<std::uint8_t>(range.access),
                                                static_cast<std::uint8_t>(IotlbType::kUpdate),
                                                {}});
}

Result<void> Session::invalidate_iotlb(std::uint64_t iova, std::uint64_t bytes) noexcept {
    return set(Request::kIotlbMsg,
               IotlbMessage{iova, bytes, 0, 0, static_cast<std::uint8_t>(IotlbType::kInvalidate), {}});
}

/// A back-end that asks nonsense is not to be trusted with the rest.
Error Session::request_failed(Error error) noexcept {
    if (error.code() == EPROTO) {
        const BackendChannel::Wrong wrong = requests_.fault();
        return violated(kNoRing, wrong.got, wrong.expected);
    }
    return error;
}

Result<bool> Session::receive_request(BackendMessage& message) noexcept {
    auto there = requests_.receive(message);
    if (!there) return request_failed(there.error());
    return there;
}

Result<void> Session::answer_request(const BackendMessage& message, bool done) noexcept {
    auto sent = requests_.reply(message, done ? 0 : 1);
    if (!sent) return request_failed(sent.error());
    return sent;
}

Result<void> Session::read_config(std::uint32_t offset, std::span<std::byte> out) noexcept {
    if ((terms_.protocol & kConfig) == 0)
        return fail(ENOTSUP, "the back-end does not show its configuration space (no VHOST_USER_PROTOCOL_F_CONFIG)");
    ConfigSpace ask{offset, static_cast<std::uint32_t>(out.size()), 0, {}};
    ConfigSpace answer{};
    const std::size_t total = kConfigHeaderBytes + out.size();
    auto got = channel_.exchange(Request::kGetConfig, 0, std::as_bytes(std::span(&ask, 1)).first(total), {},
                                 std::as_writable_bytes(std::span(&answer, 1)).first(total), true, deadline());
    if (!got) return failed(got.error());
    if (*got == 0)
        return fail(
            ENOTSUP,
            "GET_CONFIG: the back-end refuses %llu bytes at offset %llu: its configuration space may be shorter",
            out.size(), offset);
    if ((answer.offset != offset || answer.bytes != out.size()) && !BOUNCE_MUTATED(kConfigAnswer)) {
        (void)fail(EPROTO, "GET_CONFIG: the answer is %llu bytes at offset %llu, expected %llu at %llu", answer.bytes,
                   answer.offset, out.size(), offset);
        return violated(kNoRing, answer.bytes, out.size());
    }
    std::memcpy(out.data(), answer.data, out.size());
    return {};
}

Result<void> Session::write_config(std::uint32_t offset, std::span<const std::byte> in) noexcept {
    if ((terms_.protocol & kConfig) == 0)
        return fail(ENOTSUP, "the back-end does not take configuration (no VHOST_USER_PROTOCOL_F_CONFIG)");
    ConfigSpace message{offset, static_cast<std::uint32_t>(in.size()), 0, {}};
    std::memcpy(message.data, in.data(), in.size());
    return set_bytes(Request::kSetConfig, std::as_bytes(std::span(&message, 1)).first(kConfigHeaderBytes + in.size()),
                     {});
}

}  // namespace bounce::vhost
