# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The results of the benchmarks as a page of Markdown with plots beside it: docs/performance.md is made by this."""
import os

import bench_plot
from bench_table import LEGEND, skipped_lines, table_of

HEAD = """# Performance

Made by `{command}`; do not edit. How each figure is taken: [benchmarks.md](benchmarks.md).

{cpu}, {cpus} CPUs, {memory:.0f} GiB, Linux {kernel}; load average before and after: {before}, {after}.{quick}

{legend}
"""


def markdown(header, lines):
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)


def page(rows, facts, plots):
    """The text of the page. plots: paths relative to it."""
    parts = [HEAD.format(legend=LEGEND, **facts)]
    parts += [f"![{os.path.splitext(os.path.basename(plot))[0]}]({plot})\n" for plot in plots]
    for case in dict.fromkeys(row["case"] for row in rows):
        parts += [f"## {case}\n", markdown(*table_of(case, [row for row in rows if row["case"] == case])), ""]
    parts += [f"- {line}" for line in skipped_lines(rows)]
    return "\n".join(parts).rstrip() + "\n"


def write(path, rows, facts):
    """The page, and its plots in a folder of the same name. Raises OSError or Failure."""
    base = os.path.dirname(os.path.abspath(path))
    folder = os.path.splitext(os.path.abspath(path))[0]
    plots = [os.path.relpath(plot, base) for plot in bench_plot.draw(rows, folder)]
    with open(path, "w", encoding="utf-8") as file:
        file.write(page(rows, facts, plots))
