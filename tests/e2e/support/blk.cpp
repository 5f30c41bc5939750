// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tests/e2e/support/blk.hpp"

#include <endian.h>
#include <sched.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>

namespace bounce::e2e {

void PoolClose::operator()(bounce_pool* pool) const {
    if (const int code = bounce_pool_destroy(pool); code != 0)
        std::fprintf(stderr, "a pool was not destroyed: %s\n", bounce_last_error());
}

void FrontendClose::operator()(bounce_frontend* frontend) const {
    if (const int code = bounce_frontend_close(frontend); code != 0)
        std::fprintf(stderr, "a front-end was not closed well: %s\n", bounce_last_error());
}

PoolHandle make_pool(std::uint64_t bytes, std::uint64_t base_gpa) {
    bounce_pool_options options{};
    options.size = sizeof options;
    options.name = "e2e";
    options.region.size = sizeof options.region;
    options.region.bytes = bytes;
    options.region.base_gpa = base_gpa;
    options.log = [](void*, int, const char* line) { std::fprintf(stderr, "log: %s\n", line); };
    options.violation = [](void*, const bounce_violation* violation) {
        std::fprintf(stderr, "violation by %s: %s\n", violation->device, violation->text);
    };
    bounce_pool* pool = nullptr;
    if (bounce_pool_create(&options, &pool) != 0) throw std::runtime_error(bounce_last_error());
    return PoolHandle(pool);
}

bounce_pool_stats stats_of(bounce_pool* pool) {
    bounce_pool_stats stats{};
    if (bounce_pool_get_stats(pool, &stats) != 0) throw std::runtime_error(bounce_last_error());
    return stats;
}

bounce_frontend_options blk_options(const std::string& socket, std::uint32_t queues, bool calls) {
    bounce_frontend_options options{};
    options.size = sizeof options;
    options.socket_path = socket.c_str();
    options.name = "blk";
    options.wanted_features = 1U << 9;  // FLUSH
    options.queues = queues;
    if (calls) options.flags = BOUNCE_FRONTEND_CALLS;
    return options;
}

FrontendHandle connect_blk(bounce_pool* pool, const std::string& socket, std::uint32_t queues, bool calls) {
    const bounce_frontend_options options = blk_options(socket, queues, calls);
    bounce_frontend* frontend = nullptr;
    if (bounce_frontend_connect(pool, &options, &frontend) != 0) throw std::runtime_error(bounce_last_error());
    return FrontendHandle(frontend);
}

BlkRequest blk_request(BlkType type, std::uint64_t byte_offset, void* data, std::size_t bytes) {
    BlkRequest request;
    request.type = type;
    request.sector = byte_offset / kSectorBytes;
    if (bytes != 0) request.data.push_back({data, bytes, 0, 0});
    return request;
}

int BlkQueue::add(BlkRequest& request) {
    const std::uint32_t type = htole32(static_cast<std::uint32_t>(request.type));
    const std::uint64_t sector = htole64(request.sector);
    request.header.fill(0);
    std::memcpy(request.header.data(), &type, sizeof type);
    std::memcpy(request.header.data() + 8, &sector, sizeof sector);
    request.status = kBlkPending;
    const bool reads = request.type == BlkType::kRead;
    std::vector<bounce_sg> sg;
    sg.push_back({request.header.data(), request.header.size(), 0, 0});
    sg.insert(sg.end(), request.data.begin(), request.data.end());
    sg.push_back({&request.status, 1, 0, 0});
    const std::size_t n_in = 1 + (reads ? request.data.size() : 0);
    const int code = bounce_ring_add(ring_, sg.data(), sg.size() - n_in, n_in, &request);
    if (code == 0) {
        request.pending = true;
        ++outstanding_;
    }
    return code;
}

int BlkQueue::settle(const bounce_completion* completions, int n) {
    for (int i = 0; i < n; ++i) {
        auto* request = static_cast<BlkRequest*>(completions[i].cookie);
        if (!request->pending) throw std::runtime_error("a request came back twice");
        request->pending = false;
        request->result = completions[i].status;
        request->written = completions[i].written;
        --outstanding_;
    }
    return n;
}

int BlkQueue::collect() {
    bounce_completion completions[64];
    return settle(completions, bounce_ring_collect(ring_, completions, 64));
}

int BlkQueue::abort_all() {
    bounce_completion completions[7];  // few, so that it takes several calls
    int all = 0;
    for (;;) {
        const int n = bounce_ring_abort(ring_, completions, 7);
        if (n <= 0) return n < 0 ? n : all;
        all += settle(completions, n);
    }
}

int BlkQueue::run(BlkRequest& request) {
    if (const int code = add(request); code != 0) return code;
    if (const int code = submit(); code != 0) return code;
    while (request.pending) {
        const int n = collect();
        if (n < 0) return n;
        if (n == 0) {
            if (const int code = bounce_frontend_check(frontend_); code != 0) {
                if (collect() <= 0) return code;
            }
            ::sched_yield();
        }
    }
    return request.result;
}

}  // namespace bounce::e2e
