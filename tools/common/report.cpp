// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/common/report.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "tools/common/failure.hpp"
#include "tools/common/files.hpp"
#include "tools/common/signals.hpp"

namespace bounce::tools {

void write_all(int fd, const void* data, std::size_t bytes, std::string_view what) {
    const char* at = static_cast<const char*>(data);
    while (bytes > 0) {
        const ssize_t done = ::write(fd, at, bytes);
        if (done > 0) {
            at += done;
            bytes -= static_cast<std::size_t>(done);
        } else if (done < 0 && errno == EINTR) {
            throw_if_stopped();
        } else if (done < 0 && errno == EAGAIN) {
            pollfd wait{fd, POLLOUT, 0};
            ::poll(&wait, 1, 100);
            throw_if_stopped();
        } else {
            throw Failure(text("cannot write to ", what, ": ", errno_text(done < 0 ? errno : EIO)));
        }
    }
}

Report::Report(std::string_view command, std::string json_path, bool quiet)
    : json_path_(std::move(json_path)), quiet_(quiet), text_on_stdout_(json_path_ != "-") {
    json_["schema_version"] = 1;
    json_["command"] = command;
    json_["ok"] = true;
    if (json_path_.empty() || json_on_stdout()) return;
    json_file_ = open_file(json_path_, O_WRONLY | O_CREAT);
    struct stat status {};
    if (!json_file_ || ::fstat(json_file_.get(), &status) != 0) {
        throw Failure(text("cannot write the JSON to '", json_path_, "': ", errno_text(errno)));
    }
    json_rewritable_ = S_ISREG(status.st_mode);
}

void Report::line(std::string_view line) const {
    if (quiet_) return;
    const std::string whole = text(line, "\n");
    write_all(text_on_stdout_ ? STDOUT_FILENO : STDERR_FILENO, whole.data(), whole.size(),
              text_on_stdout_ ? "stdout" : "stderr");
}

void Report::write_json() {
    if (json_path_.empty() || written_) return;
    written_ = true;
    // File names need not be UTF-8: what is not becomes a replacement character.
    const std::string whole = json_.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
    if (json_on_stdout()) {
        write_all(STDOUT_FILENO, whole.data(), whole.size(), "stdout");
        return;
    }
    write_file(whole);
}

void Report::write_file(std::string_view whole) {
    if (json_rewritable_ && (::ftruncate(json_file_.get(), 0) != 0 || ::lseek(json_file_.get(), 0, SEEK_SET) != 0)) {
        throw Failure(text("cannot write the JSON to '", json_path_, "': ", errno_text(errno)));
    }
    write_all(json_file_.get(), whole.data(), whole.size(), text("'", json_path_, "'"));
}

void Report::write_failure(std::string_view sentence) noexcept {
    try {
        written_ = written_ && !json_rewritable_;  // what went to a pipe cannot be taken back
        json_["ok"] = false;
        json_["error"] = sentence;
        write_json();
    } catch (...) {
        // The error itself goes to stderr anyway; there is nowhere left to say this.
        return;
    }
}

}  // namespace bounce::tools
