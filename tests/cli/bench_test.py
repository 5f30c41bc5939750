#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""bench: what it prints and writes; how fast things are is none of a test's business."""
import contextlib
import json
import os
import pty
import re

import support

RESULT = {"subject": str, "op": str, "qd": int, "bs": int, "queues": int, "rounds": int, "round_iops": list, "seconds": float, "operations": int,
          "iops": float, "mib_per_s": float, "p50_ns": float, "p99_ns": float, "p999_ns": float}


class BenchTest(support.DeviceTest):
    def bench(self, *arguments):
        return json.loads(self.blk("bench", "--json", "-", "--seconds", "0.3", *arguments).stdout)

    def check_result(self, result):
        self.assertEqual({key: type(value) for key, value in result.items()}, RESULT)
        self.assertGreater(result["operations"], 0)
        self.assertGreater(result["iops"], 0)
        self.assertAlmostEqual(result["mib_per_s"], result["iops"] * result["bs"] / (1 << 20))
        self.assertTrue(0 < result["p50_ns"] <= result["p99_ns"] <= result["p999_ns"], result)

    def test_one(self):
        self.null_device()
        report = self.bench()
        self.assertEqual((report["schema_version"], report["command"], report["ok"]), (1, "bench", True))
        self.assertEqual(len(report["load_average"]), 3)
        self.assertGreater(report["cores"], 0)
        self.assertEqual(len(bytes.fromhex(report["canary"])), 32)
        self.assertNotIn("ratios", report)
        [result] = report["results"]
        self.check_result(result)
        self.assertEqual((result["subject"], result["op"], result["qd"], result["bs"]), ("bounced", "randread", 32, 4096))

    def test_matrix(self):
        self.null_device()
        report = self.bench("--compare", "--op", "read,randwrite", "--qd", "1,8", "--destroy", "--bs", "8K")
        seen = [(r["op"], r["qd"], r["subject"]) for r in report["results"]]
        self.assertEqual(seen, [(op, qd, subject) for op in ("read", "randwrite") for qd in (1, 8)
                                for subject in ("bounced", "born_shared", "bare")])
        for result in report["results"]:
            self.check_result(result)
        self.assertEqual([(c["op"], c["qd"]) for c in report["comparisons"]], [(op, qd) for op in ("read", "randwrite") for qd in (1, 8)])
        for comparison in report["comparisons"]:
            for name in ("bounced_to_born_shared", "born_shared_to_bare"):
                ratio = comparison[name]
                self.assertTrue(0 < ratio["min"] <= ratio["median"] <= ratio["max"], ratio)

    def test_ratios_of_a_single_case(self):
        self.null_device()
        report = self.bench("--compare", "--qd", 4)
        self.assertEqual(report["ratios"], report["comparisons"][0])

    def test_each_subject_each_way(self):
        self.null_device(queues=2)
        for wait in ("poll", "call"):
            for subject in ([], ["--born-shared"], ["--bare"]):
                for features in ([], ["--no-indirect"], ["--no-event-idx"]):
                    with self.subTest(wait=wait, subject=subject, features=features):
                        report = self.bench("--wait", wait, "--queues", 2, "--qd", 4, *subject, *features)
                        self.check_result(report["results"][0])
                        self.assertEqual(report["results"][0]["queues"], 2)

    def test_stays_on_the_device(self):
        """A device of exactly one request, and one that is no multiple of the request."""
        self.null_device(size=4096 + 512)
        for op in ("read", "randread"):
            self.check_result(self.bench("--op", op)["results"][0])

    def test_text(self):
        self.null_device()
        done = self.blk("bench", "--seconds", "0.3", "--compare", "--qd", 2)
        for part in ("load average", "randread of 4 KiB, queue depth 2, 1 queue: medians of 3 rounds", "p99.9", "bounced/born_shared"):
            self.assertIn(part, done.stdout)

    def test_too_deep_for_the_bare_loop(self):
        self.null_device()
        for subject in ("--bare", "--compare"):
            done = self.blk("bench", subject, "--qd", "1,100", "--queue-size", 128, "--seconds", "0.1", status=1)
            self.assertIn("with --qd 100 it needs a --queue-size of at least 512, not 128", done.stderr)
            self.assertEqual(done.stdout, "", "there was a round before it was said")
        self.check_result(self.bench("--bare", "--qd", 100, "--queue-size", 512)["results"][0])

    def test_a_queue_that_suffices_for_the_bare_loop(self):
        self.null_device()
        for depth in (100, 400, 4096):
            for result in self.bench("--compare", "--qd", depth, "--bs", 512)["results"]:
                self.check_result(result)

    def test_the_smallest_queue(self):
        self.null_device()
        self.check_result(self.bench("--queue-size", 4, "--qd", 1, "--no-indirect")["results"][0])

    def test_progress_counts_rounds(self):
        """One bar for all cases, on a terminal."""
        self.null_device()
        terminal, side = pty.openpty()
        with open(terminal, "rb", buffering=0) as screen:
            process = self.start_blk("bench", "--socket", self.socket, "--compare", "--qd", "1,2", "--seconds", "0.9", stderr=side)
            os.close(side)
            shown = b""
            with contextlib.suppress(OSError):  # its end, on a terminal
                while piece := screen.read(4096):
                    shown += piece
            process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, shown)
        self.assertNotIn(b"MiB", shown)
        done = [int(number) for number in re.findall(rb"%  (\d+) of 54 rounds ", shown)]
        self.assertGreater(len(done), 5, shown)
        self.assertEqual(done, sorted(done))
        self.assertGreater(done[-1], 27, "the second case has no bar")


if __name__ == "__main__":
    support.main()
