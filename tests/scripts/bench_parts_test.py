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
import bench_goals  # noqa: E402
import bench_machine  # noqa: E402
import bench_plot  # noqa: E402
import bench_report  # noqa: E402
import bench_rows  # noqa: E402
import bench_table  # noqa: E402
import report  # noqa: E402
import testpmd  # noqa: E402
from processes import Failure  # noqa: E402

FIELDS = ["case", "size", "threads", "subject", "ns", "p50", "p99", "p9999", "value", "unit", "note"]
PROGRAMS = None
FACTS = {"command": "tools/bench", "cpu": "a CPU", "cpus": 2, "kernel": "6", "memory": 8, "caches": "L1 32K", "compiler": "cc 1",
         "rounds": 7, "before": 0.1, "after": 0.2, "quick": ""}


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

    def test_io_has_a_row_for_each_subject(self):
        rows = bench_rows.null_co_rows([{"op": "read", "qd": 32, "iops_bounced": 1000000, "iops_born_shared": 2000000,
                                         "iops_bare": 4000000, "ratio": 0.5}])
        self.assertEqual(list(bench_rows.public(rows[0])), FIELDS)
        self.assertEqual([(row["ns"], row["value"], row["subject"], row["variant"]) for row in rows],
                         [(1000, 1000000, "bounce", "read_qd32"), (500, 2000000, "born_shared", "read_qd32"),
                          (250, 4000000, "bare", "read_qd32")])
        rows = bench_rows.testpmd_rows([{"variant": "split", "size": 60, "bounced": 10, "born_shared": 20, "bare": 0,
                                         "net_virtio_user": 40}])
        self.assertEqual([(row["subject"], row["value"]) for row in rows],
                         [("bounce", 10), ("born_shared", 20), ("bare", 0), ("net_virtio_user", 40)])
        self.assertIsNone(rows[2]["ns"])

    def test_what_testpmd_says_of_its_rate(self):
        text = "testpmd> show port stats 0\n  Rx-pps:      1234567          Rx-bps:    7\n  Rx-pps: 89   Rx-bps: 0\n"
        self.assertEqual(testpmd.rates(text), [1234567, 89])


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
        rows = [one_row("pair/bounce/4096/1/-", 4.0), bench_rows.skipped_row("pair/ck_ring/4096/1/-", "gone")]
        text = bench_report.page(rows, FACTS, ["performance/pools.svg"])
        self.assertIn("## pair\n\n|  |  | bounce | ck_ring |\n| --- | --- | --- | --- |\n| 4 KiB |  | 4 ns | skipped |\n", text)
        self.assertIn("![pools](performance/pools.svg)", text)
        self.assertIn("- skipped: ck_ring, pair: gone", text)
        self.assertIn("0 goals are met, 0 are not, ", text)
        self.assertIn("| processor | a CPU, 2 CPUs |", text)

    def test_the_table_of_the_readme_stands_between_its_marks(self):
        rows = [one_row(f"{case}/{subject}/{size}/1/-", ns) for case, size, _ in bench_report.README_CASES
                for subject, ns in (("bounce", 2.0), ("rte_mempool", 4.0))]
        text = "before\n" + "old\n".join(bench_report.README_MARKS) + "behind\n"
        with tempfile.TemporaryDirectory(prefix="bounce-readme-") as folder:
            path = pathlib.Path(folder) / "README.md"
            path.write_text(text, encoding="utf-8")
            self.assertTrue(bench_report.write_readme(path, rows, FACTS))
            written = path.read_text(encoding="utf-8")
            self.assertTrue(written.startswith("before\n<!--") and written.endswith("-->\nbehind\n"))
            self.assertIn("4 ns (0.50)", written)
            self.assertNotIn("old", written)
            self.assertFalse(bench_report.write_readme(path, rows[2:], FACTS), "there is no first line")
            path.write_text("no marks", encoding="utf-8")
            self.assertFalse(bench_report.write_readme(path, rows, FACTS))

    def test_a_page_elsewhere_is_not_that_of_the_project(self):
        self.assertEqual(bench_report.path_in_project(TOOLS.parent / "docs" / "performance.md"), "docs/performance.md")
        self.assertNotEqual(bench_report.path_in_project("/tmp/docs/performance.md"), "docs/performance.md")
        self.assertEqual(bench_report.shown_path("/tmp/page.md"), "FILE")
        readme = (TOOLS.parent / "README.md").read_text(encoding="utf-8")
        self.assertIsNotNone(bench_report.replace_between(readme, bench_report.README_MARKS, ""))


