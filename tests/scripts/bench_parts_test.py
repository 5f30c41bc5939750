#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Tests of what tools/bench is made of, on made-up results. With a folder of benchmark programs as argument: also a run of
those, as short as can be."""
import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).parents[2] / "tools"
sys.path.insert(0, str(TOOLS / "lib"))
import bench  # noqa: E402
import bench_plot  # noqa: E402
import bench_report  # noqa: E402
import bench_rows  # noqa: E402
import bench_table  # noqa: E402
import report  # noqa: E402
from processes import Failure  # noqa: E402

FIELDS = ["case", "size", "threads", "subject", "ns", "p50", "p99", "p9999", "value", "unit", "note"]
PROGRAMS = None


def entry(name, label="|how", **numbers):
    """As Google Benchmark writes it."""
    return {"name": f"{name}/iterations:1/manual_time", "real_time": 1.0, "time_unit": "ns", "label": label, **numbers}


def one_row(name, ns=1.0, **more):
    return {**bench_rows.split_name(name), **dict.fromkeys(bench_rows.NUMBERS), "ns": ns, "unit": "", "note": "how", **more}


class RowsTest(unittest.TestCase):
    def test_a_row_is_read_from_its_name_counters_and_label(self):
        row, = bench_rows.rows_of([entry("full99/bounce/4096/1/-", "x half|how; why", ns=5.0, p50=4.0, value=1.5)])
        self.assertEqual(row, one_row("full99/bounce/4096/1/-", 5.0, p50=4.0, value=1.5, unit="x half", note="how; why"))

    def test_what_is_skipped_says_why_and_what_fails_fails(self):
        skipped = entry("growth/bounce/64/1/-", error_occurred=True, error_message="skipped: not yet")
        row, = bench_rows.rows_of([skipped])
        self.assertEqual((row["ns"], row["note"]), (None, "skipped: not yet"))
        with self.assertRaisesRegex(Failure, "^pair/bounce/64/1/-: broken$"):
            bench_rows.rows_of([entry("pair/bounce/64/1/-", error_occurred=True, error_message="broken")])

    def test_the_middle_run_counts(self):
        runs = [[one_row("full99/bounce/64/1/-", ns, p50=p50, note=f"run {ns}")] for ns, p50 in ((9, 1), (2, 2), (5, 6))]
        row, = bench_rows.medians(runs)
        self.assertEqual((row["ns"], row["p50"]), (5, 2))
        self.assertEqual(row["note"], "run 5; median of 3 alternating runs")

    def test_near_and_far_cores_are_rows_of_their_own(self):
        def at(ns, distance):
            return [one_row("handoff/bounce/4096/2/-", ns, value=distance, unit=bench_rows.PING_PONG)]

        rows = bench_rows.medians([at(10, 70), at(40, 350), at(30, 360), at(99, 200)])
        self.assertEqual({row["variant"]: row["ns"] for row in rows}, {"near": 10, "far": 30})
        rows = bench_rows.medians([at(99, 200)])
        self.assertEqual([row["variant"] for row in rows], ["mixed"])

    def test_two_threads_are_told_in_terms_of_one(self):
        rows = [one_row("one_thread/bounce/4096/1/-", 4.0), one_row("two_threads/bounce/4096/2/-", 5.0)]
        bench_rows.compare_threads(rows)
        self.assertEqual(rows[1]["value"], 1.25)

    def test_the_file_has_the_fields_it_promises(self):
        row = bench_rows.public(one_row("fail/bounce/64/1/first"))
        self.assertEqual(list(row), FIELDS)
        self.assertEqual(row["note"], "first: how")
        io_row, = bench_rows.null_co_rows([{"op": "read", "qd": 32, "iops_bounced": 1000000, "iops_born_shared": 2000000,
                                            "iops_bare": 3000000, "ratio": 0.5}])
        self.assertEqual(list(bench_rows.public(io_row)), FIELDS)
        self.assertEqual((io_row["ns"], io_row["value"], io_row["subject"]), (1000, 0.5, "bounce"))


class TableTest(unittest.TestCase):
    def test_a_ratio_stands_beside_every_other_subject(self):
        rows = [one_row("pair/bounce/4096/1/-", 4.0), one_row("pair/rte_mempool/4096/1/-", 8.0),
                one_row("pair/bounce/65536/1/-", 20000.0), bench_rows.skipped_row("pair/mimalloc/4096/1/-", "gone")]
        header, lines = bench_table.table_of("pair", rows)
        self.assertEqual(header[2:], ("bounce", "rte_mempool", "mimalloc"))
        self.assertEqual(lines, [("4 KiB", "", "4 ns", "8 ns (0.50)", "skipped"), ("64 KiB", "", "20 us", "", "")])

    def test_percentiles_and_values_have_lines(self):
        _, lines = bench_table.table_of("full99", [one_row("full99/bounce/4096/1/-", 4.0, p50=3.0, p99=9.0, value=1.2, unit="x half")])
        self.assertEqual([line[1:] for line in lines], [("mean", "4 ns"), ("p50", "3 ns"), ("p99", "9 ns"), ("x half", "1.2")])

    def test_what_was_skipped_is_said_once_with_its_reason(self):
        out = io.StringIO()
        bench_table.show(report.Printer(out), [bench_rows.skipped_row(f"{case}/tbb/64/1/-", "gone") for case in ("pair", "fail")])
        self.assertEqual(out.getvalue().count("skipped: tbb, pair, fail: gone"), 1)

    def test_sizes_and_times_are_short(self):
        self.assertEqual([bench_table.size_text(size) for size in (64, 1500, 4096, 3 << 20, 1 << 40)],
                         ["64 B", "1500 B", "4 KiB", "3 MiB", "1 TiB"])
        self.assertEqual([bench_table.time_text(ns) for ns in (1.234, 567.8, 45678, 2.5e7, 3e10)],
                         ["1.23 ns", "568 ns", "45.7 us", "25 ms", "30.0 s"])


class PlotTest(unittest.TestCase):
    ROWS = [one_row(f"{case}/{subject}/4096/1/-", ns) for case in ("pair", "map_to_device") for subject, ns in (("bounce", 2), ("ck_ring", 3))]

    def test_only_what_is_there_is_drawn(self):
        drawn = [name for name, (_, script) in bench_plot.scripts(self.ROWS).items() if script]
        self.assertEqual(drawn, ["pools", "map_to_device"])

    def test_labels_with_spaces_are_one_column(self):
        rows = [one_row("utilisation/bounce/4194304/1/churn", None, value=80.0)]
        self.assertIn('"churn 4 MiB" 80.0\n', bench_plot.scripts(rows)["utilisation"][1])

    def test_gnuplot_understands_it_or_is_named(self):
        with tempfile.TemporaryDirectory(prefix="bounce-plot-") as folder:
            try:
                files = bench_plot.draw(self.ROWS, folder)
            except Failure as failure:
                self.assertIn("gnuplot-nox", str(failure))
                return
            for path in files:
                self.assertIn("<svg", pathlib.Path(path).read_text(encoding="utf-8"))


class ReportTest(unittest.TestCase):
    def test_the_page_has_tables_plots_and_what_was_skipped(self):
        facts = {"command": "tools/bench", "cpu": "a CPU", "cpus": 2, "kernel": "6", "memory": 8, "before": 0.1, "after": 0.2, "quick": ""}
        rows = [one_row("pair/bounce/4096/1/-", 4.0), bench_rows.skipped_row("pair/ck_ring/4096/1/-", "gone")]
        text = bench_report.page(rows, facts, ["performance/pools.svg"])
        self.assertIn("## pair\n\n|  |  | bounce | ck_ring |\n| --- | --- | --- | --- |\n| 4 KiB |  | 4 ns | skipped |\n", text)
        self.assertIn("![pools](performance/pools.svg)", text)
        self.assertIn("- skipped: ck_ring, pair: gone", text)


class CommandTest(unittest.TestCase):
    def test_bad_usage_is_named(self):
        for arguments, text in ((["--frobnicate"], "--frobnicate"), (["--filter"], "--filter"), (["--plot"], "--plot"), (["--report"], "--report")):
            ran = subprocess.run([TOOLS / "bench", *arguments], capture_output=True, text=True, check=False)
            self.assertEqual(ran.returncode, 2)
            self.assertIn(text, ran.stderr)

    def test_a_bad_expression_and_no_match_are_named(self):
        with tempfile.TemporaryDirectory(prefix="bounce-bench-") as folder:
            for text, status, word in (("(", 2, "regular expression"), ("", 1, "cannot run")):
                stderr = io.StringIO()
                with contextlib.redirect_stderr(stderr), contextlib.redirect_stdout(io.StringIO()):
                    self.assertEqual(bench.main(["--build", folder, f"--filter={text}"]), status)
                self.assertIn(word, stderr.getvalue())

    def test_the_programs_run(self):
        if not PROGRAMS:
            self.skipTest("no programs given")
        for program in bench.PROGRAMS:
            path = os.path.join(PROGRAMS, program)
            if not os.path.exists(path):
                self.assertIsNotNone(bench.PROGRAMS[program], f"{program} is missing and belongs to no package")
                continue
            with self.subTest(program), tempfile.NamedTemporaryFile() as file:
                subprocess.run([path, "--seconds=0.0002", "--samples=1000", "--seeds=1", "--benchmark_filter=-1099511627776",
                                f"--benchmark_out={file.name}", "--benchmark_out_format=json"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, check=True)
                rows = bench_rows.rows_of(json.load(file)["benchmarks"])
                self.assertTrue(rows)
                for row in rows:
                    self.assertIn(row["subject"], bench_rows.SUBJECTS)
                    self.assertTrue(row["note"].startswith(bench_rows.SKIPPED) or row["ns"] or row["value"], row)


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        PROGRAMS = sys.argv.pop(1)
    unittest.main()
