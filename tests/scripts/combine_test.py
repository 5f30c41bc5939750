#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Tests of tools/lib/combine.py: made-up build directories, joined, and what ctest then says of them."""
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

COMBINE = pathlib.Path(__file__).parents[2] / "tools/lib/combine.py"
PASSING = 'add_test([=[a.pass]=] "/bin/true")\nset_tests_properties([=[a.pass]=] PROPERTIES LABELS "unit" TIMEOUT "10")\n'
FAILING = 'add_test([=[a.fail]=] "/bin/false")\nset_tests_properties([=[a.fail]=] PROPERTIES LABELS "unit")\n'
SLOW = 'add_test([=[a.slow]=] "sleep" "2")\nset_tests_properties([=[a.slow]=] PROPERTIES LABELS "unit" TIMEOUT "1")\n'
SKIPPED = ('add_test([=[a.skip]=] "sh" "-c" "exit 77")\n'
           'set_tests_properties([=[a.skip]=] PROPERTIES LABELS "e2e;unit" SKIP_RETURN_CODE "77")\n')
UNBUILT = 'add_test([=[a.gone]=] "/no/such/program")\nset_tests_properties([=[a.gone]=] PROPERTIES LABELS "unit")\n'


class CombineTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="bounce-combine-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def results(self, configurations):
        """name -> {test: word}, of all but the build tests, which have nothing to build here."""
        fields = []
        for name, (tests, include, exclude, factor) in configurations.items():
            build = self.folder / name
            build.mkdir()
            (build / "CTestTestfile.cmake").write_text(tests)
            fields.append(f"{name};{build};all;{include};{exclude};{factor};")
        out = self.folder / "all"
        subprocess.run([sys.executable, "-B", COMBINE, out, *fields], check=True)
        ran = subprocess.run(["ctest", "--test-dir", out, "-E", "/build$"], capture_output=True, text=True, check=False)
        found = dict(re.findall(r"Test +#\d+: (\S+) \.* *(?:\*\*\*)?(\w+(?: Run)?)", ran.stdout))
        return ran.returncode, found

    def test_names_labels_and_results(self):
        status, found = self.results({"one": (PASSING + SKIPPED, "", "", 1), "two": (PASSING + SKIPPED, "^(unit|abi)$", "^e2e$", 1)})
        self.assertEqual(found, {"one/a.pass": "Passed", "one/a.skip": "Skipped", "two/a.pass": "Passed"})
        self.assertEqual(status, 0)

    def test_what_fails_fails(self):
        for tests, name, word in ((FAILING, "a.fail", "Failed"), (UNBUILT, "a.gone", "Not Run"), ("", "tests", "Failed")):
            with self.subTest(name):
                status, found = self.results({f"bad{name}": (tests, "^unit$", "", 1), f"good{name}": (PASSING, "", "", 1)})
                self.assertEqual(found, {f"bad{name}/{name}": word, f"good{name}/a.pass": "Passed"})
                self.assertNotEqual(status, 0)

    def test_the_timeout_grows_by_the_factor(self):
        status, found = self.results({"short": (SLOW, "", "", 1), "long": (SLOW, "", "", 20)})
        self.assertEqual(found, {"short/a.slow": "Timeout", "long/a.slow": "Passed"})
        self.assertNotEqual(status, 0)

    def test_a_build_that_fails_is_a_test_that_fails(self):
        out = self.folder / "all"
        subprocess.run([sys.executable, "-B", COMBINE, out, f"no;{self.folder}/no;all;;;1;"], check=True)
        ran = subprocess.run(["ctest", "--test-dir", out, "-R", "^no/build$"], capture_output=True, text=True, check=False)
        self.assertIn("no/build (Failed)", ran.stdout)
        self.assertNotEqual(ran.returncode, 0)


if __name__ == "__main__":
    unittest.main()