class GoalsTest(unittest.TestCase):
    ROWS = [one_row("pair/bounce/4096/1/-", 4.0, p99=7.0), one_row("pair/ck_ring/4096/1/-", 8.0), one_row("pair/lifo/4096/1/-", 5.0),
            one_row("fail/bounce/64/1/first", 20.0), bench_rows.skipped_row("pair/mimalloc/4096/1/-", "gone")]

    def verdict(self, of, **more):
        _, (line,) = bench_goals.table(self.ROWS, [{"goal": "a goal", "of": of, **more}])
        return line[2:4]

    def test_ratios_and_limits(self):
        self.assertEqual(self.verdict("pair/bounce/4096", by=["pair/ck_ring/4096"], at_most=0.5), ("0.50", bench_goals.MET))
        self.assertEqual(self.verdict("pair/bounce/4096", by=["pair/ck_ring/4096"], at_most=0.49), ("0.50", bench_goals.NOT_MET))
        self.assertEqual(self.verdict("pair/bounce/4096", at_least=4, unit="%"), ("4.00 %", bench_goals.MET))
        self.assertEqual(self.verdict("pair/bounce/4096", at_least=4.1), ("4.00", bench_goals.NOT_MET))
        self.assertEqual(self.verdict("fail/bounce/64/first", at_most=20, unit="ns"), ("20.0 ns", bench_goals.MET))
        self.assertEqual(self.verdict("pair/bounce/4096:p99", at_most=6), ("7.00", bench_goals.NOT_MET))

    def test_the_best_of_several_and_differences(self):
        several = ["pair/ck_ring/4096", "pair/lifo/4096"]
        self.assertEqual(self.verdict("pair/bounce/4096", by=several, at_most=0.7), ("0.80", bench_goals.NOT_MET))
        self.assertEqual(self.verdict("pair/ck_ring/4096", less="pair/bounce/4096", at_most=4, unit="ns"), ("4.00 ns", bench_goals.MET))

    def test_what_is_missing_is_never_met(self):
        missing = ("", bench_goals.NOT_MEASURED)
        self.assertEqual(self.verdict("pair/nobody/4096", at_most=1e9), missing)
        self.assertEqual(self.verdict("pair/nobody/4096", at_least=-1), missing)
        self.assertEqual(self.verdict("pair/bounce/4096", by=["pair/nobody/4096"], at_most=1e9), missing)
        self.assertEqual(self.verdict("pair/bounce/4096", by=["pair/ck_ring/4096", "pair/mimalloc/4096"], at_most=1e9), missing)
        self.assertEqual(self.verdict("pair/bounce/4096", less="pair/mimalloc/4096", at_most=1e9), missing)
        self.assertEqual(self.verdict("pair/bounce/4096:p50", at_most=1e9), missing)
        _, lines = bench_goals.table([])
        self.assertTrue(lines)
        self.assertEqual({line[3] for line in lines}, {bench_goals.NOT_MEASURED})
        self.assertEqual(bench_goals.summary(lines), f"0 goals are met, 0 are not, {len(lines)} were not measured.")

    def test_the_file_says_what_it_means(self):
        known = {"goal", "of", "by", "less", "at_most", "at_least", "unit", "beside"}
        goals = bench_goals.load()
        self.assertEqual(len({goal["goal"] for goal in goals}), len(goals))
        for goal in goals:
            self.assertLessEqual(set(goal), known)
            self.assertEqual(("at_most" in goal) + ("at_least" in goal), 1, goal)
            self.assertLessEqual(("by" in goal) + ("less" in goal), 1, goal)


class CommandTest(unittest.TestCase):
    def test_the_machine_is_described(self):
        facts = bench_machine.facts("/nowhere")
        self.assertEqual(set(facts), {"cpu", "cpus", "kernel", "memory", "caches", "compiler"})
        self.assertEqual(facts["compiler"], "unknown compiler")
        self.assertEqual(bench_machine.caches("/nowhere"), "unknown")

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
                    self.assertIn(row["case"], [case for group in (*bench.GROUPS, bench.ONCE) for case in group])
                    self.assertTrue(row["note"].startswith(bench_rows.SKIPPED) or row["ns"] or row["value"], row)

    def test_each_figure_of_a_goal_is_one_that_a_program_gives(self):
        if not PROGRAMS:
            self.skipTest("no programs given")
        names = set()
        for program in filter(lambda name: os.path.exists(os.path.join(PROGRAMS, name)), bench.PROGRAMS):
            listed = subprocess.run([os.path.join(PROGRAMS, program), "--benchmark_list_tests=true"], capture_output=True, text=True, check=True)
            names.update("{case}/{subject}/{size}/{variant}".format(**bench_rows.split_name(name)) for name in listed.stdout.split())
        subjects = {name.split("/")[1] for name in names}
        for goal in bench_goals.load():
            for name in (goal["of"], *goal.get("by", ()), goal.get("less", goal["of"]), goal.get("beside", goal["of"])):
                case, subject, size, variant = (name.partition(":")[0].split("/") + ["-"])[:4]
                variant = "-" if variant in ("near", "far") else variant.removesuffix("_near").removesuffix("_far")
                if subject in subjects:  # else its package is missing
                    self.assertTrue(f"{case}/{subject}/{size}/{variant}" in names, goal)


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        PROGRAMS = sys.argv.pop(1)
    unittest.main()
