// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A pool with devices with records over memory that is mapped twice, so that what one pool saved another restores, in
// one process: at other addresses, as it would be in another one.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "api/dma/callbacks.hpp"
#include "api/dma/device.hpp"
#include "api/dma/records.hpp"
#include "api/dma/save.hpp"

namespace bounce::test {

class SharedFile {
public:
    explicit SharedFile(std::uint64_t bytes) : fd_(::memfd_create("saved", MFD_CLOEXEC)), bytes_(bytes) {
        if (fd_ < 0 || ::ftruncate(fd_, static_cast<off_t>(bytes)) != 0) throw std::runtime_error("memfd");
    }
    ~SharedFile() { ::close(fd_); }
    SharedFile(const SharedFile&) = delete;
    SharedFile& operator=(const SharedFile&) = delete;
    [[nodiscard]] int fd() const { return fd_; }
    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

private:
    int fd_;
    std::uint64_t bytes_;
};

class PoolOver {
public:
    PoolOver(const SharedFile& file, std::uint64_t base) : bytes_(file.bytes()) {
        hva_ = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd(), 0);
        if (hva_ == MAP_FAILED) throw std::runtime_error("mmap");
        RegionConfig region;
        region.bytes = bytes_;
        region.base_gpa = Gpa{base};
        region.imported_hva = hva_;
        region.imported_fd = file.fd();
        auto made = Pool::create(region);
        if (!made) throw std::runtime_error(last_error());
        pool = std::move(*made);
        auto book = Records::create(*pool);
        if (!book) throw std::runtime_error(last_error());
        records = std::move(*book);
    }
    ~PoolOver() {
        records.reset();
        pool.reset();
        ::munmap(hva_, bytes_);
    }
    PoolOver(const PoolOver&) = delete;
    PoolOver& operator=(const PoolOver&) = delete;

    std::unique_ptr<Device> device(const char* name) {
        DeviceConfig config;
        config.name = name;
        config.records = records.get();
        auto made = Device::create(*pool, callbacks, config);
        if (!made) throw std::runtime_error(last_error());
        return std::move(*made);
    }
    std::vector<std::byte> saved() const {
        const auto bytes = save(*pool, records.get(), {});
        if (!bytes) throw std::runtime_error(last_error());
        std::vector<std::byte> form(*bytes);
        if (!save(*pool, records.get(), form)) throw std::runtime_error(last_error());
        return form;
    }

    std::string log;
    Callbacks callbacks{[](void* user, int, const char* line) { static_cast<std::string*>(user)->append(line); }, &log,
                        nullptr, nullptr};
    std::unique_ptr<Pool> pool;
    std::unique_ptr<Records> records;

private:
    void* hva_;
    std::uint64_t bytes_;
};

/// For fuzzers and forged forms: whatever the form says, a pool that takes it stays whole, and one that refuses it has
/// not changed. Returns whether it was taken; throws when something is wrong.
inline bool try_restore(const SharedFile& file, std::uint64_t base, std::span<const std::byte> form) {
    PoolOver over(file, base);
    const auto require = [](bool good, const char* what) {
        if (!good) throw std::runtime_error(what);
    };
    const auto fits_whole = [&] {
        const auto slot = over.pool->alloc({.bytes = file.bytes(), .align = 4096, .kind = SlotKind::kBuffer});
        if (!slot) return false;
        return static_cast<bool>(over.pool->free(*slot, SlotKind::kBuffer));
    };
    auto restored = Restore::create(*over.pool, over.callbacks, form);
    if (!restored) {
        require(over.pool->users() == 0 && over.pool->stats().slots == 0 && over.pool->stats().used_bytes == 0,
                "a form that was refused has changed the pool");
        require(fits_whole(), "a form that was refused has taken pages");
        return false;
    }
    struct One {
        std::string device;
        std::uint64_t addr, bytes;
        std::uint32_t kind;
    };
    std::vector<One> all;
    const std::uint64_t n = (*restored)->visit(
        [](void* user, const bounce_saved* saved) {
            static_cast<std::vector<One>*>(user)->push_back({saved->device, saved->addr, saved->bytes, saved->kind});
        },
        &all);
    require(n == all.size() && over.pool->stats().slots == n, "not each record is a slot");
    // Some are claimed and ended, the others quarantined and released.
    std::vector<std::unique_ptr<Device>> devices;
    for (std::size_t i = 0; i < all.size(); i += 2) {
        if (all[i].bytes > file.bytes()) throw std::runtime_error("more bytes than there are");
        devices.push_back(over.device(all[i].device.c_str()));
        std::vector<char> buffer(all[i].bytes);
        bounce_mapping mapping;
        bounce_block block;
        Device& device = *devices.back();
        if (all[i].kind == 1) {
            require(bool((*restored)->claim(device, Gpa{all[i].addr}, buffer.data(), buffer.size(), mapping)),
                    last_error());
            require(bool(device.unmap(mapping, SIZE_MAX)), last_error());
        } else {
            require(bool((*restored)->claim(device, Gpa{all[i].addr}, block)), last_error());
            require(bool(device.free_block(static_cast<SlotKind>(all[i].kind), block)), last_error());
        }
        devices.pop_back();
        if (i > 64) break;
    }
    const std::uint64_t left = (*restored)->finish();
    const auto released = (*restored)->release(nullptr);
    require(released && *released == left, "not all of the quarantine came out of it");
    require(over.pool->stats().slots == 0, "slots are left");
    require(fits_whole(), "pages are left");
    return true;
}

}  // namespace bounce::test
