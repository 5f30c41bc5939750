// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The guest's side: conversions, and what it told of its memory. Accesses are in access.cpp.
#include "api/platform/machine.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include "allocator/base/bits.hpp"

namespace bounce::emulated {
namespace {

bool overlap(std::uint64_t a, std::uint64_t a_bytes, std::uint64_t b, std::uint64_t b_bytes) noexcept {
    return a - b < b_bytes || b - a < a_bytes;
}

bool same(const bounce_audience& a, const bounce_audience& b) noexcept {
    return a.kind == b.kind && a.id == b.id;
}

}  // namespace

template <bounce_conversion what>
int Machine::hook(void* user, const bounce_range* range, const bounce_audience* audience) noexcept {
    auto& view = *static_cast<View*>(user);
    if (!same(*audience, view.window.audience())) return -EINVAL;
    try {
        return view.machine.convert(view, what, *range);
    } catch (const std::bad_alloc&) {
        return -ENOMEM;
    }
}

Result<void> Machine::platform(const bounce_audience& audience, bounce_platform& platform) {
    const std::lock_guard guard(lock_);
    auto view = std::find_if(views_.begin(), views_.end(),
                             [&](const auto& each) { return same(each->window.audience(), audience); });
    if (view == views_.end()) {
        auto fresh = std::make_unique<View>(*this, audience);
        if (const int code = fresh->window.open(); code != 0)
            return fail(code == EMFILE ? EMFILE : ENOMEM, "no descriptor for the memory that is shared");
        view = views_.insert(views_.end(), std::move(fresh));
    }
    platform = bounce_platform{};
    platform.size = sizeof platform;
    platform.kind = model_.kind;
    platform.flags = model_.flags;
    platform.granule = granule_;
    platform.encoding = model_.encoding;
    platform.encoding_value = model_.encoding_value;
    platform.audience = audience;
    platform.share = hook<BOUNCE_SHARE>;
    platform.unshare = hook<BOUNCE_UNSHARE>;
    if (model_.encoding == BOUNCE_ENCODING_IOVA) {
        platform.iommu_map = hook<BOUNCE_IOMMU_MAP>;
        platform.iommu_unmap = hook<BOUNCE_IOMMU_UNMAP>;
    }
    platform.user = view->get();
    return {};
}

Result<void> Machine::add_memory(std::uint64_t gpa, void* hva, std::uint64_t bytes) {
    if (hva == nullptr || bytes == 0 || gpa + (bytes - 1) < gpa || !is_multiple(gpa | bytes, granule_))
        return fail(EINVAL, "%llu bytes at GPA 0x%llx and address 0x%llx, expected memory in multiples of %llu", bytes,
                    gpa, reinterpret_cast<std::uintptr_t>(hva), granule_);
    const std::lock_guard guard(lock_);
    for (const Memory& other : memory_) {
        if (other.hva != nullptr && overlap(gpa, bytes, other.gpa, other.bytes))
            return fail(EEXIST, "%llu bytes at GPA 0x%llx overlap the memory at GPA 0x%llx", bytes, gpa, other.gpa);
    }
    if (shared(gpa, bytes)) return fail(EEXIST, "%llu bytes at GPA 0x%llx are shared already", bytes, gpa);
    memory_.push_back({gpa, bytes, static_cast<std::byte*>(hva)});
    return {};
}

Result<void> Machine::remove_memory(std::uint64_t gpa) noexcept {
    const std::lock_guard guard(lock_);
    const auto found = std::find_if(memory_.begin(), memory_.end(),
                                    [&](const Memory& each) { return each.hva != nullptr && each.gpa == gpa; });
    if (found == memory_.end()) return fail(EINVAL, "no memory was added at GPA 0x%llx", gpa);
    memory_.erase(found);
    return {};
}

void Machine::fail_on_demand(const bounce_failure& failure) noexcept {
    const std::lock_guard guard(lock_);
    plans_[failure.conversion] = {true, failure, 0};
}

void Machine::fail_no_more() noexcept {
    const std::lock_guard guard(lock_);
    for (Plan& plan : plans_) plan = {};
}

bounce_emulator_stats Machine::stats() const noexcept {
    const std::lock_guard guard(lock_);
    bounce_emulator_stats stats = stats_;
    for (const auto& view : views_) stats.shared_bytes += view->window.bytes(true);
    for (const Mapping& mapping : iommu_) stats.mapped_bytes += mapping.bytes;
    return stats;
}

std::uint64_t Machine::used_bytes() const noexcept {
    const std::lock_guard guard(lock_);
    std::uint64_t sum = 0;
    for (const auto& view : views_) sum += view->window.bytes(false);
    return sum;
}

bool Machine::shared(std::uint64_t gpa, std::uint64_t bytes) const noexcept {
    return std::any_of(views_.begin(), views_.end(),
                       [&](const auto& view) { return view->window.overlaps(gpa, bytes); });
}

/// 0, or a positive errno value: this one fails on demand.
int Machine::planned_failure(bounce_conversion what, const bounce_range& range) noexcept {
    Plan& plan = plans_[what];
    const bounce_failure& failure = plan.failure;
    if (!plan.active) return 0;
    if (failure.bytes != 0 && !overlap(range.gpa, range.bytes, failure.gpa, failure.bytes)) return 0;
    if (failure.nth != 0 && ++plan.seen != failure.nth) return 0;
    ++stats_.failures;
    return failure.error != 0 ? failure.error : EIO;
}

int Machine::convert(View& view, bounce_conversion what, const bounce_range& range) {
    const std::lock_guard guard(lock_);
    if (range.bytes == 0 || !is_multiple(range.gpa | range.bytes, granule_) ||
        range.gpa / Window::kSlotBytes != (range.gpa + range.bytes - 1) / Window::kSlotBytes) {
        ++stats_.mistakes;
        return -EINVAL;
    }
    if (const int planned = planned_failure(what, range); planned != 0) {
        const std::uint64_t half = round_down(range.bytes / 2, granule_);
        const bool visible = what == BOUNCE_SHARE || what == BOUNCE_IOMMU_MAP;  // it was to become so
        bool partly = false;
        if ((plans_[what].failure.flags & BOUNCE_FAIL_HALFWAY) != 0 && half != 0)
            partly = change(view, what, {range.gpa, range.address, range.hva, half}) == 0;
        // What fails in these ways nobody converts again.
        if (!visible || partly) view.window.write_off(range.gpa, range.bytes);
        return visible && partly ? -ENOTRECOVERABLE : -planned;
    }
    const int status = change(view, what, range);
    if (status == 0) ++stats_.conversions[what];
    return status;
}

int Machine::change(View& view, bounce_conversion what, const bounce_range& range) {
    int code = 0;
    switch (what) {
        case BOUNCE_SHARE: code = share(view, range); break;
        case BOUNCE_UNSHARE: code = unshare(view, range); break;
        case BOUNCE_IOMMU_MAP: code = map(range); break;
        default: code = unmap(range); break;
    }
    if (code == EINVAL || code == EEXIST) ++stats_.mistakes;
    return -code;
}

/// What is there after the conversion.
std::vector<std::byte> Machine::convert_content(const bounce_range& range, bool to_shared) const {
    std::vector<std::byte> content(range.bytes);
    if (model_.content == Content::kZeroed) return content;
    std::memcpy(content.data(), range.hva, range.bytes);
    if (model_.content == Content::kKept) return content;
    if (to_shared) {
        cipher_.encrypt(range.gpa, content.data(), range.bytes);
    } else {
        cipher_.decrypt(range.gpa, content.data(), range.bytes);
    }
    return content;
}

int Machine::share(View& view, const bounce_range& range) {
    if (shared(range.gpa, range.bytes)) return EEXIST;
    const int code = view.window.share(range, convert_content(range, true).data());
    if (code != 0) return code;
    std::erase_if(memory_, [&](const Memory& each) {
        return each.hva == nullptr && overlap(range.gpa, range.bytes, each.gpa, each.bytes);
    });
    return 0;
}

int Machine::unshare(View& view, const bounce_range& range) {
    memory_.reserve(memory_.size() + 1);
    const int code = view.window.unshare(range, convert_content(range, false).data());
    if (code == 0) memory_.push_back({range.gpa, range.bytes, nullptr});
    return code;
}

int Machine::map(const bounce_range& range) {
    if (!is_multiple(range.address, granule_)) return EINVAL;
    for (const Mapping& other : iommu_) {
        if (overlap(range.address, range.bytes, other.address, other.bytes)) return EEXIST;
    }
    iommu_.push_back({range.address, range.gpa, range.bytes});
    return 0;
}

int Machine::unmap(const bounce_range& range) {
    const auto found = std::find_if(iommu_.begin(), iommu_.end(), [&](const Mapping& each) {
        return each.address == range.address && each.gpa == range.gpa && each.bytes >= range.bytes;
    });
    if (found == iommu_.end()) return EINVAL;
    found->address += range.bytes;
    found->gpa += range.bytes;
    found->bytes -= range.bytes;
    if (found->bytes == 0) iommu_.erase(found);
    return 0;
}

}  // namespace bounce::emulated
