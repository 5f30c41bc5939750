#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Runs the benchmarks that tools/bench has built (tools/bench --help) and prints what they found."""
import argparse
import contextlib
import os
import pathlib
import re
import subprocess
import sys

import bench_machine
import bench_plot
import bench_report
import bench_rows
import bench_table
import null_co
import processes
import report
import testpmd
from jsonfile import read_json, write_json
from processes import Failure, Interrupted

NULL_CO = "null_co"
NULL_CO_FILLED = "null_co_filled"
TESTPMD = "testpmd"
# Program -> the subject that may be missing, and the package that brings it.
PROGRAMS = {
    "bounce_bench": None,
    "bounce_abi_bench": None,
    "rte_mempool_bench": ("rte_mempool", "libdpdk-dev"),
    "ck_ring_bench": ("ck_ring", "libck-dev"),
    "jemalloc_bench": ("jemalloc", "libjemalloc-dev"),
    "mimalloc_bench": ("mimalloc", "libmimalloc-dev"),
    "tbb_fixed_pool_bench": ("tbb_fixed_pool", "libtbb-dev"),
    "growth_bench": None,
    "ring_bench": None,
    "virtqueue_bench": None,
}
# What is run together, one program after the other, again and again: figures of a group are compared with each other.
GROUPS = (("pair",), ("batch32", "bulk32"), ("churn10k",), ("one_thread", "two_threads"), ("handoff",),
          ("map_to_device", "map_from_device"), ("other_core",), ("full99",), ("fail",), ("ring",), ("ring_split", "ring_packed"))
ONCE = ("utilisation", "metadata", "growth", "create")  # not of time, or a median by itself
PEER_CASES = ("pair", "batch32", "bulk32", "churn10k", "one_thread", "two_threads", "handoff", "full99", "fail", "create")


