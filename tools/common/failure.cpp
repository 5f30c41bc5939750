// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/common/failure.hpp"

#include <system_error>

namespace bounce::tools {

std::string errno_text(int code) {
    return std::generic_category().message(code);
}

}  // namespace bounce::tools
