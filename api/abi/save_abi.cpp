// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/save.hpp"

#include "api/abi/handles.hpp"
#include "bounce/save.h"

using namespace bounce;
using namespace bounce::abi;

struct bounce_restore {
    explicit bounce_restore(std::unique_ptr<Restore> mine) noexcept : restore(std::move(mine)) {}
    std::unique_ptr<Restore> restore;
};

namespace {

Result<void> usable(const bounce_restore* restore) noexcept {
    if (restore == nullptr) return null_argument("restore");
    return in_owner(restore->restore->pool());
}

}  // namespace

int bounce_pool_save(bounce_pool* pool, void* form, size_t room, size_t* bytes) {
    if (bytes == nullptr) return negative(null_argument("bytes"));
    *bytes = 0;
    if (pool == nullptr) return negative(null_argument("pool"));
    if (form != nullptr && room == 0) return negative(fail(EINVAL, "room is 0, expected that of the form"));
    if (const auto owner = in_owner(*pool->pool); !owner) return status(owner);
    const Records* records = nullptr;
    {
        const std::lock_guard lock(pool->watch_lock);
        records = pool->records.get();
    }
    const std::span<std::byte> into(static_cast<std::byte*>(form), form != nullptr ? room : 0);
    const auto saved = save(*pool->pool, records, into);
    if (!saved) return negative(saved.error());
    *bytes = *saved;
    return 0;
}

int bounce_pool_restore(bounce_pool* pool, const void* form, size_t bytes, bounce_restore** restore) {
    if (restore == nullptr) return negative(null_argument("restore"));
    *restore = nullptr;
    if (pool == nullptr) return negative(null_argument("pool"));
    if (form == nullptr) return negative(null_argument("form"));
    if (const auto owner = in_owner(*pool->pool); !owner) return status(owner);
    // Its handle first: after create() the pool has changed.
    std::unique_ptr<bounce_restore> handle(new (std::nothrow) bounce_restore(nullptr));
    if (handle == nullptr) return negative(fail(ENOMEM, "no memory for a restore's handle"));
    auto made = Restore::create(*pool->pool, pool->callbacks, {static_cast<const std::byte*>(form), bytes});
    if (!made) return negative(made.error());
    handle->restore = std::move(*made);
    *restore = handle.release();
    return 0;
}

int bounce_restore_visit(bounce_restore* restore, bounce_saved_fn visit, void* user) {
    if (const auto good = usable(restore); !good) return status(good);
    if (visit == nullptr) return negative(null_argument("visit"));
    return at_most_int(restore->restore->visit(visit, user));
}

int bounce_restore_claim(bounce_restore* restore, bounce_device* device, uint64_t addr, void* buf, size_t bytes,
                         bounce_mapping* mapping) {
    if (mapping == nullptr) return negative(null_argument("mapping"));
    *mapping = bounce_mapping{};
    if (const auto good = usable(restore); !good) return status(good);
    if (device == nullptr) return negative(null_argument("device"));
    return status(restore->restore->claim(*device->device, Gpa{addr}, buf, bytes, *mapping));
}

int bounce_restore_claim_block(bounce_restore* restore, bounce_device* device, uint64_t addr, bounce_block* block) {
    if (block == nullptr) return negative(null_argument("block"));
    *block = bounce_block{};
    if (const auto good = usable(restore); !good) return status(good);
    if (device == nullptr) return negative(null_argument("device"));
    return status(restore->restore->claim(*device->device, Gpa{addr}, *block));
}

int bounce_restore_finish(bounce_restore* restore) {
    if (const auto good = usable(restore); !good) return status(good);
    return at_most_int(restore->restore->finish());
}

int bounce_restore_release(bounce_restore* restore, const char* device) {
    if (const auto good = usable(restore); !good) return status(good);
    const auto released = restore->restore->release(device);
    return released ? at_most_int(*released) : negative(released.error());
}

int bounce_restore_destroy(bounce_restore* restore) {
    if (restore == nullptr) return 0;
    if (const auto good = usable(restore); !good) return status(good);
    delete restore;
    return 0;
}
