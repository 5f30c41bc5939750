// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/common/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "tools/common/signals.hpp"

namespace bounce::tools {
namespace {

/// Where the file will be, with the links that there are followed; empty when that cannot be said.
std::filesystem::path place_of(const std::string& path) {
    std::error_code error;
    return std::filesystem::weakly_canonical(std::filesystem::absolute(path, error), error);
}

}  // namespace

Descriptor open_file(const std::string& path, int flags) {
    for (;;) {
        throw_if_stopped();
        const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EINTR) return Descriptor(fd);
    }
}

bool same_file(const std::string& path, const std::string& other, int standard) {
    struct stat one {};
    struct stat two {};
    const bool one_exists = ::stat(path.c_str(), &one) == 0;
    const bool two_exists = (other == "-" ? ::fstat(standard, &two) : ::stat(other.c_str(), &two)) == 0;
    if (one_exists && two_exists) {
        return S_ISREG(one.st_mode) && one.st_dev == two.st_dev && one.st_ino == two.st_ino;
    }
    if (one_exists || two_exists || other == "-") return false;
    const auto place = place_of(path);
    return !place.empty() && place == place_of(other);
}

}  // namespace bounce::tools
