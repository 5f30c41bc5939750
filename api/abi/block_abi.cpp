// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Coherent memory and born-shared buffers. No check for a forked child here: the pool makes it in every operation.
#include "api/abi/handles.hpp"
#include "api/dma/call_site.hpp"

using namespace bounce;
using namespace bounce::abi;

namespace {

int alloc(bounce_device* device, SlotKind kind, size_t bytes, size_t align, bounce_block* block, const void* caller,
          const char* function) noexcept {
    if (device == nullptr) return negative(null_argument("device"));
    if (block == nullptr) return negative(null_argument("block"));
    const CallSiteScope site(caller, function);
    return status(device->device->alloc_block(kind, bytes, align, *block));
}

int free(bounce_device* device, SlotKind kind, bounce_block* block, const void* caller, const char* function) noexcept {
    if (device == nullptr) return negative(null_argument("device"));
    if (block == nullptr) return negative(null_argument("block"));
    const CallSiteScope site(caller, function);
    return status(device->device->free_block(kind, *block));
}

int alloc(bounce_device* device, SlotKind kind, size_t bytes, size_t align, bounce_block* blocks, size_t n) noexcept {
    if (device == nullptr) return negative(null_argument("device"));
    if (blocks == nullptr) return negative(null_argument("blocks"));
    return status(device->device->alloc_blocks(kind, {.bytes = bytes, .align = align}, {blocks, n}));
}

int free(bounce_device* device, SlotKind kind, bounce_block* blocks, size_t n) noexcept {
    if (device == nullptr) return negative(null_argument("device"));
    if (blocks == nullptr) return negative(null_argument("blocks"));
    return status(device->device->free_blocks(kind, {blocks, n}));
}

}  // namespace

int bounce_coherent_alloc(bounce_device* device, size_t bytes, size_t align, bounce_block* block) {
    return alloc(device, SlotKind::kCoherent, bytes, align, block, __builtin_return_address(0),
                 "bounce_coherent_alloc");
}

int bounce_coherent_free(bounce_device* device, bounce_block* block) {
    return free(device, SlotKind::kCoherent, block, __builtin_return_address(0), "bounce_coherent_free");
}

int bounce_buffer_alloc(bounce_device* device, size_t bytes, size_t align, bounce_block* block) {
    return alloc(device, SlotKind::kBuffer, bytes, align, block, __builtin_return_address(0), "bounce_buffer_alloc");
}

int bounce_buffer_free(bounce_device* device, bounce_block* block) {
    return free(device, SlotKind::kBuffer, block, __builtin_return_address(0), "bounce_buffer_free");
}

int bounce_coherent_alloc_bulk(bounce_device* device, size_t bytes, size_t align, bounce_block* blocks, size_t n) {
    return alloc(device, SlotKind::kCoherent, bytes, align, blocks, n);
}

int bounce_coherent_free_bulk(bounce_device* device, bounce_block* blocks, size_t n) {
    return free(device, SlotKind::kCoherent, blocks, n);
}

int bounce_buffer_alloc_bulk(bounce_device* device, size_t bytes, size_t align, bounce_block* blocks, size_t n) {
    return alloc(device, SlotKind::kBuffer, bytes, align, blocks, n);
}

int bounce_buffer_free_bulk(bounce_device* device, bounce_block* blocks, size_t n) {
    return free(device, SlotKind::kBuffer, blocks, n);
}
