// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A VMM (or paravisor) that tells the library how memory is shared on its machine. Here the machine is one where shared
// pages are those with bit 47 set, and its hypercall only keeps the books; a real one goes where it is counted.
#include <bounce/platform.hpp>

#include <cstdio>
#include <cstring>

namespace {

struct Machine {
    std::uint64_t shared_bytes = 0;
    int share(const bounce_range& range) {
        std::printf("share   %4llu KiB at GPA 0x%llx\n", static_cast<unsigned long long>(range.bytes / 1024),
                    static_cast<unsigned long long>(range.gpa));
        shared_bytes += range.bytes;  // the hypercall; -errno when it fails
        return 0;
    }
    int unshare(const bounce_range& range) {
        std::printf("unshare %4llu KiB at GPA 0x%llx\n", static_cast<unsigned long long>(range.bytes / 1024),
                    static_cast<unsigned long long>(range.gpa));
        shared_bytes -= range.bytes;
        return 0;
    }
};

int failed(const char* what) {
    std::fprintf(stderr, "platform: %s: %s\n", what, bounce_last_error());
    return 1;
}

int run(Machine& machine) {
    bounce::PlatformOptions options;
    options.kind = BOUNCE_PLATFORM_CCA;
    options.flags = BOUNCE_PLATFORM_NEEDS_ACCESS_PLATFORM;
    options.encoding = BOUNCE_ENCODING_SHARED_BIT;
    options.encoding_value = std::uint64_t{1} << 47;
    options.share = [&](const bounce_range& range, const bounce_audience&) { return machine.share(range); };
    options.unshare = [&](const bounce_range& range, const bounce_audience&) { return machine.unshare(range); };
    const auto platform = bounce::Platform::create(std::move(options));
    if (!platform) return failed("platform");

    bounce::PoolOptions of_pool;
    of_pool.region = {.bytes = std::uint64_t{4} << 20, .base_gpa = 0x1'0000'0000};
    auto pool = bounce::create_pool(*platform, std::move(of_pool));
    if (!pool) return failed("pool");
    auto device = pool->create_device({});
    if (!device) return failed("device");
    char text[] = "hello, device";
    auto mapping = device->map_to_device(std::as_bytes(std::span(text)));
    if (!mapping) return failed("map");
    std::printf("the device finds it at 0x%llx\n", static_cast<unsigned long long>(mapping->addr()));
    return (mapping->addr() >> 47) == 1 && machine.shared_bytes == std::uint64_t{4} << 20 ? 0 : 1;
}

}  // namespace

int main() {
    Machine machine;
    const int status = run(machine);
    // The pool is gone, so everything is private again.
    return status != 0 || machine.shared_bytes != 0 ? 1 : 0;
}
