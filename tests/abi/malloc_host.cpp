// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A host in C++ with libbounce-jemalloc: new, malloc and containers go where they went before.
#include <dlfcn.h>

#include <atomic>
#include <bounce/jemalloc.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t kBytes = 8u << 20;

int check_owner(const char* name) {
    Dl_info info{};
    void* const function = ::dlsym(RTLD_DEFAULT, name);
    const bool good =
        function != nullptr && ::dladdr(function, &info) != 0 && std::strstr(info.dli_fname, "jemalloc") == nullptr;
    if (!good) std::fprintf(stderr, "%s is that of %s\n", name, function == nullptr ? "nobody" : info.dli_fname);
    return good ? 0 : 1;
}

}  // namespace

int main() {
    auto pool = bounce::Pool::create({.region = {.bytes = kBytes}});
    if (!pool) return std::fprintf(stderr, "%s\n", bounce::Error::message()), 1;
    auto device = pool->create_device();
    if (!device) return 1;
    auto heap = bounce::Heap::create(*pool, *device, {});
    if (!heap) return std::fprintf(stderr, "%s\n", bounce_jemalloc_last_error()), 1;
    const auto region = pool->region(0);
    if (!region) return 1;
    const auto inside = [&](const void* ptr) {
        return reinterpret_cast<std::uintptr_t>(ptr) - reinterpret_cast<std::uintptr_t>(region->hva) < kBytes;
    };
    // A program in C++ has no malloc of its own, but it may have a new (in a shared library it is looked for by name).
    int failures = check_owner("malloc") + check_owner("free") + check_owner("_Znwm") + check_owner("_ZdlPv");
    std::atomic<int> strays{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            std::map<std::size_t, std::string> private_map;
            for (std::size_t i = 0; i < 3000; ++i) {
                auto memory = heap->alloc(1 + i % 700);
                if (!memory || !inside(memory->get())) strays.fetch_add(1);
                std::string& text = private_map[i];
                text.assign(30 + i % 500, 'x');
                if (inside(text.data()) || inside(&text)) strays.fetch_add(1);
            }
        });
    }
    for (auto& thread : threads) thread.join();
    failures += strays.load();
    if (failures != 0) std::fprintf(stderr, "%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
