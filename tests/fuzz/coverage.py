#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Usage: coverage.py FOLDER [--files]

How many lines of the code under test do the corpora of the fuzz targets reach? FOLDER has the targets, built so:

    cmake --preset fuzz -B FOLDER-OF-BUILD -DCMAKE_CXX_FLAGS="-fprofile-instr-generate -fcoverage-mapping"
    ninja -C FOLDER-OF-BUILD tests_planted        (they are in tests/fuzz there; nothing is left out of them here)

--files: each file, too. Exit status 0: at least 85 % of each target's; 1: less, or a target failed; 2: bad arguments. Needs
llvm-profdata-14 and llvm-cov-14.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

GOAL_PERCENT = 85
RING = r"virtqueue|cells|segments|tables|dma_barrier|le\b|ring_memory|queue_config"
CODE = {
    "split_driver": rf"api/virtio/({RING}|split_(add|collect|queue|layout|ring))",
    "packed_driver": rf"api/virtio/({RING}|packed_(add|collect|queue|layout|ring))",
    "split_device": r"api/virtio/(device_|guest_memory|split_device|split_layout)",
    "packed_device": r"api/virtio/(device_|guest_memory|packed_device|packed_layout)",
    "vhost_messages": r"api/vhost/",
}


def measure(program, corpus, work):
    """{file: (lines that ran, lines)}"""
    profile = pathlib.Path(work, "profile")
    environment = {**os.environ, "BOUNCE_MUTATION": "none", "LLVM_PROFILE_FILE": str(profile) + ".raw"}
    subprocess.run([program, "-runs=0", corpus], env=environment, check=True, cwd=work, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    subprocess.run(["llvm-profdata-14", "merge", "-o", profile, str(profile) + ".raw"], check=True)
    out = subprocess.run(["llvm-cov-14", "export", "-summary-only", f"-instr-profile={profile}", program], check=True,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    lines = {one["filename"]: one["summary"]["lines"] for one in json.loads(out)["data"][0]["files"]}
    return {name: (one["covered"], one["count"]) for name, one in lines.items()}


def main(argv):
    if len(argv) not in (2, 3) or argv[2:] not in ([], ["--files"]):
        print(__doc__)
        return 2
    corpora = pathlib.Path(__file__).resolve().parent / "corpus"
    root = str(corpora.parents[2])
    good = True
    for target, code in CODE.items():
        with tempfile.TemporaryDirectory(prefix="coverage-") as work:
            files = measure(pathlib.Path(argv[1], f"planted_{target}").resolve(), corpora / target, work)
        ours = {os.path.relpath(name, root): lines for name, lines in files.items()}
        ours = {name: lines for name, lines in ours.items() if re.match(code, name)}
        if argv[2:]:
            for name, (ran, lines) in sorted(ours.items()):
                print(f"    {name}: {ran} of {lines}")
        ran, lines = (sum(column) for column in zip(*ours.values()))
        print(f"{target}: {ran} of {lines} lines, {100 * ran / lines:.1f} %")
        good = good and 100 * ran >= GOAL_PERCENT * lines
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
