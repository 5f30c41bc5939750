#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The command line of tools/demo: what is wrong with it is said at once, before anything is installed or built."""
import pathlib
import shutil
import subprocess
import tempfile
import unittest

DEMO = pathlib.Path(__file__).parents[2] / "tools/demo"


class DemoUsageTest(unittest.TestCase):
    def setUp(self):
        """A copy with nothing around it, which could not build anything."""
        folder = tempfile.TemporaryDirectory(prefix="bounce-demo-usage-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "tools").mkdir()
        shutil.copy(DEMO, self.folder / "tools")

    def run_demo(self, *arguments):
        return subprocess.run(["bash", self.folder / "tools/demo", *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=30, check=False)

    def test_values_out_of_range(self):
        for name, values, low in (("--seconds", ("0", "0.0", "0.049", "1000000.1", "10000000", "-1", "nan", "1e3", "", "2s"), "0.05"),
                                  ("--hold", ("1000000.5", "99999999999999999999", "-1", "inf", "x", ""), "0")):
            for value in values:
                with self.subTest(name=name, value=value):
                    self.check_refused([name, value], f"{name} needs a number from {low} to 1000000, not '{value}'")
                    self.check_refused([f"{name}={value}"], f"{name} needs a number from {low} to 1000000, not '{value}'")

    def test_other_mistakes(self):
        self.check_refused(["--seconds"], "--seconds needs a value")
        self.check_refused(["fast"], "unknown argument 'fast'")
        self.check_refused(["--json", "/nowhere/x.json"], "--json: there is no folder /nowhere")

    def check_refused(self, arguments, sentence):
        done = self.run_demo(*arguments)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertEqual(done.stderr, f"tools/demo: {sentence}; see tools/demo --help\n")
        self.assertFalse((self.folder / "build").exists())

    def test_the_ends_of_the_ranges(self):
        """Not refused: the copy gets as far as the packages, which it does not have."""
        for arguments in (["--seconds", "0.05"], ["--seconds", "1000000"], ["--hold", "0"], ["--hold", "1000000.0"]):
            with self.subTest(arguments=arguments):
                done = self.run_demo(*arguments)
                self.assertEqual(done.returncode, 1)
                self.assertEqual(done.stdout.splitlines()[-1], "demo: FAILED: the packages it needs could not be installed")

    def test_help(self):
        done = self.run_demo("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("from 0.05 to 1000000", done.stdout)


if __name__ == "__main__":
    unittest.main()
