#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Tests of how the golden file of the fast path is written and compared."""
import pathlib
import unittest

import fast_path_report as report

GOLDEN = pathlib.Path(__file__).parent / "fast_path.txt"
COUNTS = {"alloc": [60, 1, 0, 1, 0], "unmap": [151, 4, 0, 2, 0]}


class ReportTest(unittest.TestCase):
    def test_what_a_probe_prints_is_read(self):
        counts, alike = report.parse_probe("alloc\t60\t1\t0\t1\t0\t33/33\nunmap\t151\t4\t0\t2\t0\t31/33\n")
        self.assertEqual(counts, COUNTS)
        self.assertEqual(alike, {"alloc": "33/33", "unmap": "31/33"})

    def test_what_is_written_is_read_back(self):
        text = report.format_table(COUNTS)
        self.assertEqual(report.parse_table(text), COUNTS)
        self.assertEqual(report.format_table(report.parse_table(text)), text)

    def test_the_file_here_is_as_it_is_written(self):
        text = GOLDEN.read_text(encoding="utf-8")
        self.assertEqual(report.format_table(report.parse_table(text)), text)

    def test_no_difference(self):
        self.assertEqual(report.differences(COUNTS, dict(COUNTS)), [])

    def test_every_figure_that_changed_is_named(self):
        measured = {"alloc": [60, 1, 0, 1, 0], "unmap": [150, 4, 0, 3, 0]}
        self.assertEqual(report.differences(COUNTS, measured),
                         ["unmap: instructions 151 -> 150 (-1)", "unmap: locked 2 -> 3 (+1)"])

    def test_operations_that_come_and_go(self):
        lines = report.differences(COUNTS, {"alloc": COUNTS["alloc"], "map": [1, 0, 0, 0, 0]})
        self.assertEqual(lines, ["unmap: is in the golden file, but was not measured",
                                 "map: was measured, but is not in the golden file"])
        self.assertEqual(len(report.differences({}, COUNTS)), 2)


if __name__ == "__main__":
    unittest.main()
