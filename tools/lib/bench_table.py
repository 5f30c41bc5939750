# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The results of the benchmarks on the terminal: times, and beside them the ratios that count."""
from bench_rows import BASE, KEY, NO_VARIANT, SKIPPED, SUBJECTS, ratio

# Case -> what is shown of it: (field, label); a label of None is the unit of the row.
FIELDS = {
    "full99": (("ns", "mean"), ("p50", "p50"), ("p99", "p99"), ("p9999", "p99.99"), ("value", None)),
    "utilisation": (("value", None),),
    "create": (("ns", "time"), ("value", None)),
    "two_threads": (("ns", "time"), ("value", None)),
    "handoff": (("ns", "time"), ("value", None)),
    "other_core": (("ns", "time"), ("value", None)),
    "ring_split": (("ns", "time"), ("value", None)),
    "ring_packed": (("ns", "time"), ("value", None)),
    "null_co": (("ns", "time of an I/O"), ("value", None)),
    "null_co_filled": (("ns", "time of an I/O"), ("value", None)),
    "testpmd": (("ns", "time of a packet"), ("value", None)),
}
NO_RATIO = {("handoff", "value"), ("other_core", "value"), ("ring_split", "value"), ("ring_packed", "value"),
            ("two_threads", "value"), ("full99", "value"), ("create", "value"), ("null_co", "value"),
            ("null_co_filled", "value"), ("testpmd", "value")}
LEGEND = ("In parentheses: bounce / this subject; under 1, bounce needs less (utilisation: over 1, bounce holds more). "
          "Times are medians of alternating runs; how each was taken is in the notes of --json.")


def size_text(size):
    for shift, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >= 1 << shift and size % (1 << shift) == 0:
            return f"{size >> shift} {unit}"
    return f"{size} B"


def time_text(ns):
    for limit, divisor, unit in ((1e4, 1, "ns"), (1e7, 1e3, "us"), (1e10, 1e6, "ms")):
        if ns < limit:
            return f"{ns / divisor:.3g} {unit}" if ns < 100 * divisor else f"{ns / divisor:.0f} {unit}"
    return f"{ns / 1e9:.1f} s"


def cell(row, rows, field):
    if row is None:
        return ""
    if row["note"].startswith(SKIPPED):
        return "skipped"
    if row[field] is None:
        return "-"
    text = f"{row[field]:.3g}" if field == "value" else time_text(row[field])
    part = None if (row["case"], field) in NO_RATIO else ratio(row, rows, field)
    return text if part is None else f"{text} ({part:.2f})"


def table_of(case, rows):
    """Header and lines of one case."""
    subjects = [subject for subject in SUBJECTS if any(row["subject"] == subject for row in rows)]
    lines = []
    for key in dict.fromkeys(tuple(row[field] for field in KEY) for row in rows):
        found = {row["subject"]: row for row in rows if tuple(row[field] for field in KEY) == key}
        one = next((row for row in found.values() if not row["note"].startswith(SKIPPED)), None)
        name = size_text(key[1]) + ("" if key[3] == NO_VARIANT else f" {key[3]}")
        for field, label in FIELDS.get(case, (("ns", ""),)):
            if one is None or any(row[field] is not None for row in found.values()) or field == "ns":
                what = (one["unit"] if one else "") if label is None else label
                lines.append((name, what, *(cell(found.get(subject), rows, field) for subject in subjects)))
    return ("", "", *subjects), lines


def show(out, rows):
    for case in dict.fromkeys(row["case"] for row in rows):
        out.heading(case)
        out.table(*table_of(case, [row for row in rows if row["case"] == case]))
    if any(row["subject"] != BASE for row in rows):
        out.line()
        out.line(LEGEND)
    for line in skipped_lines(rows):
        out.line(line)


def skipped_lines(rows):
    """Each reason for which a subject was skipped, once."""
    reasons = {}
    for row in rows:
        if row["note"].startswith(SKIPPED):
            reasons.setdefault((row["subject"], row["note"][len(SKIPPED):]), []).append(row["case"])
    return [f"skipped: {subject}, {', '.join(dict.fromkeys(cases))}: {reason}" for (subject, reason), cases in reasons.items()]
