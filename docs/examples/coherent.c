/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 * Coherent memory, a pool of command blocks, and payload that is born shared: docs/coherent.md. */
#include <bounce/dma_pool.h>
#include <stdio.h>
#include <string.h>

struct command {
    uint64_t data_addr;
    uint32_t data_bytes;
    uint32_t opcode;
};

static int failed(const char *what) {
    fprintf(stderr, "%s: %s\n", what, bounce_last_error());
    return 1;
}

int main(void) {
    bounce_pool_options options = {.size = sizeof options};
    bounce_region_options nic_region = {.size = sizeof nic_region};
    bounce_device_options nic_options = {.size = sizeof nic_options, .name = "nic"};
    bounce_dma_pool_options of_commands = {.size = sizeof of_commands, .name = "commands"};
    bounce_pool *pool = NULL;
    bounce_device *nic = NULL;
    bounce_dma_pool *commands = NULL;
    bounce_block status, payload;
    bounce_mapping mapping;
    struct command *command = NULL;
    void *block = NULL;
    uint64_t command_addr = 0;

    options.region.size = sizeof options.region;
    options.region.bytes = 4 << 20;
    options.region.base_gpa = 1ull << 32;
    if (bounce_pool_create(&options, &pool) < 0) return failed("pool");

    /* A region that only the network card sees, and the card, which sees nothing else. */
    nic_region.bytes = 2 << 20;
    nic_region.base_gpa = 2ull << 32;
    nic_region.flags = BOUNCE_REGION_RESTRICTED;
    if (bounce_pool_add_region(pool, &nic_region) < 0) return failed("region");
    nic_options.regions = 1u << 1;
    nic_options.coherent_dma_mask = (4ull << 32) - 1;
    if (bounce_device_create(pool, &nic_options, &nic) < 0) return failed("device");

    /* Both sides see it at once; zeroed. */
    if (bounce_coherent_alloc(nic, 64, 0, &status) < 0) return failed("coherent");

    /* Many small ones: packed, and none crosses 4 KiB. */
    of_commands.block_bytes = sizeof *command;
    of_commands.align = 16;
    of_commands.boundary = 4096;
    if (bounce_dma_pool_create(nic, &of_commands, &commands) < 0) return failed("dma_pool");
    if (bounce_dma_pool_alloc(commands, BOUNCE_DMA_POOL_ZERO, &block, &command_addr) < 0) return failed("command");
    command = block;

    /* Payload made where the device can see it: mapped without a copy, as often as one likes. */
    if (bounce_buffer_alloc(nic, 1500, 0, &payload) < 0) return failed("buffer");
    memset(payload.ptr, 'p', payload.bytes);
    if (bounce_device_map(nic, payload.ptr, payload.bytes, BOUNCE_TO_DEVICE, BOUNCE_MAP_SHARED, &mapping) < 0)
        return failed("map");
    command->data_addr = mapping.addr;
    command->data_bytes = (uint32_t)mapping.bytes;
    printf("status at 0x%llx, command at 0x%llx, payload at 0x%llx\n", (unsigned long long)status.addr,
           (unsigned long long)command_addr, (unsigned long long)mapping.addr);

    if (bounce_device_unmap(nic, &mapping, 0) < 0) return failed("unmap");
    if (bounce_buffer_free(nic, &payload) < 0) return failed("free");
    if (bounce_dma_pool_free(commands, block, command_addr) < 0) return failed("free");
    if (bounce_dma_pool_destroy(commands) < 0) return failed("dma_pool");
    if (bounce_coherent_free(nic, &status) < 0) return failed("free");
    if (bounce_device_destroy(nic) < 0) return failed("device");
    return bounce_pool_destroy(pool) < 0 ? failed("pool") : 0;
}
