// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/common/virtio_names.hpp"

#include <array>

#include "tools/common/failure.hpp"

namespace bounce::tools {
namespace {

// virtio 1.2, section 6; the two vhost bits from QEMU's docs/interop/vhost-user.rst.
constexpr std::array kTransportNames = {
    BitName{24, "VIRTIO_F_NOTIFY_ON_EMPTY"},   BitName{26, "VHOST_F_LOG_ALL"},
    BitName{27, "VIRTIO_F_ANY_LAYOUT"},        BitName{28, "VIRTIO_F_INDIRECT_DESC"},
    BitName{29, "VIRTIO_F_EVENT_IDX"},         BitName{30, "VHOST_USER_F_PROTOCOL_FEATURES"},
    BitName{32, "VIRTIO_F_VERSION_1"},         BitName{33, "VIRTIO_F_ACCESS_PLATFORM"},
    BitName{34, "VIRTIO_F_RING_PACKED"},       BitName{35, "VIRTIO_F_IN_ORDER"},
    BitName{36, "VIRTIO_F_ORDER_PLATFORM"},    BitName{37, "VIRTIO_F_SR_IOV"},
    BitName{38, "VIRTIO_F_NOTIFICATION_DATA"}, BitName{39, "VIRTIO_F_NOTIF_CONFIG_DATA"},
    BitName{40, "VIRTIO_F_RING_RESET"},
};

// QEMU docs/interop/vhost-user.rst, "Protocol features".
constexpr std::array kProtocolNames = {
    BitName{0, "MQ"},
    BitName{1, "LOG_SHMFD"},
    BitName{2, "RARP"},
    BitName{3, "REPLY_ACK"},
    BitName{4, "MTU"},
    BitName{5, "BACKEND_REQ"},
    BitName{6, "CROSS_ENDIAN"},
    BitName{7, "CRYPTO_SESSION"},
    BitName{8, "PAGEFAULT"},
    BitName{9, "CONFIG"},
    BitName{10, "BACKEND_SEND_FD"},
    BitName{11, "HOST_NOTIFIER"},
    BitName{12, "INFLIGHT_SHMFD"},
    BitName{13, "RESET_DEVICE"},
    BitName{14, "INBAND_NOTIFICATIONS"},
    BitName{15, "CONFIGURE_MEM_SLOTS"},
    BitName{16, "STATUS"},
    BitName{17, "XEN_MMAP"},
    BitName{18, "SHARED_OBJECT"},
    BitName{19, "DEVICE_STATE"},
};

const char* find(std::span<const BitName> names, unsigned bit) {
    for (const BitName& entry : names) {
        if (entry.bit == bit) return entry.name;
    }
    return nullptr;
}

}  // namespace

std::string feature_name(std::span<const BitName> device, unsigned bit) {
    const char* name = find(device, bit);
    if (name == nullptr) name = find(kTransportNames, bit);
    return name != nullptr ? std::string(name) : text("bit ", bit);
}

std::vector<std::string> feature_names(std::span<const BitName> device, std::uint64_t features) {
    std::vector<std::string> list;
    for (unsigned bit = 0; bit < 64; ++bit) {
        if ((features >> bit & 1) != 0) list.push_back(feature_name(device, bit));
    }
    return list;
}

std::vector<std::string> protocol_feature_names(std::uint64_t features) {
    std::vector<std::string> list;
    for (unsigned bit = 0; bit < 64; ++bit) {
        if ((features >> bit & 1) == 0) continue;
        const char* name = find(kProtocolNames, bit);
        list.push_back(name != nullptr ? std::string(name) : text("bit ", bit));
    }
    return list;
}

void print_features(const Report& report, std::span<const BitName> device, const bounce_frontend_info& info) {
    report.line("features");
    for (unsigned bit = 0; bit < 64; ++bit) {
        if ((info.offered_features >> bit & 1) == 0) continue;
        const bool taken = (info.features >> bit & 1) != 0;
        report.line(text(taken ? "  + " : "  - ", feature_name(device, bit), taken ? "" : "  (offered, not used)"));
    }
    report.line("vhost-user protocol features");
    for (const std::string& name : protocol_feature_names(info.protocol_features)) report.line(text("  + ", name));
}

Json connection_json(std::span<const BitName> device, const bounce_frontend_info& info) {
    Json json;
    json["features"] = feature_names(device, info.features);
    json["offered_features"] = feature_names(device, info.offered_features);
    json["protocol_features"] = protocol_feature_names(info.protocol_features);
    json["queues"] = info.queues;
    json["max_queues"] = info.max_queues;
    json["queue_size"] = info.queue_size;
    json["max_memory_slots"] = info.max_memory_slots;
    return json;
}

}  // namespace bounce::tools
