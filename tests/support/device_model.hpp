// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The other side of a virtqueue, for tests: what a device of either layout can be asked to do. A model walks the shared
// ring by its addresses, as virtio 1.2 says, and can lie. It knows nothing of the driver's headers, so that it is a
// second opinion on the layout and on the byte order.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "allocator/pool/pool.hpp"

namespace bounce::test {

class DeviceModel {
public:
    struct Piece {
        std::byte* hva;
        std::uint64_t addr;
        std::uint32_t len;
        bool write;
    };
    struct Request {
        std::uint16_t head = 0;       // split: the head of the chain; packed: its id
        std::uint32_t table_len = 0;  // descriptors of the indirect table, 0: direct
        std::uint64_t table_addr = 0;
        std::vector<Piece> pieces;

        [[nodiscard]] std::uint64_t bytes(bool write) const {
            std::uint64_t sum = 0;
            for (const Piece& piece : pieces) sum += piece.write == write ? piece.len : 0;
            return sum;
        }
    };

    /// Where [address, address + bytes) is in this process; nullptr: nowhere.
    using Find = std::function<std::byte*(std::uint64_t address, std::uint64_t bytes)>;
    static Find find_in(const Pool& pool) {
        return [&pool](std::uint64_t address, std::uint64_t bytes) {
            auto found = pool.to_hva(Gpa{address}, bytes);
            return found ? *found : nullptr;
        };
    }

    virtual ~DeviceModel() = default;
    DeviceModel(const DeviceModel&) = delete;
    DeviceModel& operator=(const DeviceModel&) = delete;

    /// Takes the next request; false when there is none. Throws when the ring is not what the specification says.
    virtual bool pop(Request& request) = 0;
    /// Used elements, in any number, and then the word that shows them.
    virtual void put_used(std::uint32_t id, std::uint32_t len) = 0;
    virtual void show_used() = 0;
    void complete(std::uint32_t id, std::uint32_t len) {
        put_used(id, len);
        show_used();
    }
    /// In order: one element, of the last of n requests, stands for all of them, which were popped in this order.
    virtual void complete_batch(const std::vector<Request>& requests, std::uint32_t len) = 0;
    /// How far completions have come; split: elements, packed: descriptors.
    [[nodiscard]] virtual std::uint16_t used_index() const = 0;
    /// Is a call wanted for what was used since used_index() was `before`? Pairs with the driver's arm().
    [[nodiscard]] virtual bool wants_call(std::uint16_t before) const = 0;
    /// Asks for a kick at the next request; pairs with the driver's look after it has published. Pop once more before
    /// waiting.
    virtual void arm_kicks() = 0;
    virtual void disarm_kicks() = 0;
    /// As pop(), without taking anything; comes after arm_kicks().
    [[nodiscard]] virtual bool has_request() const = 0;
    /// Garbage where the device says when it wants kicks.
    virtual void set_events(std::uint32_t garbage) = 0;
    /// Writes over everything that the driver does not have to read.
    virtual void scribble(std::uint32_t pattern) = 0;
    void scribble_table(std::uint64_t addr, std::uint32_t n, std::uint32_t pattern) {
        scribble_words(hva(addr, 16 * std::uint64_t{n}), 4 * std::size_t{n}, pattern);
    }

    template <class T>
    static T load(const std::byte* at, std::memory_order order = std::memory_order_relaxed) {
        T& place = *reinterpret_cast<T*>(const_cast<std::byte*>(at));
        return host(std::atomic_ref<T>(place).load(order));
    }
    template <class T>
    static void store(std::byte* at, T value, std::memory_order order = std::memory_order_relaxed) {
        std::atomic_ref<T>(*reinterpret_cast<T*>(at)).store(host(value), order);
    }

protected:
    explicit DeviceModel(Find find) : find_(std::move(find)) {}

    std::byte* hva(std::uint64_t addr, std::uint64_t bytes) const {
        std::byte* const found = find_(addr, bytes);
        if (found == nullptr) throw std::runtime_error("an address outside the pool: " + std::to_string(addr));
        return found;
    }
    static void scribble_words(std::byte* at, std::size_t n, std::uint32_t pattern) {
        for (std::size_t i = 0; i < n; ++i) store<std::uint32_t>(at + 4 * i, pattern);
    }
    /// One segment of a request.
    void take_piece(const std::byte* desc, bool write, Request& request) const {
        const auto addr = load<std::uint64_t>(desc);
        const auto len = load<std::uint32_t>(desc + 8);
        if (!write && !request.pieces.empty() && request.pieces.back().write)
            throw std::runtime_error("a readable descriptor after a writable one");
        if (len == 0) throw std::runtime_error("a descriptor of 0 bytes");
        request.pieces.push_back({hva(addr, len), addr, len, write});
    }
    /// The table that an indirect descriptor names.
    std::byte* take_table(const std::byte* desc, Request& request) const {
        request.table_addr = load<std::uint64_t>(desc);
        const auto len = load<std::uint32_t>(desc + 8);
        if (len == 0 || len % 16 != 0) throw std::runtime_error("an indirect table of so many bytes");
        request.table_len = len / 16;
        return hva(request.table_addr, len);
    }

private:
    template <class T>
    static T host(T value) {
        if constexpr (std::endian::native == std::endian::little) return value;
        T swapped = 0;
        for (std::size_t i = 0; i < sizeof(T); ++i) {
            swapped = static_cast<T>(swapped << 8 | ((value >> (8 * i)) & 0xff));
        }
        return swapped;
    }

    Find find_;
};

}  // namespace bounce::test
