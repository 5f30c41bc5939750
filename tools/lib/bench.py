#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Runs the benchmarks that tools/bench has built (tools/bench --help) and prints what they found."""
import argparse
import contextlib
import os
import pathlib
import re
import sys

import null_co
import processes
import report
from jsonfile import read_json, write_json
from processes import Failure, Interrupted

NULL_CO = "null_co"


class Bench:
    def __init__(self, options, stack):
        self.options = options
        self.stack = stack
        self.out = report.Printer()
        self.folder = processes.make_folder(stack)
        self.wanted = re.compile(options.filter)
        self.result = {"ok": False, "quick": options.quick, "load_average": report.load_average(),
                       "machine": report.machine(), "benchmarks": [], NULL_CO: []}

    def run(self):
        machine = self.result["machine"]
        self.out.fact("machine", f"{machine['cpu']}, {machine['cpus']} CPUs, Linux {machine['kernel']}, "
                                 f"load average {self.result['load_average'][0]}{', quick run' if self.options.quick else ''}")
        for program in programs(pathlib.Path(self.options.build) / "bench"):
            self.run_program(program)
        if self.wanted.search(NULL_CO):
            self.out.heading("I/O: 4 KiB on qemu-storage-daemon's null-co, polling, one queue")
            blk = os.path.join(self.options.build, "tools/bounce-blk/bounce-blk")
            self.result[NULL_CO] = null_co.measure(self.stack, self.folder, blk, 0.5 if self.options.quick else 5)
            null_co.show(self.out, self.result[NULL_CO])
        if not self.result["benchmarks"] and not self.result[NULL_CO]:
            raise Failure(f"no benchmark matches '{self.options.filter}'")
        self.result["ok"] = True

    def run_program(self, program):
        """One Google Benchmark program. A program without a match is passed over."""
        output = os.path.join(self.folder, f"{program.name}.json")
        arguments = [f"--benchmark_filter={self.options.filter or '.'}", f"--benchmark_out={output}", "--benchmark_out_format=json",
                     f"--benchmark_min_time={0.05 if self.options.quick else 0.5}"]
        process = processes.start(self.stack, [str(program), *arguments], os.path.join(self.folder, f"{program.name}.log"))
        processes.finish(process, program.name, 3600)
        found = read_json(output)
        rows = rows_of(found["benchmarks"]) if found else []
        if not rows:
            return
        self.result["benchmarks"] += [{"program": program.name, **row} for row in rows]
        self.out.heading(program.name)
        self.out.table(("benchmark", "time", "rate"), [(row["name"], nanoseconds(row["ns"]), rate(row)) for row in rows])


def programs(folder):
    """The benchmark programs below a folder of the build directory."""
    return sorted(path for path in folder.rglob("*_bench") if path.is_file() and os.access(path, os.X_OK))


UNITS = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}


def rows_of(benchmarks):
    """What matters of Google Benchmark's JSON; a benchmark that failed is a failure."""
    rows = []
    for entry in benchmarks:
        if entry.get("error_occurred"):
            raise Failure(f"{entry['name']}: {entry.get('error_message', 'failed')}")
        row = {"name": entry["name"], "ns": entry["real_time"] * UNITS[entry["time_unit"]]}
        row.update({key: entry[key] for key in ("items_per_second", "bytes_per_second", "label") if key in entry})
        rows.append(row)
    return rows


def nanoseconds(value):
    return f"{value:.1f} ns" if value < 1e4 else f"{value / 1e3:.1f} us" if value < 1e7 else f"{value / 1e6:.1f} ms"


def rate(row):
    parts = []
    if "items_per_second" in row:
        parts.append(f"{report.thousands(row['items_per_second'])}/s")
    if "bytes_per_second" in row:
        parts.append(f"{row['bytes_per_second'] / (1 << 30):.2f} GiB/s")
    return ", ".join(parts)


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--filter", default="")
    parser.add_argument("--json")
    options = parser.parse_args(argv)
    try:
        re.compile(options.filter)
    except re.error as error:
        print(f"tools/bench: --filter: '{options.filter}' is no regular expression: {error}", file=sys.stderr)
        return 2
    processes.install_handlers()
    reason, result = "", {}
    try:
        with contextlib.ExitStack() as stack:
            bench = Bench(options, stack)
            result = bench.result
            bench.run()
    except Interrupted as signal_name:
        reason = f"interrupted by {signal_name}"
    except (Failure, OSError) as failure:
        reason = str(failure)
    if options.json and not write_json(options.json, {**result, "ok": not reason, "error": reason}):
        reason = reason or f"cannot write {options.json}"
    if reason:
        print(f"bench: FAILED: {reason}", file=sys.stderr)
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
