#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Usage: mutation_test.py PROGRAM MUTATION [FILTER]

Runs a suite (or those of its tests that match a gtest filter) with one protection of the library left out, and fails
unless the suite does: by a check that says what it found, not by a crash. With the mutation "none" nothing is left out,
and the suite must pass: so it is not the build that makes it fail.
"""
import os
import re
import subprocess
import sys


def main(argv):
    if len(argv) not in (3, 4) or argv[1] in ("-h", "--help"):
        print(__doc__)
        return 0 if len(argv) == 2 else 2
    program, mutation = argv[1:3]
    intact = mutation == "none"
    command = [program, "--gtest_brief=1", "--gtest_filter=" + "".join(argv[3:] or "*")]
    command += [] if intact else ["--gtest_fail_fast"]
    try:
        result = subprocess.run(command, env={**os.environ, "BOUNCE_MUTATION": mutation}, timeout=240, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    except subprocess.TimeoutExpired:
        print(f"{mutation}: the suite did not end")
        return 1
    ran = re.search(r"\[==========\] (\d+) tests? from", result.stdout)
    failed = sorted(set(re.findall(r"\[  FAILED  \] \S*[./](\w+)", result.stdout)))
    findings = sorted(set(re.findall(r": Failure\n(?:Failed\n)?(.+)$", result.stdout, re.M)))
    if intact:
        good = result.returncode == 0 and ran and not failed
        print(f"nothing left out: {ran[1] if ran else 0} checks ran, {len(failed)} failed")
    else:
        good = result.returncode == 1 and failed and findings
        print(f"{mutation}: noticed by {', '.join(failed) or 'nobody'}" + "".join(f"\n    {f}" for f in findings))
    if not good:
        print(f"exit status {result.returncode}; the end of the output:\n{result.stdout[-3000:]}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
