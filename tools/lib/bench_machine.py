# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the benchmarks ran on and what built them."""
import glob
import re
import subprocess

import report


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def caches(folder="/sys/devices/system/cpu/cpu0/cache"):
    """Those of the first processor, the nearest first."""
    found = []
    for cache in glob.glob(f"{folder}/index*"):
        level, kind, size = (read(f"{cache}/{name}") for name in ("level", "type", "size"))
        if level and kind != "Instruction":
            found.append(f"L{level} {size}")
    return ", ".join(sorted(found)) or "unknown"


def compiler(build):
    match = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.+)$", read(f"{build}/CMakeCache.txt"), re.MULTILINE)
    if not match:
        return "unknown compiler"
    try:
        ran = subprocess.run([match[1], "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return match[1]
    return ran.stdout.splitlines()[0]


def facts(build):
    machine = report.machine()
    return {"cpu": machine["cpu"], "cpus": machine["cpus"], "kernel": machine["kernel"], "memory": machine["memory_bytes"] / (1 << 30),
            "caches": caches(), "compiler": compiler(build)}
