// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The emulated platforms. Nothing is thrown across the ABI: what runs out of memory is -ENOMEM.
#include <sys/random.h>

#include "allocator/base/bits.hpp"
#include "api/abi/handles.hpp"
#include "api/abi/options.hpp"
#include "api/platform/device_end.hpp"
#include "api/platform/emulator.hpp"
#include "bounce/emulator.h"

using namespace bounce;
using namespace bounce::abi;

struct bounce_emulator {
    emulated::Emulator inner;
};

struct bounce_emulated_device {
    emulated::DeviceEnd inner;
};

namespace {

constexpr std::size_t kOptionsFirst = offsetof(bounce_emulator_options, violation_user) + sizeof(void*);
constexpr std::size_t kFailureFirst = offsetof(bounce_failure, bytes) + sizeof(std::uint64_t);
constexpr std::uint32_t kDefaultTimeout = 5000;
constexpr bounce_audience kNobody{BOUNCE_AUDIENCE_EVERYONE, 0, 0};

template <class What>
int guarded(What what) noexcept {
    try {
        return what();
    } catch (const std::bad_alloc&) {
        return negative(fail(ENOMEM, "no memory for the emulator"));
    }
}

Result<void> check_audience(const bounce_audience& audience, const char* what) noexcept {
    if (audience.kind > BOUNCE_AUDIENCE_PROCESS)
        return fail_text(EINVAL, "%s.kind is %u, expected 0 (everyone), 1 (domain) or 2 (process)", what,
                         audience.kind);
    if (audience.reserved != 0 || (audience.kind == BOUNCE_AUDIENCE_EVERYONE && audience.id != 0))
        return fail_text(EINVAL, "%s.reserved is %u and id %llu of kind %u, where 0 is expected", what,
                         audience.reserved, static_cast<unsigned long long>(audience.id), audience.kind);
    return {};
}

}  // namespace

int bounce_emulator_create(const bounce_emulator_options* given, bounce_emulator** emulator) {
    if (emulator == nullptr) return negative(null_argument("emulator"));
    *emulator = nullptr;
    bounce_emulator_options options{};
    if (const auto read = read_options(given, kOptionsFirst, "options", options); !read) return status(read);
    const emulated::Model* const model = emulated::find_model(options.model);
    if (model == nullptr)
        return negative(fail(EINVAL, "options.model is %llu, expected 0 to %llu (enum bounce_emulated_model)",
                             options.model, BOUNCE_EMULATED_CCA));
    const std::uint32_t granule = options.granule != 0 ? options.granule : model->granule;
    if (granule != 4096 && granule != 16384 && granule != 65536)
        return negative(fail(EINVAL, "options.granule is %llu, expected 4096, 16384 or 65536", granule));
    std::uint64_t key = 0;
    if (::getrandom(&key, sizeof key, 0) != static_cast<ssize_t>(sizeof key))
        return negative(fail(EIO, "the kernel gives no random key"));
    *emulator = new (std::nothrow)
        bounce_emulator{emulated::Emulator(*model, granule, key, options.violation, options.violation_user)};
    return *emulator != nullptr ? 0 : negative(fail(ENOMEM, "no memory for an emulator"));
}

int bounce_emulator_destroy(bounce_emulator* emulator) {
    if (emulator == nullptr) return 0;
    if (const std::uint64_t bytes = emulator->inner.machine().used_bytes(); bytes != 0)
        return negative(fail(EBUSY, "%llu bytes are shared, expected none: destroy the pools first", bytes));
    delete emulator;
    return 0;
}

int bounce_emulator_platform(bounce_emulator* emulator, const bounce_audience* audience, bounce_platform* platform) {
    if (emulator == nullptr) return negative(null_argument("emulator"));
    if (platform == nullptr) return negative(null_argument("platform"));
    const bounce_audience of = audience != nullptr ? *audience : kNobody;
    if (const auto good = check_audience(of, "audience"); !good) return status(good);
    return guarded([&] { return status(emulator->inner.machine().platform(of, *platform)); });
}

int bounce_emulator_add_memory(bounce_emulator* emulator, uint64_t gpa, void* hva, uint64_t bytes) {
    if (emulator == nullptr) return negative(null_argument("emulator"));
    return guarded([&] { return status(emulator->inner.machine().add_memory(gpa, hva, bytes)); });
}

