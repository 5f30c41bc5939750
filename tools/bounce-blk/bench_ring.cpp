// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-blk/bench_ring.hpp"

#include <algorithm>
#include <cerrno>

#include "tools/common/failure.hpp"
#include "tools/common/little_endian.hpp"
#include "tools/common/random.hpp"

namespace bounce::blk {
namespace {

constexpr std::uint32_t kLooksPerKick = 4096;  // of a poller, which looks every 1024 polls

using tools::Failure;
using tools::text;

void fill_random(std::span<std::byte> bytes, std::uint64_t seed) {
    tools::Random random(seed);
    for (std::size_t at = 0; at + 8 <= bytes.size(); at += 8) tools::store_le(bytes.data() + at, random.next());
}

RequestType type_of(const LoadConfig& load) {
    return load.write ? kTypeOut : kTypeIn;
}

}  // namespace

RingSubject::RingSubject(Session& session, std::uint32_t queue, const LoadConfig& load, const tools::Canary* canary)
    : session_(session),
      queue_(queue),
      ring_(session.ring(queue)),
      n_out_(load.write ? 2 : 1),
      completions_(load.depth) {
    slots_.reserve(load.depth);
    if (canary != nullptr) {
        make_private(load, *canary);
    } else {
        make_shared(load);
    }
}

RingSubject::~RingSubject() {
    for (bounce_block& block : blocks_) bounce_buffer_free(session_.device(), &block);
}

void RingSubject::make_private(const LoadConfig& load, const tools::Canary& canary) {
    std::vector<bounce_sg> list;
    for (std::uint32_t i = 0; i < load.depth; ++i) {
        requests_.push_back(std::make_unique<Request>(canary, static_cast<std::size_t>(load.block_bytes)));
        Request& request = *requests_.back();
        request.prepare(type_of(load), 0, static_cast<std::size_t>(load.block_bytes));
        if (load.write) fill_random(request.data(), load.seed + i);
        std::size_t n_out = 0;
        std::size_t n_in = 0;
        request.build_list(0, list, n_out, n_in);
        slots_.push_back({{list[0], list[1], list[2]},
                          static_cast<std::byte*>(list[0].base),
                          static_cast<std::byte*>(list[2].base)});
    }
}

bounce_block& RingSubject::alloc(std::size_t bytes, std::size_t align) {
    bounce_block block{};
    check(bounce_buffer_alloc(session_.device(), bytes, align, &block),
          "cannot make the buffers in the pool (choose a larger --pool-size, or a smaller --bs or --qd)");
    blocks_.push_back(block);
    return blocks_.back();
}

void RingSubject::make_shared(const LoadConfig& load) {
    const auto bytes = static_cast<std::size_t>(load.block_bytes);
    blocks_.reserve(std::size_t{3} * load.depth);
    for (std::uint32_t i = 0; i < load.depth; ++i) {
        void* header = alloc(kHeaderBytes, 64).ptr;
        void* data = alloc(bytes, bytes >= 4096 ? 4096 : 64).ptr;
        void* status = alloc(1, 64).ptr;
        store_header(static_cast<std::byte*>(header), type_of(load), 0);
        *static_cast<std::byte*>(status) = static_cast<std::byte>(kStatusNone);
        if (load.write) fill_random({static_cast<std::byte*>(data), bytes}, load.seed + i);
        constexpr std::uint32_t kInPlace = BOUNCE_SG_SHARED | BOUNCE_SG_SHARED_IN;  // the status is read once
        slots_.push_back(
            {{{header, kHeaderBytes, BOUNCE_SG_SHARED, 0}, {data, bytes, kInPlace, 0}, {status, 1, kInPlace, 0}},
             static_cast<std::byte*>(header),
             static_cast<std::byte*>(status)});
    }
}

bool RingSubject::add(std::uint32_t slot, std::uint64_t sector) {
    Slot& s = slots_[slot];
    tools::store_le(s.header + 8, sector);
    const int code = bounce_ring_add(ring_, s.list, n_out_, 3 - n_out_, &s);
    if (code == 0) {
        ++outstanding_;
        return true;
    }
    if ((code == -EAGAIN || code == -ENOSPC) && outstanding_ > 0) return false;
    fail_add(session_, code, s.list[1].bytes);
}

void RingSubject::publish() {
    check(bounce_frontend_submit(session_.frontend(), queue_), "cannot submit");
}

std::uint32_t RingSubject::collect(std::vector<std::uint32_t>& slots) {
    const int count = bounce_ring_collect(ring_, completions_.data(), std::min(slots.size(), completions_.size()));
    if (count <= 0) return static_cast<std::uint32_t>(check(count, "cannot collect"));
    outstanding_ -= static_cast<std::uint32_t>(count);
    idle_looks_ = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
        const auto* slot = static_cast<const Slot*>(completions_[i].cookie);
        if (completions_[i].status < 0) throw DeviceLost(bounce_error_text(completions_[i].status));
        if (*slot->status != static_cast<std::byte>(kStatusOk)) {
            throw Failure(text("the device failed a request with status ", std::to_integer<unsigned>(*slot->status)));
        }
        slots[i] = static_cast<std::uint32_t>(slot - slots_.data());
    }
    return static_cast<std::uint32_t>(count);
}

void RingSubject::idle() {
    if (polls()) {
        check(bounce_frontend_check(session_.frontend()), "the device is gone");
        // What the device says of kicks is a hint: after a long silence it gets one that it did not ask for.
        if (++idle_looks_ % kLooksPerKick == 0) {
            check(bounce_frontend_kick(session_.frontend(), queue_), "cannot kick the device");
        }
        return;
    }
    const int code = bounce_frontend_wait(session_.frontend(), queue_, 100);
    if (code != -ETIMEDOUT && code != -EINTR) check(code, "waiting for the device");
}

void RingSubject::abort() noexcept {
    while (bounce_ring_abort(ring_, completions_.data(), completions_.size()) > 0) {
    }
    outstanding_ = 0;
}

void RingSubject::check_canaries() const {
    for (const auto& request : requests_) {
        if (!request->intact()) throw Failure("a canary around a private buffer was overwritten");
    }
}

}  // namespace bounce::blk
