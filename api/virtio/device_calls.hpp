// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What is the same in both layouts of the device side, resolved at compile time. A layout derives from
// DeviceCalls<Layout> and has pop_one(), use_one() and show().
#pragma once

#include <atomic>
#include <cerrno>
#include <span>

#include "api/virtio/device_queue.hpp"

namespace bounce {

template <class Layout>
class DeviceCalls : public DeviceQueue {
public:
    /// How many elements; an error only when there is none before it.
    Result<std::size_t> pop(std::span<bounce_element> elements) noexcept {
        Operation operation(*this);
        if (auto ready = operation.begin(); !ready) return ready.error();
        std::size_t n = 0;
        for (; n < elements.size(); ++n) {
            auto popped = layout().pop_one(elements[n]);
            if (!popped && n == 0) return popped.error();
            if (!popped || !*popped) break;
        }
        return n;
    }
    /// How many; an error only when there is none before it.
    Result<std::size_t> push(std::span<const bounce_element> elements, const std::uint32_t* written) noexcept {
        Operation operation(*this);
        if (auto ready = operation.begin(); !ready && ready.code() != EPROTO) [[unlikely]]
            return ready.error();
        for (std::size_t n = 0; n < elements.size(); ++n) {
            if (auto pushed = push_one(elements[n], written[n]); !pushed) [[unlikely]] {
                if (n == 0) return pushed.error();
                return n;
            }
        }
        return elements.size();
    }
    /// Pushes one and flushes.
    Result<void> complete(const bounce_element& element, std::uint32_t written) noexcept {
        Operation operation(*this);
        if (auto ready = operation.begin(); !ready && ready.code() != EPROTO) [[unlikely]]
            return ready;
        if (auto pushed = push_one(element, written); !pushed) [[unlikely]]
            return pushed;
        (void)layout().show(std::memory_order_release);  // V2: pairs with P2
        return {};
    }
    Result<void> flush() noexcept {
        Operation operation(*this);
        if (auto ready = operation.begin(); !ready) return ready;
        (void)layout().show(std::memory_order_release);  // V2: pairs with P2
        return {};
    }

protected:
    using DeviceQueue::DeviceQueue;

private:
    Layout& layout() noexcept { return static_cast<Layout&>(*this); }
    Result<void> push_one(const bounce_element& element, std::uint32_t written) noexcept {
        Held* held = nullptr;
        if (auto given = give(element, written, held); !given) [[unlikely]]
            return given;
        if (!config_.in_order) [[likely]]
            layout().use_one(element.id, *held);
        return {};
    }
};

}  // namespace bounce
