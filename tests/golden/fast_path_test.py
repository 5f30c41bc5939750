#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Usage: fast_path_test.py [--update | --show OPERATION] [FOLDER]

Compares what the fast path executes with fast_path.txt: the instructions, calls and locked instructions of one warm
alloc, free, map and unmap. FOLDER has the probes (default: build/release/tests/golden); they single-step through the
operations, so the figures are exact and the same every time.

  --update          write fast_path.txt anew, after a change that is meant
  --show OPERATION  print the instructions that one alloc, free, map or unmap executes, with their functions
  --unless REASON   skip with this reason, unless it is empty

Exit status: 0 as in the file, 1 different or failed, 77 skipped.
"""
import argparse
import pathlib
import re
import subprocess
import sys

import fast_path_report as report

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE / "fast_path.txt"
FOLDER = HERE.parents[1] / "build/release/tests/golden"
PROBES = ["golden_pool_probe", "golden_abi_probe"]
SKIPPED = 77


def run_probe(program, *arguments, may_fail=False):
    result = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if result.returncode == SKIPPED:
        print(f"skipped: {result.stdout.strip()}")
        sys.exit(SKIPPED)
    if result.returncode != 0 and not may_fail:
        sys.exit(f"{program}: status {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout if result.returncode == 0 else ""


def measure(folder):
    counts = {}
    for probe in PROBES:
        of_probe, alike = report.parse_probe(run_probe(folder / probe))
        counts.update(of_probe)
        for name, rounds in alike.items():
            if len(set(rounds.split("/"))) > 1:
                print(f"note: {name} took these figures in {rounds} rounds")
    return counts


def compare(measured):
    golden = report.parse_table(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    changes = report.differences(golden, measured)
    print(report.format_table(measured), end="")
    if not changes:
        return 0
    print("\nThis is not what the golden file says:")
    for change in changes:
        print(f"  {change}")
    print(f"""
To see what is executed: python3 tests/golden/fast_path_test.py --show OPERATION
If the change is meant:  python3 tests/golden/fast_path_test.py --update, and say why in the commit""")
    return 1


def listing(file):
    """Offset -> (function, instruction) of an object."""
    text = subprocess.run(["objdump", "-d", "-C", "--no-show-raw-insn", file], capture_output=True, text=True,
                          check=True).stdout
    lines, function = {}, ""
    for line in text.splitlines():
        if head := re.fullmatch(r"[0-9a-f]+ <(.*)>:", line):
            function = head[1]
        elif found := re.fullmatch(r" *([0-9a-f]+):\t(.*)", line):
            lines[found[1]] = function, found[2].rstrip()
    return lines


def show(folder, operation):
    for probe in PROBES:
        path = run_probe(folder / probe, "--show", operation, may_fail=True).split()
        if not path:
            continue
        file = folder / probe if path[0] == "/proc/self/exe" else path[0]
        lines, last = listing(file), None
        for offset in path[1:]:
            function, instruction = lines.get(offset, ("?", "?"))
            if function != last:
                print(f"{function}:")
            last = function
            print(f"  {offset:>8}  {instruction}")
        return 0
    print(f"no probe knows the operation {operation}", file=sys.stderr)
    return 1


def main():
    parser = argparse.ArgumentParser(usage=__doc__, add_help=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--show")
    parser.add_argument("--unless", default="")
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=FOLDER)
    arguments = parser.parse_args()
    if arguments.help:
        print(__doc__)
        return 0
    if arguments.unless:
        print(f"skipped: {arguments.unless}")
        return SKIPPED
    if not (arguments.folder / PROBES[0]).exists():
        sys.exit(f"{arguments.folder} has no {PROBES[0]}: cmake --preset release && cmake --build --preset release")
    if arguments.show:
        return show(arguments.folder, arguments.show)
    measured = measure(arguments.folder)
    if arguments.update:
        GOLDEN.write_text(report.format_table(measured), encoding="utf-8")
        print(report.format_table(measured), end="")
        return 0
    return compare(measured)


if __name__ == "__main__":
    sys.exit(main())
