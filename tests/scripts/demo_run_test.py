#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Usage: demo_run_test.py BOUNCE_BLK

Runs the demo with a small image: to the end, and interrupted at several moments. Whatever happens, its last line says so
and nothing of it is left. Exit status 77 when the machine lacks what the demo needs.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

if len(sys.argv) != 2:
    sys.exit(__doc__)
os.environ["PATH"] += ":/usr/sbin:/sbin"
MISSING = [name for name in ("qemu-storage-daemon", "mkfs.ext4", "e2fsck") if not shutil.which(name)]
MAIN = pathlib.Path(__file__).parents[2] / "tools/lib/demo.py"
IMAGE_MIB = 16


class DemoRunTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="bounce-demo-test-", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.folder)

    def start(self, *arguments, seconds="0.05"):
        temporary = os.path.join(self.folder, "t")
        os.makedirs(temporary, exist_ok=True)
        demo = subprocess.Popen([sys.executable, "-B", MAIN, "--bounce-blk", sys.argv[1], "--image-mib", str(IMAGE_MIB),
                                 "--seconds", seconds, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, env={**os.environ, "TMPDIR": temporary})
        self.addCleanup(self.end, demo)
        return demo

    def end(self, demo):
        """Of a run that a failed test left behind."""
        if demo.poll() is None:
            demo.terminate()
            demo.communicate(timeout=30)

    def left_over(self):
        """Files in the temporary folder, and processes that know its name."""
        processes = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(self.folder) in words and int(pid) != os.getpid():
                processes.append(words)
        return os.listdir(os.path.join(self.folder, "t")), processes

    def assert_nothing_left(self):
        end = time.monotonic() + 5
        while self.left_over() != ([], []) and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(self.left_over(), ([], []))

    def test_a_run_to_the_end(self):
        output = os.path.join(self.folder, "result.json")
        demo = self.start("--json", output, "--hold", "0.5")
        text, _ = demo.communicate(timeout=240)
        self.assertEqual((demo.returncode, text.splitlines()[-1]), (0, "demo: ok"), text)
        with open(output, encoding="utf-8") as file:
            result = json.load(file)
        self.assertEqual([result[key] for key in ("verified_bytes", "mismatches", "foreign_mappings", "canary_hits", "fsck")],
                         [IMAGE_MIB << 20, 0, 0, 0, "clean"])
        self.assertEqual([(row["op"], row["qd"]) for row in result["null_co"]],
                         [("read", 1), ("read", 32), ("write", 1), ("write", 32)])
        for row in result["null_co"]:
            expected = row["iops_bounced"] / row["iops_born_shared"]
            # Both are rounded to whole requests, of which a machine with much else to do has few.
            rounding = 1 / min(row["iops_bounced"], row["iops_born_shared"])
            self.assertAlmostEqual(row["ratio"], expected, delta=(0.01 + rounding) * expected)
        self.assertGreater(result["private_canaries"], 0)
        self.assert_nothing_left()

    def test_interrupted(self):
        for number, word in ((signal.SIGINT, "file system"), (signal.SIGTERM, "device"), (signal.SIGINT, "The price")):
            with self.subTest(word):
                demo = self.start(seconds="20")
                for line in demo.stdout:
                    if word in line:
                        break
                demo.send_signal(number)
                text, _ = demo.communicate(timeout=30)
                self.assertEqual(text.splitlines()[-1], f"demo: FAILED: interrupted by {signal.Signals(number).name}")
                self.assertEqual(demo.returncode, 1)
                self.assert_nothing_left()

    def test_its_processes_end_with_it_even_when_it_is_killed(self):
        demo = self.start(seconds="20")
        for line in demo.stdout:
            if "The price" in line:
                break
        demo.kill()
        demo.communicate()
        end = time.monotonic() + 10
        while self.left_over()[1] and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(self.left_over()[1], [])

    def test_a_client_that_cannot_start_is_a_failure(self):
        sys.argv[1], program = "/no/such/bounce-blk", sys.argv[1]
        try:
            demo = self.start()
        finally:
            sys.argv[1] = program
        text, _ = demo.communicate(timeout=60)
        self.assertRegex(text.splitlines()[-1], "^demo: FAILED: cannot start /no/such/bounce-blk")
        self.assert_nothing_left()


if __name__ == "__main__":
    if MISSING:
        print("skipped: there is no", " and no ".join(MISSING))
        sys.exit(77)
    unittest.main(argv=sys.argv[:1], verbosity=2)
