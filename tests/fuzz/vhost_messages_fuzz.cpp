// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A back-end that answers the front-end's requests with what the fuzzer's bytes make of the right answer, and asks for
// translations of its own. The first byte says what it offers, the second what the driver does (see Setup). Then one
// byte for each request says what is done: bits 0-1: 0 the right answer, otherwise changes, each of two bytes (offset,
// value), as many as bits 2-3 say; bit 4: cut off after so many bytes (another byte), and the end of the connection;
// bit 5: more bytes than there should be; bit 6: descriptors come with it; bit 7: no answer, but the end of the
// connection. Where addresses are translated another byte, and what it needs, says what the back-end asks for behind it
// (see Liar::ask()). After the last byte all answers are right.
//
// Found are: a call that succeeds though an answer to it was no answer to it, a translation of what is not lent,
// descriptors that stay open, and anything of the pool that is not given back.
#include <bounce/bounce.h>
#include <bounce/iotlb.h>
#include <bounce/virtio.h>

#include <cerrno>
#include <optional>
#include <span>
#include <string>

#include "tests/fuzz/fuzz_target.hpp"
#include "tests/fuzz/vhost_liar.hpp"
#include "tests/support/temp_folder.hpp"

namespace {

using namespace bounce::test;

/// What a driver does with a front-end, from the connection to its end.
class Driver {
public:
    Driver(const Setup& setup, bounce_pool* pool, const char* path, Liar& liar)
        : setup_(setup), pool_(pool), path_(path), liar_(liar) {}

