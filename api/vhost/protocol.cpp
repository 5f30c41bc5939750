// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/vhost/protocol.hpp"

namespace bounce::vhost {

const char* request_name(Request request) noexcept {
    switch (request) {
        case Request::kGetFeatures: return "GET_FEATURES";
        case Request::kSetFeatures: return "SET_FEATURES";
        case Request::kSetOwner: return "SET_OWNER";
        case Request::kSetMemTable: return "SET_MEM_TABLE";
        case Request::kSetVringNum: return "SET_VRING_NUM";
        case Request::kSetVringAddr: return "SET_VRING_ADDR";
        case Request::kSetVringBase: return "SET_VRING_BASE";
        case Request::kGetVringBase: return "GET_VRING_BASE";
        case Request::kSetVringKick: return "SET_VRING_KICK";
        case Request::kSetVringCall: return "SET_VRING_CALL";
        case Request::kGetProtocolFeatures: return "GET_PROTOCOL_FEATURES";
        case Request::kSetProtocolFeatures: return "SET_PROTOCOL_FEATURES";
        case Request::kGetQueueNum: return "GET_QUEUE_NUM";
        case Request::kSetVringEnable: return "SET_VRING_ENABLE";
        case Request::kSetBackendReqFd: return "SET_BACKEND_REQ_FD";
        case Request::kIotlbMsg: return "IOTLB_MSG";
        case Request::kGetConfig: return "GET_CONFIG";
        case Request::kSetConfig: return "SET_CONFIG";
        case Request::kGetMaxMemSlots: return "GET_MAX_MEM_SLOTS";
        case Request::kAddMemReg: return "ADD_MEM_REG";
        case Request::kRemMemReg: return "REM_MEM_REG";
    }
    return "an unknown request";
}

}  // namespace bounce::vhost
