#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Usage: planted_bugs.py [--seeded] FOLDER [BUG...]

Does fuzzing find anything? FOLDER has the fuzz targets, linked to a copy of the library that leaves out one protection when
it is told to (allocator/base/mutation.hpp). Each is fuzzed from an empty corpus until it has found that, for at most five
minutes of CPU time; before that, each target for a while with nothing left out, when it must find nothing. Prints a table. --seeded: it begins with the corpus in the tree, as fuzzing does everywhere else.
Exit status 0: all were found, and nothing else was.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

CORPORA = pathlib.Path(__file__).resolve().parent / "corpus"
LIMIT_SECONDS = 300
CONTROL_SECONDS = 10
# Each with the target that is to find it.
BUGS = {
    "private_shadow": "split_driver",
    "used_id_width": "split_driver",
    "used_id_shown": "split_driver",
    "used_once": "split_driver",
    "used_index": "split_driver",
    "length_shares": "split_driver",
    "length_clamp": "packed_driver",
    "broken_sticks": "packed_driver",
    "quarantine": "packed_driver",
    "wrap_counter": "packed_driver",
    "reply_size": "vhost_messages",
    "reply_descriptors": "vhost_messages",
    "config_answer": "vhost_messages",
    "element_in_use": "split_device",
    "write_permission": "packed_device",
}


def fuzz(folder, target, bug, seconds, seeds):
    """CPU seconds and runs until something was found, and what that was; None when it was nothing."""
    cpu = 0.0
    runs = 0
    with tempfile.TemporaryDirectory(prefix="planted-") as work:
        corpus = pathlib.Path(work, "corpus")
        corpus.mkdir()
        while cpu < seconds:
            log = pathlib.Path(work, "log")
            # Time is what the clock says, so a round may use less than it, where others have the processors.
            # Long inputs from the beginning: a step of a script is six bytes.
            command = [str(folder / f"planted_{target}"), f"-max_total_time={int(seconds - cpu) + 1}", "-max_len=1024",
                       "-len_control=0", "-print_final_stats=1", f"-artifact_prefix={work}/", str(corpus)]
            command += [str(CORPORA / target)] if seeds else []
            with open(log, "wb") as out, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                                          env={**os.environ, "BOUNCE_MUTATION": bug}) as child:
                _, status, usage = os.wait4(child.pid, 0)
                child.returncode = os.waitstatus_to_exitcode(status)
            said = log.read_text(errors="replace")
            cpu += usage.ru_utime + usage.ru_stime
            executed = re.search(r"stat::number_of_executed_units:\s*(\d+)", said)
            runs += int(executed[1]) if executed else 0
            if child.returncode != 0:
                what = re.search(r"finding: (.*)|ERROR: \w+: (.*?)(?: on | \(|$)|(runtime error: .*)|(terminate called .*)", said, re.M)
                return cpu, runs, next(filter(None, what.groups())) if what else f"exit status {child.returncode}"
    return cpu, runs, None


def main(argv):
    seeds = "--seeded" in argv[1:2]
    argv = argv[:1] + argv[2:] if seeds else argv
    if len(argv) < 2 or argv[1].startswith("-"):
        print(__doc__)
        return 2
    folder = pathlib.Path(argv[1])
    unknown = [name for name in argv[2:] if name not in BUGS]
    if unknown:
        print(f"no such bug: {', '.join(unknown)}; there are: {', '.join(BUGS)}", file=sys.stderr)
        return 2
    bugs = {name: BUGS[name] for name in argv[2:] or BUGS}
    good = True
    for target in sorted(set(bugs.values())):
        _, runs, what = fuzz(folder, target, "none", CONTROL_SECONDS, seeds)
        if what is not None:
            print(f"nothing left out: {target} found after {runs} runs: {what}")
            return 1
    print("| left out | target | CPU seconds | runs | found |\n| --- | --- | --- | --- | --- |")
    for bug, target in bugs.items():
        cpu, runs, what = fuzz(folder, target, bug, LIMIT_SECONDS, seeds)
        good = good and what is not None
        print(f"| `{bug}` | {target} | {cpu:.1f} | {runs} | {what or 'nothing'} |", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
