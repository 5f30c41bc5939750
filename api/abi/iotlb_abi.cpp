// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "bounce/iotlb.h"

#include "api/abi/frontend_handle.hpp"

using namespace bounce;
using namespace bounce::abi;
using bounce::vhost::Frontend;

int bounce_frontend_process(bounce_frontend* frontend) {
    return count_on(frontend, [](Frontend& it) { return it.process(); });
}

int bounce_frontend_requests_fd(bounce_frontend* frontend) {
    return count_on(frontend, [](Frontend& it) { return it.requests_fd(); });
}

int bounce_frontend_iotlb_map(bounce_frontend* frontend, uint64_t address, uint64_t bytes, uint32_t access) {
    if (access < BOUNCE_IOTLB_READ || access > BOUNCE_IOTLB_BOTH)
        return negative(fail(EINVAL, "access is %llu, expected 1 to 3 (enum bounce_iotlb_access)", access));
    return on(frontend,
              [=](Frontend& it) { return it.map_iova(address, bytes, static_cast<vhost::IotlbAccess>(access)); });
}

int bounce_frontend_iotlb_unmap(bounce_frontend* frontend, uint64_t address, uint64_t bytes) {
    return on(frontend, [=](Frontend& it) { return it.unmap_iova(address, bytes); });
}

int bounce_frontend_get_iotlb(bounce_frontend* frontend, bounce_iotlb_info* info) {
    if (const auto good = usable(frontend); !good) return status(good);
    if (info == nullptr) return negative(null_argument("info"));
    const auto found = frontend->frontend->iotlb_info();
    if (!found) return negative(found.error());
    *info = *found;
    return 0;
}
