# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The results of the benchmarks as SVG, drawn by gnuplot."""
import os
import subprocess

from bench_rows import NO_VARIANT, SUBJECTS
from bench_table import size_text
from processes import Failure

STYLE = """set terminal svg size 900,480 font 'sans,13' background rgb 'white'
set output '{output}'
set title '{title}' noenhanced
set key outside right
set grid ytics
"""
POOL_CASES = ("pair", "batch32", "bulk32", "churn10k", "one_thread", "two_threads", "handoff near", "handoff far")


def quoted(text):
    return "'" + str(text).replace("'", "''") + "'"


def block(name, lines):
    return f"${name} << END\n" + "".join(" ".join(map(str, line)) + "\n" for line in lines) + "END\n"


def present(rows):
    return [subject for subject in SUBJECTS if any(row["subject"] == subject for row in rows)]


def bars(rows, groups, field, ylabel, log):
    """Groups of bars: (label, test of a row) each; a bar for each subject."""
    subjects = present(rows)
    lines = []
    for label, test in groups:
        found = {row["subject"]: row[field] for row in rows if test(row)}
        if found:
            lines.append((f'"{label}"', *(found.get(subject) or "NaN" for subject in subjects)))
    if not lines:
        return None
    plots = ", ".join(f"$data using {n + 2}{':xtic(1)' if n == 0 else ''} title {quoted(s)} noenhanced" for n, s in enumerate(subjects))
    return (block("data", lines) + f"set ylabel {quoted(ylabel)}\nset style data histograms\nset style histogram clustered\n"
            "set style fill solid 0.9\nset xtics noenhanced rotate by -25\n" + ("set logscale y\n" if log else "set yrange [0:*]\n") + f"plot {plots}\n")


def curves(rows, case):
    rows = [row for row in rows if row["case"] == case and row["ns"]]
    subjects = present(rows)
    if not subjects:
        return None
    blocks, plots = "", []
    for n, subject in enumerate(subjects):
        points = sorted((row["size"], row["ns"]) for row in rows if row["subject"] == subject)
        blocks += block(f"d{n}", points)
        plots.append(f"$d{n} with linespoints lw 2 title {quoted(subject)} noenhanced")
    ticks = ", ".join(f"{quoted(size_text(size))} {size}" for size in sorted({row["size"] for row in rows}))
    return (blocks + f"set ylabel 'ns a map and its unmap'\nset logscale xy\nset xtics rotate by -35 ({ticks})\nplot {', '.join(plots)}\n")


def scripts(rows):
    """File name -> title and what gnuplot is told; None where there is nothing to draw."""
    pools = [{**row, "bar": row["case"] if row["variant"] == NO_VARIANT else f"{row['case']} {row['variant']}"}
             for row in rows if row["size"] == 4096 and row["ns"]]
    pools = [row for row in pools if row["bar"] in POOL_CASES]
    used = [row for row in rows if row["case"] == "utilisation" and row["value"]]
    full = [row for row in rows if row["case"] == "full99" and row["ns"]]
    streams = dict.fromkeys((row["variant"], row["size"]) for row in used)
    latency = [{**row, "which": which, "at": row[which]} for row in full for which in ("p50", "p99", "p9999")]
    return {
        "pools": ("An allocation and its free, 4 KiB", bars(
            pools, [(bar, lambda row, bar=bar: row["bar"] == bar) for bar in POOL_CASES], "ns", "ns a pair", True)),
        "map_to_device": ("map and unmap, to_device", curves(rows, "map_to_device")),
        "map_from_device": ("map and unmap, from_device", curves(rows, "map_from_device")),
        "utilisation": ("Payload at the first failure", bars(
            used, [(f"{variant} {size_text(size)}", lambda row, v=variant, s=size: (row["variant"], row["size"]) == (v, s))
                   for variant, size in streams], "value", "% of the pool", False)),
        "full99": ("Latency of an allocation, pool 99 % full", bars(
            latency, [(label, lambda row, which=which: row["which"] == which)
                      for which, label in (("p50", "p50"), ("p99", "p99"), ("p9999", "p99.99"))], "at", "ns", True)),
    }


def draw(rows, folder):
    """Writes what there is to draw; returns the files' names."""
    files = []
    try:
        os.makedirs(folder, exist_ok=True)
        for name, (title, script) in scripts(rows).items():
            if script is None:
                continue
            path = os.path.join(folder, f"{name}.svg")
            text = STYLE.format(output=path.replace("'", "''"), title=title) + script
            ran = subprocess.run(["gnuplot"], input=text, capture_output=True, text=True, check=False)
            if ran.returncode != 0:
                raise Failure(f"gnuplot could not draw {path}: {ran.stderr.strip().splitlines()[-1:] or 'no reason given'}")
            files.append(path)
    except FileNotFoundError:
        raise Failure("gnuplot is missing (package gnuplot-nox)") from None
    return files
