// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-blk/request.hpp"

#include <algorithm>

#include "tools/common/failure.hpp"
#include "tools/common/little_endian.hpp"
#include "tools/common/units.hpp"

namespace bounce::blk {
namespace {

using tools::Failure;
using tools::text;

const char* verb(RequestType type) noexcept {
    switch (type) {
        case kTypeIn: return "read";
        case kTypeOut: return "write";
        case kTypeFlush: return "flush";
    }
    return "request";
}

std::string description(const Request& request) {
    if (request.type() == kTypeFlush) return "flush";
    return text(verb(request.type()), " of ", tools::format_bytes(request.bytes()), " at offset ", request.offset());
}

}  // namespace

void store_header(std::byte* header, RequestType type, std::uint64_t sector) noexcept {
    tools::store_le(header, static_cast<std::uint32_t>(type));
    tools::store_le(header + 4, std::uint32_t{0});  // reserved
    tools::store_le(header + 8, sector);
}

Request::Request(const tools::Canary& canary, std::size_t data_bytes)
    : header_(canary, kHeaderBytes), data_(canary, data_bytes), status_(canary, 1) {}

void Request::prepare(RequestType type, std::uint64_t offset, std::size_t bytes) noexcept {
    type_ = type;
    offset_ = offset;
    bytes_ = bytes;
    store_header(header_.data(), type, offset / kSectorBytes);
    *status_.data() = static_cast<std::byte>(kStatusNone);
    if (type == kTypeIn) data_.fill_with_canary(bytes);
}

void Request::build_list(std::uint64_t segment_bytes, std::vector<bounce_sg>& list, std::size_t& n_out,
                         std::size_t& n_in) const {
    list.clear();
    list.push_back({header_.data(), kHeaderBytes, 0, 0});
    const std::size_t step = segment_bytes == 0 ? bytes_ : static_cast<std::size_t>(segment_bytes);
    for (std::size_t at = 0; at < bytes_; at += step) {
        list.push_back({data_.data() + at, std::min(step, bytes_ - at), 0, 0});
    }
    n_out = type_ == kTypeOut ? list.size() : 1;
    list.push_back({status_.data(), 1, 0, 0});
    n_in = list.size() - n_out;
}

void Request::check_result(std::uint32_t written) const {
    if (!intact()) {
        throw Failure(text("a canary around a private buffer was overwritten during a ", description(*this)));
    }
    const auto status = std::to_integer<std::uint8_t>(*status_.data());
    const std::uint64_t expected = type_ == kTypeIn ? std::uint64_t{bytes_} + 1 : 1;
    switch (status) {
        case kStatusOk: break;
        case kStatusIoError: throw Failure(text("the device reports an I/O error for a ", description(*this)));
        case kStatusUnsupported: throw Failure(text("the device does not support a ", description(*this)));
        case kStatusNone: throw Failure(text("the device gave no status for a ", description(*this)));
        default:
            throw Failure(text("the device gave status ", unsigned{status}, " for a ", description(*this),
                               "; expected 0, 1 or 2"));
    }
    if (written < expected) {
        throw Failure(
            text("the device says it wrote ", written, " bytes for a ", description(*this), "; expected ", expected));
    }
}

}  // namespace bounce::blk
