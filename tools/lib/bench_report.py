# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The results of the benchmarks as a page of Markdown with plots beside it (docs/performance.md is made by this), and the
table in README.md."""
import datetime
import os

import bench_goals
import bench_plot
from bench_rows import NO_VARIANT
from bench_table import LEGEND, cell, size_text, skipped_lines, table_of

HEAD = """# Performance

Made by `{command}` on {date}; do not edit. What the cases and subjects are: [benchmarks.md](benchmarks.md).

| | |
| --- | --- |
| processor | {cpu}, {cpus} CPUs |
| caches | {caches} |
| memory | {memory:.0f} GiB |
| kernel | Linux {kernel} |
| compiler | {compiler}, preset release (link-time optimisation) |
| load average | {before} before, {after} after |
{quick}
## How the figures were taken

Only ratios count. Programs of subjects that are compared run one after the other, {rounds} times; a time is the median of these
runs, and a ratio is that of two such medians of this one run. Within a run, chunks of operations (mostly 256) are timed, the
slowest 5 % are dropped because they met a preemption, and the rest is averaged. Percentiles are those of single operations (nearest
rank, none dropped), each timed by the time stamp counter less what reading it costs; that they contain the preemptions of the
virtual machine makes them worse than the code. Figures between two cores depend on how far apart these are at that time, so near
and far are rows of their own. `bounce` has its checks on; `bounce_unchecked` has not.

## Goals

{summary}

{goals}

## Plots

{plots}
"""
README_SUBJECTS = ("bounce", "rte_mempool", "jemalloc", "mimalloc", "tbb_fixed_pool", "ck_ring", "swiotlb_model")
README_CASES = (("pair", 4096, "an allocation and its free"), ("batch32", 4096, "32 of them, then their frees"),
                ("churn10k", 4096, "a random one of 10,000 replaced"), ("pair", 1 << 20, "an allocation and its free"),
                ("map_to_device", 4096, "a map and its unmap, with the copy"))
README_MARKS = ("<!-- tools/bench --report -->\n", "<!-- end of tools/bench -->\n")


def markdown(header, lines):
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(str(one) for one in row) + " |" for row in rows)


def page(rows, facts, plots):
    """The text of the page. plots: paths relative to it."""
    header, lines = bench_goals.table(rows)
    pictures = "\n\n".join(f"![{os.path.splitext(os.path.basename(plot))[0]}]({plot})" for plot in plots) or "None."
    parts = [HEAD.format(summary=bench_goals.summary(lines), goals=markdown(header, lines), plots=pictures,
                         date=datetime.datetime.now(datetime.timezone.utc).date(), **facts), LEGEND, ""]
    for case in dict.fromkeys(row["case"] for row in rows):
        parts += [f"## {case}\n", markdown(*table_of(case, [row for row in rows if row["case"] == case])), ""]
    parts += [f"- {line}" for line in skipped_lines(rows)]
    return "\n".join(parts).rstrip() + "\n"


def readme_table(rows, facts):
    """The table of README.md, or None when it would have gaps where Bounce's own figures belong."""
    lines = []
    for case, size, what in README_CASES:
        found = {row["subject"]: row for row in rows if (row["case"], row["size"], row["variant"]) == (case, size, NO_VARIANT)}
        if "bounce" not in found:
            return None
        cells = [cell(found.get(subject), rows, "ns").replace("skipped", "-") for subject in README_SUBJECTS]
        lines.append((f"{what}, {size_text(size)}", *cells))
    return (f"`{facts['command']}` on {facts['cpu']}; in parentheses bounce / this one, under 1 Bounce needs less\n"
            "([all figures](docs/performance.md)):\n\n" + markdown(("", *README_SUBJECTS), lines) + "\n")


def replace_between(text, marks, new):
    """text with what is between the marks replaced; None when it does not have them."""
    begin, end = (text.find(mark) for mark in marks)
    if begin < 0 or end < begin:
        return None
    return text[:begin + len(marks[0])] + new + text[end:]


def write_readme(path, rows, facts):
    """True when the table was rewritten."""
    table = readme_table(rows, facts)
    if table is None or not os.path.exists(path):
        return False
    with open(path, encoding="utf-8") as file:
        text = replace_between(file.read(), README_MARKS, table)
    if text is None:
        return False
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return True


def write(path, rows, facts):
    """The page, and its plots in a folder of the same name; the files that were written. Raises OSError or Failure."""
    base = os.path.dirname(os.path.abspath(path))
    folder = os.path.splitext(os.path.abspath(path))[0]
    plots = [os.path.relpath(plot, base) for plot in bench_plot.draw(rows, folder)]
    with open(path, "w", encoding="utf-8") as file:
        file.write(page(rows, facts, plots))
    readme = os.path.join(base, "..", "README.md")
    # The project's own page, not one that somebody wants elsewhere.
    if path_in_project(path) == "docs/performance.md" and write_readme(readme, rows, facts):
        return [path, os.path.normpath(readme)]
    return [path]


def shown_path(path):
    """For the command that made a page."""
    inside = path_in_project(path)
    return "FILE" if inside.startswith("..") else inside


def path_in_project(path):
    return os.path.relpath(os.path.realpath(path), os.path.realpath(os.path.join(os.path.dirname(__file__), "../..")))
