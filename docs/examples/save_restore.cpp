// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A request that is in flight while its process is replaced. The old one is a child here, and this is the host, the
// device and the new one.
#include <bounce/bounce.hpp>
#include <bounce/save.hpp>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <optional>

namespace {

constexpr std::size_t kBytes = 4u << 20;
constexpr std::uint64_t kBase = 0x1'0000'0000;

struct Handover {  // from the old process to the new one
    std::uint64_t addr;
    std::size_t form_bytes;
    std::array<std::byte, 65536> form;
};

std::optional<bounce::Pool> pool_over(int memory) {
    void* hva = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (hva == MAP_FAILED) return {};
    auto pool = bounce::Pool::create({.region = {.bytes = kBytes, .base_gpa = kBase, .hva = hva, .fd = memory}});
    if (!pool) return {};
    return *std::move(pool);
}

int old_process(int memory, Handover& handover) {
    auto pool = pool_over(memory);
    if (!pool) return 1;
    auto disk = pool->create_device({.name = "disk", .flags = BOUNCE_DEVICE_RECORDS});
    static char answer[512];
    if (!disk) return 1;
    auto mapping = disk->map(answer, sizeof answer, bounce::Direction::kFromDevice);
    if (!mapping) return 1;
    handover.addr = mapping->addr();
    auto saved = bounce::save(*pool, handover.form);
    if (!saved) return 1;
    handover.form_bytes = *saved;
    _exit(0);  // with the request in flight
}

int failed(const char* what) {
    return std::fprintf(stderr, "save_restore: %s: %s\n", what, bounce_last_error()), 1;
}

}  // namespace

int main() {
    const int memory = memfd_create("guest", MFD_CLOEXEC);
    void* shared = mmap(nullptr, sizeof(Handover), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory < 0 || ftruncate(memory, kBytes) != 0 || shared == MAP_FAILED) return 1;
    auto& handover = *static_cast<Handover*>(shared);
    const pid_t child = fork();
    if (child == 0) _exit(old_process(memory, handover));
    int status = 0;
    if (waitpid(child, &status, 0) != child || status != 0) return failed("the old process");

    // Meanwhile the device goes on.
    if (pwrite(memory, "done", 5, static_cast<off_t>(handover.addr - kBase)) != 5) return 1;

    auto pool = pool_over(memory);
    if (!pool) return failed("pool");
    auto restore = bounce::Restore::create(*pool, std::span(handover.form).first(handover.form_bytes));
    if (!restore) return failed("restore");
    auto disk = pool->create_device({.name = "disk", .flags = BOUNCE_DEVICE_RECORDS});
    if (!disk) return failed("device");
    char answer[512] = {};
    auto mapping = restore->claim(*disk, handover.addr, std::as_writable_bytes(std::span(answer)));
    if (!mapping) return failed("claim");
    if (auto left = restore->finish(); !left || *left != 0) return failed("something was left");
    if (!mapping->unmap()) return failed("unmap");
    std::printf("the device said: %s\n", answer);
    return std::strcmp(answer, "done") == 0 ? 0 : 1;
}
