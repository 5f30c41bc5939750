// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What options mean together, and how their values are called.
#include <unistd.h>

#include <algorithm>

#include "tools/bounce-blk/options.hpp"
#include "tools/bounce-blk/virtio_blk.hpp"
#include "tools/common/device.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/files.hpp"

namespace bounce::blk {

using tools::text;
using tools::UsageError;

namespace {

/// The JSON must not take the place of the data.
void check_json_file(const Options& o) {
    if (o.json.empty() || o.json == "-" || o.file.empty()) return;
    const bool writes = o.command == Command::kRead || o.command == Command::kCopyOut;
    if (!tools::same_file(o.json, o.file, writes ? STDOUT_FILENO : STDIN_FILENO)) return;
    const char* which = o.command == Command::kRead ? "--out" : o.command == Command::kWrite ? "--in" : "FILE";
    const std::string data = o.file == "-" ? text(writes ? "stdout" : "stdin") : text(which, " '", o.file, "'");
    throw UsageError(text("--json: '", o.json, "' is the same file as ", data, "; expected another one"));
}

}  // namespace

void check_options(Options& o) {
    tools::check_socket_option(o.socket);
    if ((o.command == Command::kRead || o.command == Command::kWrite) && o.file.empty())
        o.file.assign(1, '-');  // not = "-": gcc 12 warns of an overlap that there is not (its bug 105329)
    const bool stdout_is_data = (o.command == Command::kRead || o.command == Command::kCopyOut) && o.file == "-";
    if (stdout_is_data && o.json == "-") {
        throw UsageError("--json -: stdout is taken by the data already; give --json a file");
    }
    check_json_file(o);
    if (o.command == Command::kVerify && o.file.empty() && !o.destroy) {
        throw UsageError(
            "verify without FILE overwrites the device with a pattern: add --destroy if that is what you want");
    }
    if (o.command == Command::kVerify && !o.file.empty() && o.destroy) {
        throw UsageError("--destroy is for verify without FILE; with FILE nothing is written");
    }
    if (o.command == Command::kVerify && o.file.empty() && o.length && *o.length % kSectorBytes != 0) {
        throw UsageError("--length: without FILE, expected a multiple of 512");
    }
    if (o.command == Command::kBench && !o.destroy) {
        for (const BenchOp op : o.ops) {
            if (is_write(op))
                throw UsageError(
                    text("bench --op ", op_name(op), " overwrites the device: add --destroy if that is what you want"));
        }
    }
}

bool Options::measures_bare() const noexcept {
    return command == Command::kBench && std::find(subjects.begin(), subjects.end(), Subject::kBare) != subjects.end();
}

const char* command_name(Command command) noexcept {
    switch (command) {
        case Command::kNone: return "";
        case Command::kInfo: return "info";
        case Command::kRead: return "read";
        case Command::kWrite: return "write";
        case Command::kCopyIn: return "copy-in";
        case Command::kCopyOut: return "copy-out";
        case Command::kVerify: return "verify";
        case Command::kBench: return "bench";
    }
    return "";
}

const char* op_name(BenchOp op) noexcept {
    switch (op) {
        case BenchOp::kRead: return "read";
        case BenchOp::kWrite: return "write";
        case BenchOp::kRandRead: return "randread";
        case BenchOp::kRandWrite: return "randwrite";
    }
    return "";
}

}  // namespace bounce::blk
