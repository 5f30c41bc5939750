// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Opening files that need not be files.
#pragma once

#include <string>

#include "tools/common/descriptor.hpp"

namespace bounce::tools {

/// open(2), close on exec, new files with mode 0666. Waits as long as that does (a FIFO: for its other end), but a stop
/// request ends it: throws Failure then. Empty, with errno, when the file cannot be opened.
Descriptor open_file(const std::string& path, int flags);

/// Do both name the same regular file, or would they, were it there? "-" is descriptor `standard` for `other`.
bool same_file(const std::string& path, const std::string& other, int standard);

}  // namespace bounce::tools
