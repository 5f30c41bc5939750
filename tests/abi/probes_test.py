#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Usage: probes_test.py LIBRARY

The notes of the built library have each USDT probe with its arguments, and docs/probes.md and the scripts of
docs/probes use no others. Exit status: 0 so it is, 1 it is not.
"""
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEADER = ROOT / "allocator/base/probes.hpp"
PROBES = {"map": 4, "unmap": 4, "sync": 4, "full": 3, "wait": 3, "grow": 3, "shrink": 3, "violation": 4}
LIBRARY = ""


def notes():
    """Of the provider bounce: (name, how many arguments) of each place where a probe is."""
    text = subprocess.run(["readelf", "-n", "-W", LIBRARY], capture_output=True, text=True, check=True).stdout
    for provider, name, arguments in re.findall(
            r"Provider: (\S+)\s+Name: (\S+)\s+Location: [^\n]*\n\s+Arguments:([^\n]*)", text):
        # An operand may have a comma, and no space.
        yield provider, name, len(arguments.split())


class ProbesTest(unittest.TestCase):
    def test_each_is_there(self):
        found = {}
        for provider, name, count in notes():
            self.assertEqual(provider, "bounce")
            self.assertEqual(count, PROBES.get(name), name)
            found[name] = found.get(name, 0) + 1
        self.assertEqual(set(found), set(PROBES))

    def test_the_header_says_the_same(self):
        """Each has a function with types, which calls it with as many arguments."""
        functions = re.findall(r"inline void (\w+)\(([^)]*)\)[^{]*\{\s*BOUNCE_PROBE(\d)\((\w+), ([^)]*)\)",
                               HEADER.read_text())
        self.assertEqual({name: int(count) for name, _, count, _, _ in functions}, PROBES)
        for name, parameters, count, probe, arguments in functions:
            names = [parameter.split()[-1].lstrip("*") for parameter in parameters.split(",")]
            self.assertEqual((probe, arguments.split(", "), len(names)), (name, names, int(count)))

    def test_the_page_lists_them(self):
        page = (ROOT / "docs/probes.md").read_text()
        rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \|", page, re.M)
        self.assertEqual({name: arguments.count("arg") for name, arguments in rows}, PROBES)

    def test_scripts_use_what_there_is(self):
        scripts = sorted((ROOT / "docs/probes").glob("*.bt"))
        self.assertGreaterEqual(len(scripts), 4)
        page = (ROOT / "docs/probes.md").read_text()
        used = set()
        symbols = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], capture_output=True, text=True,
                                 check=True).stdout
        exported = set(re.findall(r" T (\w+)@", symbols))
        for script in scripts:
            with self.subTest(script.name):
                self.assertIn(f"probes/{script.name}", page)
                text = script.read_text()
                # What is attached to, and the block that it has.
                blocks = re.findall(r"^((?:u\w+:\S+,?\s*)+)(?:/[^/]*/\s*)?\{(.*?)^\}", text, re.M | re.S)
                self.assertTrue(blocks, "no probes")
                for places, body in blocks:
                    for place in re.findall(r"u\w+:[^\s,]+", places):
                        kind, path, *rest = place.split(":")
                        self.assertTrue(path.endswith("/libbounce.so.0"), place)
                        if kind != "usdt":
                            self.assertIn(rest[0], exported)
                            continue
                        self.assertEqual(rest[0], "bounce", place)
                        self.assertIn(rest[1], PROBES, place)
                        used.add(rest[1])
                        for number in re.findall(r"\barg(\d)\b", body):
                            self.assertLess(int(number), PROBES[rest[1]], f"{place}: arg{number}")
        self.assertEqual(used, set(PROBES))


if __name__ == "__main__":
    LIBRARY = sys.argv.pop(1)
    unittest.main(verbosity=2)