int bounce_emulator_remove_memory(bounce_emulator* emulator, uint64_t gpa) {
    if (emulator == nullptr) return negative(null_argument("emulator"));
    return status(emulator->inner.machine().remove_memory(gpa));
}

int bounce_emulator_fail(bounce_emulator* emulator, const bounce_failure* given) {
    if (emulator == nullptr) return negative(null_argument("emulator"));
    if (given == nullptr) {
        emulator->inner.machine().fail_no_more();
        return 0;
    }
    bounce_failure failure{};
    if (const auto read = read_options(given, kFailureFirst, "failure", failure); !read) return status(read);
    if (failure.conversion > BOUNCE_IOMMU_UNMAP)
        return negative(
            fail(EINVAL, "failure.conversion is %llu, expected 0 to 3 (enum bounce_conversion)", failure.conversion));
    if (const auto good = known_flags(failure.flags, BOUNCE_FAIL_HALFWAY, "failure.flags"); !good) return status(good);
    if (failure.error < 0 || failure.error > 4095)
        return negative(fail(EINVAL, "failure.error is %lld, expected a positive errno value or 0",
                             static_cast<std::uint64_t>(failure.error)));
    emulator->inner.machine().fail_on_demand(failure);
    return 0;
}

int bounce_emulator_get_stats(bounce_emulator* emulator, bounce_emulator_stats* stats) {
    if (emulator == nullptr) return negative(null_argument("emulator"));
    if (stats == nullptr) return negative(null_argument("stats"));
    *stats = emulator->inner.machine().stats();
    return 0;
}

int bounce_emulator_attach(bounce_emulator* emulator, int socket, const bounce_audience* who) {
    if (emulator == nullptr) return negative(null_argument("emulator"));
    const bounce_audience of = who != nullptr ? *who : kNobody;
    if (const auto good = check_audience(of, "who"); !good) return status(good);
    return guarded([&] {
        const auto number = emulator->inner.attach(socket, of);
        return number ? static_cast<int>(*number) : negative(number.error());
    });
}

int bounce_emulator_serve(bounce_emulator* emulator, uint32_t timeout_ms) {
    if (emulator == nullptr) return negative(null_argument("emulator"));
    return guarded([&] {
        const auto answered = emulator->inner.serve(timeout_ms);
        return answered ? static_cast<int>(*answered) : negative(answered.error());
    });
}

int bounce_emulated_device_open(int socket, uint32_t timeout_ms, bounce_emulated_device** device) {
    if (device == nullptr) return negative(null_argument("device"));
    *device = nullptr;
    if (socket < 0) return negative(fail(EBADF, "the socket is %lld", static_cast<std::uint64_t>(socket)));
    *device = new (std::nothrow)
        bounce_emulated_device{emulated::DeviceEnd(socket, timeout_ms != 0 ? timeout_ms : kDefaultTimeout)};
    return *device != nullptr ? 0 : negative(fail(ENOMEM, "no memory for an emulated device"));
}

int bounce_emulated_device_close(bounce_emulated_device* device) {
    delete device;
    return 0;
}

int bounce_emulated_device_read(bounce_emulated_device* device, uint64_t address, void* to, size_t bytes) {
    if (device == nullptr) return negative(null_argument("device"));
    if (to == nullptr) return negative(null_argument("to"));
    return guarded([&] { return status(device->inner.read(address, static_cast<std::byte*>(to), bytes)); });
}

int bounce_emulated_device_write(bounce_emulated_device* device, uint64_t address, const void* from, size_t bytes) {
    if (device == nullptr) return negative(null_argument("device"));
    if (from == nullptr) return negative(null_argument("from"));
    return guarded([&] { return status(device->inner.write(address, static_cast<const std::byte*>(from), bytes)); });
}

int bounce_emulated_device_pointer(bounce_emulated_device* device, uint64_t address, size_t bytes, void** pointer) {
    if (device == nullptr) return negative(null_argument("device"));
    if (pointer == nullptr) return negative(null_argument("pointer"));
    *pointer = nullptr;
    return guarded([&] {
        const auto found = device->inner.pointer(address, bytes);
        if (!found) return negative(found.error());
        *pointer = *found;
        return 0;
    });
}
