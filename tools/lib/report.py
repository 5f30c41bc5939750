# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the demo prints, and what it says about the machine."""
import os
import platform
import sys


class Printer:
    """Short lines for people; colour only on a terminal and without NO_COLOR."""

    def __init__(self, stream=sys.stdout):
        self.stream = stream
        self.colour = stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"

    def paint(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def line(self, text=""):
        print(text, file=self.stream, flush=True)

    def heading(self, text):
        self.line()
        self.line(self.paint("1", text))

    def fact(self, name, text):
        self.line(f"  {name:<14}{text}")

    def check(self, name, good, text):
        self.fact(name, self.paint("32" if good else "1;31", text))

    def table(self, header, rows):
        widths = [max(len(str(row[n])) for row in [header, *rows]) for n in range(len(header))]
        for row in [header, *rows]:
            self.line("  " + "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths)))


def mib(count):
    return f"{count / (1 << 20):.0f} MiB"


def thousands(value):
    return f"{value / 1000:.1f} k" if value < 1e6 else f"{value / 1e6:.2f} M"


def load_average():
    return [round(value, 2) for value in os.getloadavg()]


def machine():
    model = "unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {"cpu": model, "cpus": len(os.sched_getaffinity(0)), "memory_bytes": pages, "kernel": platform.release(),
            "architecture": platform.machine()}
