// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-net/capture.hpp"

#include <pcap/pcap.h>
#include <sys/time.h>

#include <array>

#include "tools/bounce-net/frame.hpp"
#include "tools/common/failure.hpp"

namespace bounce::net {
namespace {

using tools::Failure;
using tools::text;

struct Close {
    void operator()(pcap_t* handle) const noexcept { ::pcap_close(handle); }
};
using Handle = std::unique_ptr<pcap_t, Close>;

}  // namespace

std::vector<Packet> read_capture(const std::string& path, std::size_t most_bytes) {
    std::array<char, PCAP_ERRBUF_SIZE> why{};
    const Handle file(::pcap_open_offline(path.c_str(), why.data()));
    if (!file) throw Failure(text("cannot read '", path, "': ", why.data()));
    if (::pcap_datalink(file.get()) != DLT_EN10MB) {
        const char* name = ::pcap_datalink_val_to_name(::pcap_datalink(file.get()));
        throw Failure(text("cannot send '", path, "': its packets are of ", name != nullptr ? name : "an unknown type",
                           ", expected Ethernet (EN10MB)"));
    }
    std::vector<Packet> packets;
    pcap_pkthdr* header = nullptr;
    const u_char* data = nullptr;
    int more = 0;
    while ((more = ::pcap_next_ex(file.get(), &header, &data)) == 1) {
        const std::size_t number = packets.size() + 1;
        if (header->caplen != header->len)
            throw Failure(text("cannot send '", path, "': packet ", number, " was cut to ", header->caplen, " of ",
                               header->len, " bytes when it was captured"));
        if (header->len < kEthernetBytes || header->len > most_bytes)
            throw Failure(text("cannot send '", path, "': packet ", number, " has ", header->len, " bytes, expected ",
                               kEthernetBytes, " to ", most_bytes));
        const auto* bytes = reinterpret_cast<const std::byte*>(data);
        packets.emplace_back(bytes, bytes + header->len);
    }
    if (more == PCAP_ERROR) throw Failure(text("cannot read '", path, "': ", ::pcap_geterr(file.get())));
    if (packets.empty()) throw Failure(text("'", path, "' has no packets"));
    return packets;
}

struct CaptureWriter::State {
    std::unique_ptr<pcap_t, decltype(&::pcap_close)> handle{nullptr, &::pcap_close};
    pcap_dumper_t* file = nullptr;
};

CaptureWriter::CaptureWriter(const std::string& path) : path_(path), state_(std::make_unique<State>()) {
    constexpr int kMostBytes = 262144;
    state_->handle.reset(::pcap_open_dead(DLT_EN10MB, kMostBytes));
    if (!state_->handle) throw Failure("libpcap has no memory");
    state_->file = ::pcap_dump_open(state_->handle.get(), path.c_str());
    if (state_->file == nullptr)
        throw Failure(text("cannot write '", path, "': ", ::pcap_geterr(state_->handle.get())));
}

CaptureWriter::~CaptureWriter() {
    if (state_->file != nullptr) ::pcap_dump_close(state_->file);
}

void CaptureWriter::write(std::span<const std::byte> frame) {
    pcap_pkthdr header{};
    ::gettimeofday(&header.ts, nullptr);
    header.caplen = header.len = static_cast<bpf_u_int32>(frame.size());
    ::pcap_dump(reinterpret_cast<u_char*>(state_->file), &header, reinterpret_cast<const u_char*>(frame.data()));
}

void CaptureWriter::finish() {
    if (::pcap_dump_flush(state_->file) != 0) throw Failure(text("cannot write '", path_, "'"));
}

}  // namespace bounce::net
