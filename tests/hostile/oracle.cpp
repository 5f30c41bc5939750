// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tests/hostile/oracle.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace bounce::hostile {
namespace {

/// Cookies look like nothing else: the number of the request is in the low bits.
constexpr std::uintptr_t kCookie = static_cast<std::uintptr_t>(0x5ec2'e7c0'0000'0000ULL);
constexpr std::uintptr_t kCookieMask = static_cast<std::uintptr_t>(0xffff'ffff'0000'0000ULL);

}  // namespace

void Findings::add(const char* format, ...) {
    if (any()) return;
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    first_ = text;
    if (found_) found_(first_);
}

Buffer::Buffer(std::size_t bytes, bool write, std::uint8_t content)
    : memory_(bytes + 2 * kGuard, kPrivate), bytes_(bytes), content_(write ? kPrivate : content), write_(write) {
    std::memset(memory_.data() + kGuard, content_, bytes);
}

bool Buffer::intact(std::size_t written) const {
    const auto all = [&](std::size_t from, std::size_t to, std::uint8_t value) {
        return std::all_of(memory_.begin() + static_cast<std::ptrdiff_t>(from),
                           memory_.begin() + static_cast<std::ptrdiff_t>(to),
                           [value](std::uint8_t byte) { return byte == value; });
    };
    return all(0, kGuard, kPrivate) && all(kGuard + (write_ ? written : 0), kGuard + bytes_, content_) &&
           all(kGuard + bytes_, memory_.size(), kPrivate);
}

Oracle::Oracle(Findings& findings, bounce_pool* pool, bounce_ring* ring, const Setup& setup)
    : findings_(findings), pool_(pool), ring_(ring), setup_(setup) {}

void* Oracle::next_cookie() const {
    return reinterpret_cast<void*>(kCookie | entries_.size());  // NOLINT(performance-no-int-to-ptr)
}

void Oracle::added(std::vector<Buffer> buffers, const Request& seen, std::size_t at_device) {
    for (const Entry& one : entries_) {
        if (one.live && one.id == seen.id) findings_.add("id %u was given to two requests at once", seen.id);
    }
    Entry entry;
    for (const Buffer& one : buffers) entry.writable += one.write() ? static_cast<std::uint32_t>(one.bytes()) : 0;
    entry.buffers = std::move(buffers);
    entry.id = seen.id;
    entry.descriptors = seen.descriptors;
    entry.at_device = at_device;
    entries_.push_back(std::move(entry));
    ++live_;
    descriptors_ += seen.descriptors;
}

void Oracle::published() {
    for (; published_ < entries_.size(); ++published_) entries_[published_].published = true;
}

const Entry* Oracle::entry_of(const bounce_completion& completion) const {
    const auto cookie = reinterpret_cast<std::uintptr_t>(completion.cookie);
    const std::uintptr_t n = cookie & ~kCookieMask;
    return (cookie & kCookieMask) == kCookie && n < entries_.size() ? &entries_[n] : nullptr;
}

Entry* Oracle::end(HostileDevice& device, const bounce_completion& completion) {
    const Entry* const found = entry_of(completion);
    if (found == nullptr) {
        findings_.add("a cookie that nobody gave: %p", completion.cookie);
        return nullptr;
    }
    Entry& entry = entries_[static_cast<std::size_t>(found - entries_.data())];
    if (!entry.live) {
        findings_.add("the cookie of id %u came back twice", entry.id);
        return nullptr;
    }
    entry.live = false;
    --live_;
    descriptors_ -= entry.descriptors;
    device.ended(entry.at_device);
    return &entry;
}

void Oracle::check_content(Entry& entry, std::uint32_t written) {
    std::size_t left = written;
    for (const Buffer& buffer : entry.buffers) {
        const std::size_t share = buffer.write() ? std::min(left, buffer.bytes()) : 0;
        left -= share;
        if (!buffer.intact(share))
            findings_.add("a private buffer of %zu bytes (%s) changed beyond the %zu that were written to it",
                          buffer.bytes(), buffer.write() ? "incoming" : "outgoing", share);
    }
    entry.buffers.clear();
}

void Oracle::before_collect(const HostileDevice& device, std::size_t max) {
    must_refuse_ = false;
    bounce_ring_stats stats{};
    bounce_ring_get_stats(ring_, &stats);
    if (setup_.packed || setup_.in_order || stats.broken != 0 || max <= live_) return;
    const auto shown =
        std::count_if(entries_.begin(), entries_.end(), [](const Entry& one) { return one.live && one.published; });
    must_refuse_ = static_cast<std::uint16_t>(device.used_index() - taken_) > shown;
    last_kind_ = 0;
}

void Oracle::collected(HostileDevice& device, const bounce_completion* completions, int result) {
    answers_.clear();
    if (must_refuse_ && (result != -EPROTO || last_kind_ != BOUNCE_VIOLATION_USED_INDEX))
        findings_.add("the used index ran ahead of what is outstanding: collect returned %d, expected %d and a report",
                      result, -EPROTO);
    if (result < 0) {
        if (result != -EPROTO) findings_.add("collect returned %d: %s", result, bounce_last_error());
        return check_broken();
    }
    for (int i = 0; i < result; ++i) {
        const bounce_completion& one = completions[i];
        Entry* const entry = end(device, one);
        if (entry == nullptr) return;
        ++taken_;
        if (one.status != 0) findings_.add("a completion has status %d", one.status);
        if (!entry->published) findings_.add("id %u was completed before the device was shown it", entry->id);
        if (one.written > entry->writable)
            findings_.add("%u bytes were written of %u that could be", one.written, entry->writable);
        const std::uint32_t right = setup_.length_ignore ? entry->writable : std::min(one.reported, entry->writable);
        if (one.written != right) findings_.add("%u bytes count as written, expected %u", one.written, right);
        if (!setup_.in_order && !device.tells(entry->id, one.reported))
            findings_.add("id %u with length %u was completed, which no used element says", entry->id, one.reported);
        for (const Buffer& buffer : entry->buffers) {
            if (buffer.write()) answers_.push_back(buffer.content()[0]);
        }
        check_content(*entry, one.written);
    }
}

void Oracle::aborted(HostileDevice& device, const bounce_completion* completions, int n) {
    if (n < 0) findings_.add("abort returned %d: %s", n, bounce_last_error());
    for (int i = 0; i < n; ++i) {
        Entry* const entry = end(device, completions[i]);
        if (entry == nullptr) return;
        if (completions[i].status != -ECONNRESET || completions[i].written != 0)
            findings_.add("an aborted request has status %d and %u bytes", completions[i].status,
                          completions[i].written);
        check_content(*entry, 0);
    }
}

void Oracle::reset() {
    taken_ = 0;
    last_kind_ = 0;
}

/// Broken until it is reset: nothing goes on.
void Oracle::check_broken() {
    bounce_ring_stats stats{};
    bounce_ring_get_stats(ring_, &stats);
    if (stats.broken == 0) findings_.add("collect said -EPROTO, and the ring is not broken");
    bounce_completion one{};
    if (const int again = bounce_ring_collect(ring_, &one, 1); again != -EPROTO)
        findings_.add("collect of a broken ring returned %d", again);
    std::uint8_t byte = 0;
    const bounce_sg sg{&byte, 1, 0, 0};
    if (const int again = bounce_ring_add(ring_, &sg, 1, 0, nullptr); again != -EPROTO)
        findings_.add("add to a broken ring returned %d", again);
    if (bounce_ring_publish(ring_) != 0) findings_.add("a broken ring wants a kick");
}

void Oracle::check_ring() {
    bounce_ring_stats stats{};
    bounce_ring_get_stats(ring_, &stats);
    if (stats.outstanding != live_)
        findings_.add("%u requests are outstanding, expected %zu", stats.outstanding, live_);
    if (stats.free_descriptors + descriptors_ != setup_.queue_size)
        findings_.add("%u descriptors are free and %u in use, of %u", stats.free_descriptors, descriptors_,
                      setup_.queue_size);
}

// A hundred thousand words each time: what a fuzzer and sanitizers would add to each is of no use here.
#ifdef __clang__
[[clang::no_sanitize("address", "undefined", "coverage")]]
#endif
void Oracle::scan() {
    bounce_region_info region{};
    if (bounce_pool_region(pool_, 0, &region) != 0) return findings_.add("the pool has no region");
    std::uint64_t secret = 0;
    std::memset(&secret, kPrivate, sizeof secret);
    const auto* const memory = static_cast<const std::byte*>(region.hva);
    const auto low = reinterpret_cast<std::uintptr_t>(region.hva);
    for (std::size_t at = 0; at < region.bytes; at += sizeof secret) {
        std::uint64_t word = 0;
        std::memcpy(&word, memory + at, sizeof word);
        if (word == 0) continue;
        const auto pointer = static_cast<std::uintptr_t>(word);
        if (word == secret) return findings_.add("private bytes are in shared memory, at offset %zu", at);
        if ((pointer & kCookieMask) == kCookie) return findings_.add("a cookie is in shared memory, at offset %zu", at);
        if (pointer - low < region.bytes)
            return findings_.add("an address of this process is in shared memory, at offset %zu", at);
    }
}

std::size_t capacity(bounce_pool* pool, bounce_device* device) {
    bounce_region_info region{};
    if (bounce_pool_region(pool, 0, &region) != 0) return 0;
    std::vector<bounce_block> blocks;
    bounce_block block{};
    while (blocks.size() <= region.bytes / 4096 && bounce_buffer_alloc(device, 4096, 4096, &block) == 0)
        blocks.push_back(block);
    for (bounce_block& one : blocks) bounce_buffer_free(device, &one);
    return blocks.size();
}

}  // namespace bounce::hostile
