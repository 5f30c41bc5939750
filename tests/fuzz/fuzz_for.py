#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Usage: fuzz_for.py CPU_MINUTES FOLDER PROGRAM CORPUS [PROGRAM CORPUS...]

Runs programs of libFuzzer, all at once, until each has used so many minutes of CPU time, or has found something. A corpus is
read only: what is found new, and what a program says, goes into FOLDER, and so a run that was stopped can be continued. What
was reached stands in FOLDER/NAME.json after each round and is printed at the end. Exit status 0: nothing was found; 1:
something was; 2: bad arguments.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

ROUND_SECONDS = 60
# Of one input. It is there to find what hangs, on a machine that may have others to serve.
TIMEOUT_SECONDS = 300


class Target:
    def __init__(self, folder, program, corpus):
        self.name = pathlib.Path(program).name.removeprefix("fuzz_")
        self.program = program
        self.corpus = corpus
        self.found = folder / self.name
        self.log = folder / (self.name + ".log")
        self.state_file = folder / (self.name + ".json")
        self.state = {"target": self.name, "cpu_seconds": 0.0, "rounds": 0, "runs": 0, "coverage": 0, "result": "running"}
        if self.state_file.exists():
            self.state = {**json.loads(self.state_file.read_text(encoding="utf-8")), "result": "running"}
        self.found.mkdir(parents=True, exist_ok=True)

    def keep(self):
        temporary = self.state_file.with_suffix(".new")
        temporary.write_text(json.dumps(self.state) + "\n", encoding="utf-8")
        temporary.replace(self.state_file)

    def run_once(self):
        """One round, and what it used. True when it found nothing."""
        command = [self.program, f"-max_total_time={ROUND_SECONDS}", f"-timeout={TIMEOUT_SECONDS}", "-max_len=4096",
                   "-print_final_stats=1", "-detect_leaks=1", f"-artifact_prefix={self.found.parent}/{self.name}-", str(self.found),
                   self.corpus]
        with open(self.log, "ab") as log:
            begin = log.tell()
            with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as child:
                _, status, usage = os.wait4(child.pid, 0)
                child.returncode = os.waitstatus_to_exitcode(status)
        with open(self.log, "rb") as log:
            log.seek(begin)
            said = log.read().decode(errors="replace")
        executed = re.search(r"stat::number_of_executed_units:\s*(\d+)", said)
        covered = re.findall(r"cov: (\d+)", said)
        self.state["cpu_seconds"] = round(self.state["cpu_seconds"] + usage.ru_utime + usage.ru_stime, 1)
        self.state["rounds"] += 1
        self.state["runs"] += int(executed[1]) if executed else 0
        self.state["coverage"] = max([self.state["coverage"], *map(int, covered)])
        if child.returncode != 0:
            self.state["result"] = f"ended with {child.returncode}: see {self.log}"
        self.keep()
        return child.returncode == 0

    def run(self, cpu_seconds):
        while self.state["cpu_seconds"] < cpu_seconds:
            if not self.run_once():
                return
        self.state["result"] = "nothing found"
        self.keep()


def main(argv):
    if len(argv) < 5 or len(argv) % 2 == 0 or not re.fullmatch(r"\d+(\.\d+)?", argv[1]):
        print(__doc__)
        return 2
    folder = pathlib.Path(argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    targets = [Target(folder, program, corpus) for program, corpus in zip(argv[3::2], argv[4::2])]
    begin = time.monotonic()
    threads = [threading.Thread(target=one.run, args=(float(argv[1]) * 60,)) for one in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in targets:
        print(f"{one.name}: {one.state['cpu_seconds'] / 60:.1f} CPU-minutes, {one.state['runs']} runs, "
              f"{one.state['coverage']} edges: {one.state['result']}")
    print(f"{(time.monotonic() - begin) / 60:.1f} minutes in all")
    return 0 if all(one.state["result"] == "nothing found" for one in targets) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