class Bench:
    def __init__(self, options, stack):
        self.options = options
        self.stack = stack
        self.out = report.Printer()
        self.folder = processes.make_folder(stack)
        self.wanted = re.compile(options.filter)
        self.rows = []
        self.load_before = report.load_average()[0]
        self.names = {}  # program -> names of its benchmarks
        self.rounds = 3 if options.quick else 7
        self.settings = (["--seconds=0.01", "--samples=100000"] if options.quick else ["--seconds=0.1", "--samples=1000000"])

    def run(self):
        machine = report.machine()
        self.out.fact("machine", f"{machine['cpu']}, {machine['cpus']} CPUs, Linux {machine['kernel']}, "
                                 f"load average {self.load_before}{', quick run' if self.options.quick else ''}")
        for program, peer in PROGRAMS.items():
            self.names[program] = self.list_names(program, peer)
        for group in GROUPS:
            runs = [self.run_group(group) for _ in range(self.rounds)]
            self.rows += bench_rows.medians([rows for run in runs for rows in run])
        for case in ONCE:
            self.rows += bench_rows.medians(self.run_group((case,)))
        bench_rows.compare_threads(self.rows)
        order = {case: n for n, case in enumerate(case for group in (*GROUPS, ONCE) for case in group)}
        self.rows.sort(key=lambda row: order.get(row["case"], len(order)))
        bench_table.show(self.out, self.rows)
        seconds = 0.5 if self.options.quick else 5
        blk = os.path.join(self.options.build, "tools/bounce-blk/bounce-blk")
        if self.wanted.search(NULL_CO):
            self.out.heading("I/O: 4 KiB on qemu-storage-daemon's null-co, polling, one queue")
            results = null_co.measure(self.stack, self.folder, blk, seconds)
            null_co.show(self.out, results)
            self.rows += bench_rows.null_co_rows(results)
        if self.wanted.search(NULL_CO_FILLED):
            self.out.heading("I/O: reads of 4 KiB from a null-co that writes every byte, polling, one queue")
            results = null_co.measure(self.stack, self.folder, blk, seconds, ("read",), fills=True)
            null_co.show(self.out, results)
            self.rows += bench_rows.null_co_rows(results, NULL_CO_FILLED)
        if self.wanted.search(TESTPMD):
            self.run_testpmd(seconds)
        if not self.rows:
            raise Failure(f"no benchmark matches '{self.options.filter}'")

    def run_testpmd(self, seconds):
        """Packets through a device that sends them back."""
        if not testpmd.available():
            self.rows += [bench_rows.skipped_row(f"testpmd/{subject}/{size}/1/{variant}", testpmd.MISSING)
                          for subject in (bench_rows.BASE, testpmd.PEER) for size in testpmd.SIZES for variant in testpmd.VARIANTS]
            return
        net = os.path.join(self.options.build, "tools/bounce-net/bounce-net")
        results = testpmd.measure(self.stack, self.folder, net, seconds / 2, 2 if self.options.quick else 5)
        rows = bench_rows.testpmd_rows(results)
        bench_table.show(self.out, rows)
        self.rows += rows

    def facts(self):
        """What a reader of the figures has to know."""
        machine = bench_machine.facts(self.options.build)
        return {"command": "tools/bench" + (" --quick" if self.options.quick else "") +
                           (f" --filter '{self.options.filter}'" if self.options.filter else "") + f" --report {bench_report.shown_path(self.options.report)}",
                **machine, "rounds": self.rounds, "before": self.load_before, "after": report.load_average()[0],
                "quick": "\nA quick run: for a look, not for a claim.\n" if self.options.quick else ""}

    def list_names(self, program, peer):
        """What a program has that is wanted. A peer that is missing or does not start is skipped, with its reason."""
        path = pathlib.Path(self.options.build) / "bench" / program
        try:
            listed = subprocess.run([path, "--benchmark_list_tests=true"], capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            if peer is None:
                raise Failure(f"cannot run {path}: {error}") from None
            subject, package = peer
            reason = f"{program} does not start: {error}" if path.exists() else f"was not built: needs the package {package}"
            names = [f"{case}/{subject}/4096/1/-" for case in PEER_CASES]
            self.rows += [bench_rows.skipped_row(name, reason) for name in names if self.wanted.search(name)]
            return []
        return [name for name in map(bench_rows.short_name, listed.split()) if self.wanted.search(name)]

    def run_group(self, cases):
        """The rows of each program that has any of these cases."""
        found = []
        for program, peer in PROGRAMS.items():
            names = [name for name in self.names[program] if name.split("/")[0] in cases]
            if not names:
                continue
            try:
                found.append(self.run_program(program, names))
            except Failure as failure:
                if peer is None:
                    raise
                found.append([bench_rows.skipped_row(name, str(failure)) for name in names])
        return found

    def run_program(self, program, names):
        output = os.path.join(self.folder, f"{program}.json")
        pattern = "^(" + "|".join(names) + ")/iterations"  # names hold nothing that would have to be escaped
        process = processes.start(
            self.stack, [os.path.join(self.options.build, "bench", program), f"--benchmark_filter={pattern}", *self.settings,
                         f"--benchmark_out={output}", "--benchmark_out_format=json"], os.path.join(self.folder, f"{program}.log"))
        processes.finish(process, program, 1800)
        rows = bench_rows.rows_of((read_json(output) or {"benchmarks": []})["benchmarks"])
        if len(rows) != len(names):
            raise Failure(f"{program} reported {len(rows)} of {len(names)} benchmarks: {processes.last_words(process)}")
        return rows


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--filter", default="")
    parser.add_argument("--json")
    parser.add_argument("--plot")
    parser.add_argument("--report")
    options = parser.parse_args(argv)
    try:
        re.compile(options.filter)
    except re.error as error:
        print(f"tools/bench: --filter: '{options.filter}' is no regular expression: {error}", file=sys.stderr)
        return 2
    processes.install_handlers()
    reason, rows = "", []
    try:
        with contextlib.ExitStack() as stack:
            bench = Bench(options, stack)
            rows = bench.rows
            bench.run()
            if options.report:
                bench.out.line("report: " + " ".join(bench_report.write(options.report, rows, bench.facts())))
            if options.plot:
                bench.out.line("plots: " + " ".join(bench_plot.draw(rows, options.plot)))
    except Interrupted as signal_name:
        reason = f"interrupted by {signal_name}"
    except (Failure, OSError) as failure:
        reason = str(failure)
    if options.json and not write_json(options.json, [bench_rows.public(row) for row in rows]):
        reason = reason or f"cannot write {options.json}"
    if reason:
        print(f"bench: FAILED: {reason}", file=sys.stderr)
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
