// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tests/hostile/hostile_device.hpp"

#include <stdexcept>
#include <string>

#include "tests/hostile/shared_word.hpp"

namespace bounce::hostile {
namespace {

constexpr std::uint16_t kNext = 1;
constexpr std::uint16_t kWrite = 2;
constexpr std::uint16_t kIndirect = 4;
constexpr std::uint16_t kUsedBoth = 1U << 7 | 1U << 15;
constexpr std::size_t kDesc = 16;

[[noreturn]] void wrong(const char* what) {
    throw std::runtime_error(std::string("the driver wrote ") + what);
}

}  // namespace

HostileDevice::HostileDevice(bounce_pool* pool, const bounce_ring_layout& layout, const Setup& setup)
    : pool_(pool), setup_(setup), size_(layout.queue_size) {
    const std::size_t n = size_;
    desc_ = find(layout.desc_addr, kDesc * n);
    driver_ = find(layout.avail_addr, setup_.packed ? 4 : 6 + 2 * n);
    device_ = find(layout.used_addr, setup_.packed ? 4 : 6 + 8 * n);
    if (desc_.at == nullptr || driver_.at == nullptr || device_.at == nullptr)
        throw std::runtime_error("the ring is outside of the pool");
}

Span HostileDevice::find(std::uint64_t address, std::uint64_t bytes) const {
    void* hva = nullptr;
    if (bounce_pool_gpa_to_hva(pool_, address, bytes, &hva) != 0) return {};
    return {static_cast<std::byte*>(hva), bytes};
}

const Request& HostileDevice::watch(std::size_t n_out, std::size_t n_in, std::uint32_t descriptors) {
    Request request;
    request.descriptors = descriptors;
    if (!setup_.packed) request.id = load<std::uint16_t>(driver_.at + 4 + 2 * std::size_t{avail_ % size_});
    if (request.id >= size_) wrong("an id beyond the queue");
    take_descriptors(request, n_out + n_in, n_out);
    requests_.push_back(std::move(request));
    return requests_.back();
}

void HostileDevice::take_descriptors(Request& request, std::size_t n, std::size_t n_out) {
    std::uint32_t at = setup_.packed ? avail_ : request.id;
    if (setup_.packed) {
        request.id = load<std::uint16_t>(desc_.at + kDesc * at + 12);
        avail_ += request.descriptors;
        if (avail_ >= size_) {
            avail_ -= size_;
            avail_wrap_ = !avail_wrap_;
        }
    } else {
        ++avail_;
    }
    if (request.descriptors == 1 && n > 1) {
        request.table =
            find(load<std::uint64_t>(desc_.at + kDesc * at), load<std::uint32_t>(desc_.at + kDesc * at + 8));
        if (request.table.bytes != n * kDesc) wrong("an indirect table that is not there, or of another length");
        for (std::size_t i = 0; i < n; ++i) take_piece(request.table.at + kDesc * i, i >= n_out, request);
        return;
    }
    if (request.descriptors != n) wrong("another number of descriptors than segments");
    for (std::size_t i = 0; i < n; ++i) {
        const std::byte* const one = desc_.at + kDesc * at;
        take_piece(one, i >= n_out, request);
        if (setup_.packed) {
            if (load<std::uint16_t>(one + 12) != request.id) wrong("a chain with two ids");
            at = at + 1 == size_ ? 0 : at + 1;
            continue;
        }
        const auto flags = load<std::uint16_t>(one + 12);
        if (((flags & kNext) != 0) != (i + 1 < n) || ((flags & kWrite) != 0) != (i >= n_out) ||
            (flags & kIndirect) != 0)
            wrong("descriptor flags that do not say what was added");
        at = load<std::uint16_t>(one + 14);
        if (at >= size_) wrong("a chain that leaves the queue");
    }
}

void HostileDevice::take_piece(const std::byte* descriptor, bool write, Request& request) const {
    const Span piece = find(load<std::uint64_t>(descriptor), load<std::uint32_t>(descriptor + 8));
    if (piece.at == nullptr) wrong("an address outside of the pool");
    (write ? request.written : request.readable).push_back(piece);
    if (write) request.writable += static_cast<std::uint32_t>(piece.bytes);
}

void HostileDevice::published() {
    for (std::size_t i = first_; i < requests_.size(); ++i) requests_[i].published = true;
}

void HostileDevice::ended(std::size_t index) {
    requests_[index].used = true;
    while (first_ < requests_.size() && requests_[first_].used) ++first_;
}

std::vector<std::size_t> HostileDevice::pending() const {
    std::vector<std::size_t> out;
    for (std::size_t i = first_; i < requests_.size(); ++i) {
        if (requests_[i].published && !requests_[i].used) out.push_back(i);
    }
    return out;
}

const Request* HostileDevice::oldest() const {
    const auto all = pending();
    return all.empty() ? nullptr : &requests_[all.front()];
}

bool HostileDevice::serve_oldest() {
    const auto all = pending();
    if (all.empty()) return false;
    complete(all.front(), requests_[all.front()].writable);
    return true;
}

void HostileDevice::put_used(std::uint32_t id, std::uint32_t len, std::uint32_t descriptors) {
    if (!setup_.packed) {
        std::byte* const element = device_.at + 4 + 8 * std::size_t{used_++ % size_};
        store<std::uint32_t>(element, id);
        store<std::uint32_t>(element + 4, len);
        return;
    }
    std::byte* const desc = desc_.at + kDesc * used_;
    store<std::uint32_t>(desc + 8, len);
    store<std::uint16_t>(desc + 12, static_cast<std::uint16_t>(id));
    const std::uint16_t flags = used_wrap_ ? kUsedBoth : 0;
    if (held_ == nullptr) {
        held_ = desc;
        held_flags_ = flags;
    } else {
        store<std::uint16_t>(desc + 14, flags);
    }
    used_ += descriptors;
    if (used_ < size_) return;
    used_ -= size_;
    used_wrap_ = !used_wrap_;
}

void HostileDevice::show_used() {
    if (!setup_.packed) {
        store<std::uint16_t>(device_.at + 2, static_cast<std::uint16_t>(used_));
    } else if (held_ != nullptr) {
        store<std::uint16_t>(held_ + 14, held_flags_);
        held_ = nullptr;
    }
}

void HostileDevice::complete(std::size_t index, std::uint32_t len) {
    std::uint32_t before = 0;
    std::uint32_t descriptors = requests_[index].descriptors;
    for (std::size_t i = first_; setup_.in_order && i < index; ++i) {
        if (requests_[i].used) continue;
        requests_[i].used = true;
        ++before;
        descriptors += requests_[i].descriptors;
    }
    requests_[index].used = true;
    put_used(requests_[index].id, len, descriptors);
    if (!setup_.packed) used_ += before;
    show_used();
    while (first_ < requests_.size() && requests_[first_].used) ++first_;
}

void HostileDevice::act(const Action& action) {
    const auto all = pending();
    if (!all.empty()) {
        const std::size_t index = all[action.a % all.size()];
        Request& one = requests_[index];
        switch (action.step) {
            case Step::kComplete: return complete(index, one.writable);
            case Step::kLongLength: return complete(index, one.writable + 1 + action.b % 0xfffff000);
            case Step::kShortLength: return complete(index, one.writable == 0 ? 0 : action.b % one.writable);
            case Step::kWithhold: one.used = !setup_.in_order; return;
            case Step::kFill:
                for (const Span& piece : one.written) std::memset(piece.at, harmless(action.b), piece.bytes);
                return;
            case Step::kFlipTable: return flip(one.table, action.b >> 3, action.b * 0x9e3779b1);
            case Step::kFlipData:
                for (const Span& piece : one.readable) std::memset(piece.at, harmless(action.b), piece.bytes);
                for (const Span& piece : one.written) std::memset(piece.at, harmless(action.b >> 8), piece.bytes);
                return;
            default: break;
        }
    }
    lie(action, all);
}

void HostileDevice::lie(const Action& action, const std::vector<std::size_t>& all) {
    const std::uint32_t id = all.empty() ? 0 : requests_[all[action.a % all.size()]].id;
    const auto claim = [&](std::uint32_t which) {
        put_used(which, action.b, 1);
        show_used();
    };
    switch (action.step) {
        case Step::kAnyId: return claim(action.b);
        case Step::kAliasId: return claim(id + (setup_.packed ? 0x8000U : 0x10000U << action.a % 16));
        case Step::kInside: return claim(id + 1 + action.a % 4);
        case Step::kReplay: {
            std::vector<std::uint32_t> used;
            for (const Request& one : requests_) {
                if (one.used) used.push_back(one.id);
            }
            if (!used.empty()) claim(used[action.a % used.size()]);
            return;
        }
        case Step::kUnpublished:
            if (first_ < requests_.size() && !requests_.back().published) claim(requests_.back().id);
            return;
        case Step::kRunAhead:
            if (!setup_.packed) {
                store<std::uint16_t>(device_.at + 2, static_cast<std::uint16_t>(used_ + action.b));
            } else {
                for (std::uint32_t i = 0; i <= action.a % size_; ++i)
                    store<std::uint16_t>(desc_.at + kDesc * ((used_ + i) % size_) + 14, used_wrap_ ? kUsedBoth : 0);
            }
            return;
        case Step::kFlipDesc: return flip(desc_, action.a, action.b);
        case Step::kFlipDriver: return flip(driver_, action.a, action.b);
        case Step::kFlipDevice: return flip(device_, action.a, action.b);
        case Step::kEvents: return set_events(action.b);
        case Step::kScribble: return scribble(action.b);
        case Step::kStorm:
            for (std::uint32_t i = 0; i < 20; ++i) {
                set_events(action.b + i);
                claim(id);
            }
            return;
        default: return;
    }
}

void HostileDevice::flip(Span part, std::uint32_t word, std::uint32_t value) const {
    if (part.bytes < 4) return;
    std::byte* const at = part.at + 4 * (word % (part.bytes / 4));
    store<std::uint16_t>(at, static_cast<std::uint16_t>(value));
    store<std::uint16_t>(at + 2, static_cast<std::uint16_t>(value >> 16));
}

void HostileDevice::set_events(std::uint32_t garbage) const {
    store<std::uint16_t>(device_.at, static_cast<std::uint16_t>(garbage));
    std::byte* const second = setup_.packed ? device_.at + 2 : device_.at + 4 + 8 * std::size_t{size_};
    store<std::uint16_t>(second, static_cast<std::uint16_t>(garbage >> 16));
}

void HostileDevice::scribble(std::uint32_t pattern) const {
    if (!setup_.packed) {
        for (std::uint32_t i = 0; i < desc_.bytes / 4; ++i) flip(desc_, i, pattern);
        for (std::uint32_t i = 0; i < driver_.bytes / 4; ++i) flip(driver_, i, pattern);
    } else {
        // But for the two bits that say whether a descriptor is used: these the driver has to read.
        for (std::size_t i = 0; i < size_; ++i) {
            std::byte* const desc = desc_.at + kDesc * i;
            const auto flags = load<std::uint16_t>(desc + 14);
            for (std::uint32_t word = 0; word < 3; ++word) flip({desc, 12}, word, pattern);
            store<std::uint16_t>(desc + 12, static_cast<std::uint16_t>(pattern));
            store<std::uint16_t>(desc + 14, static_cast<std::uint16_t>((pattern & 0x7f7f) | (flags & kUsedBoth)));
        }
        flip(driver_, 0, pattern);
    }
    for (std::size_t i = first_; i < requests_.size(); ++i) {
        for (std::uint32_t word = 0; !requests_[i].used && word < requests_[i].table.bytes / 4; ++word)
            flip(requests_[i].table, word, pattern);
    }
}

bool HostileDevice::tells(std::uint32_t id, std::uint32_t len) const {
    for (std::size_t i = 0; i < size_; ++i) {
        if (setup_.packed) {
            const std::byte* const desc = desc_.at + kDesc * i;
            if (load<std::uint16_t>(desc + 12) == id && load<std::uint32_t>(desc + 8) == len) return true;
        } else {
            const std::byte* const element = device_.at + 4 + 8 * i;
            if (load<std::uint32_t>(element) == id && load<std::uint32_t>(element + 4) == len) return true;
        }
    }
    return false;
}

std::uint16_t HostileDevice::used_index() const {
    return load<std::uint16_t>(device_.at + 2);
}

}  // namespace bounce::hostile
