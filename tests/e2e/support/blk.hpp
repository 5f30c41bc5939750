// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A small virtio-blk driver on the public C ABI alone (virtio 1.2, section 5.2).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bounce/bounce.h"

namespace bounce::e2e {

struct PoolClose {
    void operator()(bounce_pool* pool) const;
};
struct FrontendClose {
    void operator()(bounce_frontend* frontend) const;
};
using PoolHandle = std::unique_ptr<bounce_pool, PoolClose>;
using FrontendHandle = std::unique_ptr<bounce_frontend, FrontendClose>;

inline constexpr std::uint64_t kBaseGpa = std::uint64_t{1} << 32;

PoolHandle make_pool(std::uint64_t bytes, std::uint64_t base_gpa = kBaseGpa);
bounce_pool_stats stats_of(bounce_pool* pool);

bounce_frontend_options blk_options(const std::string& socket, std::uint32_t queues, bool calls);
/// Throws the library's sentence when it cannot connect.
FrontendHandle connect_blk(bounce_pool* pool, const std::string& socket, std::uint32_t queues, bool calls);

inline constexpr std::uint32_t kSectorBytes = 512;
enum class BlkType : std::uint32_t { kRead = 0, kWrite = 1, kFlush = 4 };
inline constexpr unsigned char kBlkOk = 0;
inline constexpr unsigned char kBlkPending = 0xff;

/// One request; must stay where it is until it has come back.
struct BlkRequest {
    BlkType type = BlkType::kRead;
    std::uint64_t sector = 0;
    std::vector<bounce_sg> data;
    std::array<unsigned char, 16> header{};
    unsigned char status = kBlkPending;  // as the device wrote it
    bool pending = false;
    std::int32_t result = 0;  // of the completion
    std::uint32_t written = 0;

    [[nodiscard]] bool good() const { return !pending && result == 0 && status == kBlkOk; }
};

/// One queue, driven by one thread.
class BlkQueue {
public:
    BlkQueue(bounce_frontend* frontend, std::uint32_t index)
        : frontend_(frontend), ring_(bounce_frontend_ring(frontend, index)), index_(index) {}

    /// Adds without showing it to the device; what bounce_ring_add() returns.
    int add(BlkRequest& request);
    int submit() { return bounce_frontend_submit(frontend_, index_); }
    /// Collects what is there: how many came back, or -errno.
    int collect();
    /// Takes back everything, after a disconnect: how many.
    int abort_all();
    int wait(std::uint32_t timeout_ms) { return bounce_frontend_wait(frontend_, index_, timeout_ms); }
    /// Submits one request and polls until it is back or the device is gone: 0 or -errno.
    int run(BlkRequest& request);

    [[nodiscard]] unsigned outstanding() const { return outstanding_; }
    [[nodiscard]] bounce_ring* ring() const { return ring_; }

private:
    int settle(const bounce_completion* completions, int n);

    bounce_frontend* frontend_;
    bounce_ring* ring_;
    std::uint32_t index_;
    unsigned outstanding_ = 0;
};

BlkRequest blk_request(BlkType type, std::uint64_t byte_offset, void* data, std::size_t bytes);

}  // namespace bounce::e2e
