// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A folder of a test's own that goes away with it.
#pragma once

#include <dirent.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace bounce::test {

class TempFolder {
public:
    TempFolder() {
        char name[] = "/tmp/bounce-test-XXXXXX";
        if (::mkdtemp(name) == nullptr) throw std::runtime_error("mkdtemp failed");
        path_ = name;
    }
    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;
    ~TempFolder() {
        if (DIR* folder = ::opendir(path_.c_str())) {
            while (const dirent* entry = ::readdir(folder)) ::unlink((path_ + "/" + entry->d_name).c_str());
            ::closedir(folder);
        }
        ::rmdir(path_.c_str());
    }
    [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

private:
    std::string path_;
};

}  // namespace bounce::test
