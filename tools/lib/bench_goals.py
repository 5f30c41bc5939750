# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the figures are to be, in bench_goals.json, and what they are. A goal has
    goal      what it is about
    of        the figure: CASE/SUBJECT/SIZE or CASE/SUBJECT/SIZE/VARIANT, and :FIELD when it is not ns
    by        figures: `of` is divided by the smallest of them; all of them have to be there
    less      a figure that is taken off `of`
    at_most, at_least   one of them
    unit      of the result; a ratio has none
    beside    a figure of another subject, for comparison only"""
import json
import os

from bench_rows import NO_VARIANT

MET, NOT_MET, NOT_MEASURED = "met", "**not met**", "not measured"
HEADER = ("goal", "limit", "measured", "", "swiotlb_model")


def load():
    with open(os.path.join(os.path.dirname(__file__), "bench_goals.json"), encoding="utf-8") as file:
        return json.load(file)


def figure(rows, name):
    """The figure of that name, or None when it was not measured."""
    path, _, field = name.partition(":")
    case, subject, size, variant = (path.split("/") + [NO_VARIANT])[:4]
    for row in rows:
        if (row["case"], row["subject"], row["size"], row["variant"]) == (case, subject, int(size), variant):
            return row[field or "ns"]
    return None


def measured(goal, rows):
    of = figure(rows, goal["of"])
    by = [figure(rows, name) for name in goal.get("by", ())]
    less = figure(rows, goal["less"]) if "less" in goal else 0
    if of is None or less is None or not all(by):
        return None
    return of / min(by) if by else of - less


def verdict(goal, value):
    if value is None:
        return NOT_MEASURED
    good = value <= goal["at_most"] if "at_most" in goal else value >= goal["at_least"]
    return MET if good else NOT_MET


def text(goal, value):
    if value is None:
        return ""
    unit = goal.get("unit", "")
    if unit == "ns" and abs(value) >= 1e4:
        value, unit = (value / 1e3, "us") if abs(value) < 1e6 else (value / 1e6, "ms")
    number = f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:.0f}"
    return f"{number} {unit}".strip()


def table(rows, goals=None):
    """Header and lines."""
    lines = []
    for goal in load() if goals is None else goals:
        value = measured(goal, rows)
        sign, limit = ("<=", goal["at_most"]) if "at_most" in goal else (">=", goal["at_least"])
        beside = figure(rows, goal["beside"]) if "beside" in goal else None
        lines.append((goal["goal"], f"{sign} {text(goal, limit)}", text(goal, value), verdict(goal, value), text(goal, beside)))
    return HEADER, lines


def summary(lines):
    counts = [sum(line[3] == kind for line in lines) for kind in (MET, NOT_MET, NOT_MEASURED)]
    return "{} goals are met, {} are not, {} were not measured.".format(*counts)
