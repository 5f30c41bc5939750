// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// C++20 over bounce/streaming.h: a mapped list that ends by itself.
#pragma once

#include <bounce/streaming.h>
#include <bounce/bounce.hpp>
#include <memory>
#include <new>
#include <span>
#include <utility>

namespace bounce {

/// A list that is mapped; unmapped with nothing written when it ends. Moves, and its segments stay where they are.
class List {
public:
    List(List&& other) noexcept
        : device_(std::exchange(other.device_, nullptr)),
          list_(std::exchange(other.list_, bounce_list{})),
          tokens_(std::move(other.tokens_)),
          segments_(std::move(other.segments_)) {}
    List& operator=(List&& other) noexcept {
        std::swap(device_, other.device_);
        std::swap(list_, other.list_);
        tokens_.swap(other.tokens_);
        segments_.swap(other.segments_);
        return *this;
    }
    ~List() {
        if (device_ != nullptr) static_cast<void>(bounce_device_unmap_list(device_, &list_, 0));
    }

    /// As bounce_device_map_list(). -ENOMEM: no memory for the tokens.
    static Result<List> map(DeviceRef device, std::span<const bounce_sg> pieces, Direction direction,
                            std::size_t max_segments, std::uint32_t flags = 0, std::uint64_t align = 0) noexcept {
        List list;
        list.tokens_.reset(new (std::nothrow) bounce_mapping[pieces.size() + max_segments]);
        list.segments_.reset(new (std::nothrow) bounce_segment[max_segments]);
        if (list.tokens_ == nullptr || list.segments_ == nullptr) return Error(ENOMEM);
        list.list_ = {sizeof list.list_,
                      list.tokens_.get(),
                      pieces.size() + max_segments,
                      list.segments_.get(),
                      max_segments,
                      0,
                      0,
                      0};
        const bounce_map_options options{sizeof options, align, flags, 0};
        const int status = bounce_device_map_list(device.handle(), pieces.data(), pieces.size(),
                                                  static_cast<int>(direction), &options, &list.list_);
        if (status < 0) return Error(-status);
        list.device_ = device.handle();
        return list;
    }

    [[nodiscard]] std::span<const bounce_segment> segments() const noexcept {
        return {list_.segments, list_.n_segments};
    }
    [[nodiscard]] std::uint64_t bytes() const noexcept { return list_.bytes; }
    Result<void> unmap(std::size_t written) noexcept {
        return detail::checked(bounce_device_unmap_list(std::exchange(device_, nullptr), &list_, written));
    }
    Result<void> sync_for_cpu(std::size_t offset, std::size_t bytes, Direction direction) noexcept {
        return detail::checked(
            bounce_device_sync_list_for_cpu(device_, &list_, offset, bytes, static_cast<int>(direction)));
    }
    Result<void> sync_for_device(std::size_t offset, std::size_t bytes, Direction direction) noexcept {
        return detail::checked(
            bounce_device_sync_list_for_device(device_, &list_, offset, bytes, static_cast<int>(direction)));
    }

private:
    List() noexcept = default;

    bounce_device* device_ = nullptr;
    bounce_list list_{};
    std::unique_ptr<bounce_mapping[]> tokens_;
    std::unique_ptr<bounce_segment[]> segments_;
};

}  // namespace bounce