    void drive() {
        if (setup_.wrong) misuse();
        bounce_frontend_options other = options();
        other.required_features = ~std::uint64_t{0} >> 40 | bit(38) | bit(40);
        if (setup_.demanding) static_cast<void>(connect(other));
        other = options();
        const std::string nowhere = std::string(path_) + "x";
        other.socket_path = nowhere.c_str();
        if (setup_.lost) static_cast<void>(connect(other));
        other = options();
        other.queues = setup_.queues() + 5;
        if (setup_.many) static_cast<void>(connect(other));
        // None of these came to be, or what did is good enough.
        if (frontend_ == nullptr && !connect(options())) return;
        if (setup_.wrong) misuse_connected();
        configuration();
        translations();
        requests();
        regions();
        translations();
        one_queue();
        bounce_frontend_check(frontend_);
        bounce_frontend_disconnect(frontend_);
        abort_all();
        static_cast<void>(liar_.lied());
        if (check(bounce_frontend_reconnect(frontend_), "reconnect")) {
            translations();
            configuration();
        }
        bounce_mapping mapping{};
        bounce_device* const device = bounce_frontend_device(frontend_);
        if (setup_.holding && bounce_device_map(device, data_, sizeof data_, BOUNCE_TO_DEVICE, 0, &mapping) == 0) {
            if (bounce_frontend_close(frontend_) != -EBUSY) found("it is closed with a mapping", "close");
            bounce_device_unmap(device, &mapping, 0);
        }
        if (bounce_frontend_close(frontend_) == -EBUSY) found("it is still in use", "close");
    }

private:
    bool check(int result, const char* where) {
        if (liar_.lied() && result >= 0) found("an answer that is none was taken", where);
        return result >= 0;
    }
    bool connect(const bounce_frontend_options& options) {
        return check(bounce_frontend_connect(pool_, &options, &frontend_), "connect");
    }
    [[nodiscard]] bounce_frontend_options options() const {
        bounce_frontend_options options{};
        options.size = sizeof options;
        options.socket_path = path_;
        options.wanted_features = bit(34);
        options.queues = setup_.queues();
        options.queue_size = 4;
        options.device_type = setup_.network ? 1 : 0;
        options.flags = (setup_.polls ? 0 : std::uint32_t{BOUNCE_FRONTEND_CALLS}) |
                        (setup_.trusted ? std::uint32_t{BOUNCE_FRONTEND_TRUSTED} : 0);
        options.policy = setup_.translated ? &policy_ : nullptr;
        return options;
    }
    static void refused(int result, const char* where) {
        if (result >= 0) found("it cannot be, and was done", where);
    }
    /// Of a front-end that is there, or of none.
    void misuse() {
        bounce_frontend_options other = options();
        const std::string long_path(200, 'x');
        other.socket_path = long_path.c_str();
        refused(bounce_frontend_connect(pool_, &other, &frontend_), "a path that is too long");
        other = options();
        other.required_features = other.refused_features = bit(34);
        refused(bounce_frontend_connect(pool_, &other, &frontend_), "required and refused");
        other.required_features = bit(33) | bit(36) | bit(37) | bit(24) | bit(26) | bit(27);
        other.refused_features = 0;
        other.policy = nullptr;
        if (!setup_.translated) refused(bounce_frontend_connect(pool_, &other, &frontend_), "features that nobody has");
    }
    void misuse_connected() {
        unsigned char byte = 0;
        refused(bounce_frontend_read_config(frontend_, 0, &byte, 0), "no bytes of configuration");
        refused(bounce_frontend_write_config(frontend_, ~0U, &byte, 8), "configuration at the end of the world");
        refused(bounce_frontend_submit(frontend_, 99), "a queue that is not there");
        refused(bounce_frontend_start_queue(frontend_, 0), "start_queue of one that runs");
        refused(bounce_frontend_reconnect(frontend_), "reconnect of one that is connected");
        refused(bounce_frontend_iotlb_map(frontend_, kGpa, ~std::uint64_t{0}, 3), "iotlb_map of everything");
        refused(bounce_frontend_iotlb_map(frontend_, kGpa + kDistance, 4096, 3), "iotlb_map of what is mapped");
        refused(bounce_frontend_iotlb_unmap(frontend_, 4096, 4096), "iotlb_unmap of nothing");
        refused(bounce_frontend_iotlb_unmap(frontend_, 4096, 0), "iotlb_unmap of no bytes");
    }
    void configuration() {
        unsigned char config[8] = {};
        static_cast<void>(check(bounce_frontend_read_config(frontend_, 4, config, sizeof config), "read_config"));
        static_cast<void>(check(bounce_frontend_write_config(frontend_, 4, config, sizeof config), "write_config"));
        bounce_frontend_info info{};
        bounce_frontend_get_info(frontend_, &info);
    }
    void translations() {
        if (!setup_.translated) return;
        bounce_frontend_requests_fd(frontend_);
        static_cast<void>(check(bounce_frontend_process(frontend_), "process"));
        const std::uint64_t page = kGpa + kDistance + 4096;
        static_cast<void>(check(bounce_frontend_iotlb_unmap(frontend_, page, 8192), "iotlb_unmap"));
        static_cast<void>(check(bounce_frontend_process(frontend_), "process"));
        static_cast<void>(check(bounce_frontend_iotlb_map(frontend_, page, 4096, BOUNCE_IOTLB_READ), "iotlb_map"));
        static_cast<void>(check(bounce_frontend_process(frontend_), "process"));
        bounce_iotlb_info info{};
        bounce_frontend_get_iotlb(frontend_, &info);
    }
    void requests() {
        const std::uint32_t queue = setup_.queues() - 1;
        const bounce_sg sg{data_, sizeof data_, 0, 0};
        bounce_ring* const ring = bounce_frontend_ring(frontend_, queue);
        bounce_ring_add(ring, &sg, 1, 0, nullptr);
        bounce_frontend_submit(frontend_, queue);
        bounce_frontend_kick(frontend_, queue);
        bounce_frontend_wait(frontend_, queue, 0);
        if (setup_.called) bounce_frontend_wait(frontend_, queue, 1);
    }
    void regions() {
        bounce_region_options more{};
        more.size = sizeof more;
        more.bytes = kMoreBytes;
        more.base_gpa = kMoreGpa;
        if (bounce_pool_add_region(pool_, &more) != 0) return;
        static_cast<void>(check(bounce_frontend_sync_regions(frontend_), "sync_regions"));
        if (setup_.translated) static_cast<void>(check(bounce_frontend_process(frontend_), "process"));
        bounce_pool_drain_region(pool_, 1);
        static_cast<void>(check(bounce_frontend_sync_regions(frontend_), "sync_regions"));
    }
    void one_queue() {
        static_cast<void>(check(bounce_frontend_stop_queue(frontend_, 0), "stop_queue"));
        static_cast<void>(check(bounce_frontend_start_queue(frontend_, 0), "start_queue"));
    }
    void abort_all() {
        bounce_completion completion{};
        for (std::uint32_t i = 0; i < setup_.queues(); ++i) {
            while (bounce_ring_abort(bounce_frontend_ring(frontend_, i), &completion, 1) > 0) {
            }
        }
    }

    const Setup setup_;
    bounce_pool* pool_;
    const char* path_;
    Liar& liar_;
    const bounce_policy policy_ = translated_policy();
    bounce_frontend* frontend_ = nullptr;
    unsigned char data_[8] = {};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const TempFolder folder;
    static const std::string path = folder / "s";
    const std::size_t before = open_descriptors();
    {
        const Setup setup(size == 0 ? std::uint8_t{0} : data[0], size < 2 ? std::uint8_t{0} : data[1]);
        Liar liar(setup, std::span(data, size).subspan(size < 2 ? size : 2));
        FakeBackend backend(path);
        for (std::uint32_t request = 1; request <= 38; ++request)
            backend.instead[request] = [&liar](Peer& peer, Message& message) { liar.answer(peer, message); };
        backend.start();
        std::optional<OwnMemory> own;
        if (setup.own_memory) own.emplace();
        bounce_pool* const pool = make_pool(setup, own ? &*own : nullptr);
        Driver(setup, pool, path.c_str(), liar).drive();
        bounce_pool_stats stats{};
        bounce_pool_get_stats(pool, &stats);
        if (stats.slots != 0 || bounce_pool_destroy(pool) != 0) found("something of the pool is still used", "end");
    }
    if (open_descriptors() != before) found("descriptors stay open", "end");
    return 0;
}
