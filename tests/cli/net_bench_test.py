#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""bounce-net bench: what it prints and writes; how fast things are is none of a test's business."""
import json

import net_support
import support

SUBJECTS = ["bounced", "born_shared", "bare"]


class BenchTest(net_support.NetDeviceTest):
    def test_compare(self):
        self.start_testpmd()
        report = json.loads(self.net("bench", "--json", "-", "--seconds", "0.3", "--size", "60,1400", "--compare").stdout)
        self.assertEqual((report["schema_version"], report["command"], report["ok"]), (1, "bench", True))
        self.assertEqual([(r["subject"], r["frame_bytes"]) for r in report["results"]],
                         [(subject, size) for size in (60, 1400) for subject in SUBJECTS])
        for result in report["results"]:
            self.assertGreater(result["packets"], 0)
            self.assertEqual(result["rounds"], 3)
            self.assertAlmostEqual(result["bits_per_s"], result["packets_per_s"] * result["frame_bytes"] * 8)
        self.assertEqual(len(report["comparisons"]), 2)

    def test_text_and_calls(self):
        self.start_testpmd()
        done = self.net("bench", "--seconds", "0.3", "--size", "100", "--wait", "call")
        self.assertIn("frames of 100 bytes, 1 queue pair, 128 under way", done.stdout)
        self.assertRegex(done.stdout, r"bounced +\d+ +\d+\.\d+ +\d+")

    def test_two_queues_translated(self):
        self.start_testpmd(queues=2, options=",iommu-support=1")
        self.net("bench", "--seconds", "0.3", "--size", "60", "--queues", "2", "--iommu", "--born-shared")


if __name__ == "__main__":
    support.main()
