#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The alert rules and the dashboard of docs/monitoring use metrics that bouncectl has, counters as counters."""
import json
import os
import pathlib
import re
import subprocess
import unittest

import support

BOUNCECTL = os.environ.get("BOUNCECTL", "bouncectl")
FOLDER = pathlib.Path(__file__).resolve().parents[2] / "docs/monitoring"
EXPRESSION = re.compile(r"\bbounce_[a-z_]+")


def expressions():
    """Of rules and dashboard, as (where, text)."""
    rules = (FOLDER / "bounce-rules.yaml").read_text()
    for text in re.findall(r"^\s+expr: (.*)$", rules, re.M):
        yield "rules", text
    for panel in json.loads((FOLDER / "bounce-dashboard.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


class MonitoringTest(unittest.TestCase):
    def setUp(self):
        # Without a pool there are no samples; the families are there.
        environment = {**os.environ, "XDG_RUNTIME_DIR": "/nowhere"}
        self.text = subprocess.run([BOUNCECTL, "metrics"], capture_output=True, text=True, check=True,
                                   env=environment).stdout
        self.types = dict(re.findall(r"^# TYPE (\S+) (counter|gauge|histogram)$", self.text, re.M))

    def test_form(self):
        self.assertTrue(self.text.endswith("# EOF\n"))
        self.assertGreater(len(self.types), 30)
        helps = re.findall(r"^# HELP (\S+) \S.*$", self.text, re.M)
        self.assertEqual(helps, list(self.types))
        for name in self.types:
            self.assertFalse(name.endswith("_total"), name)

    def test_names(self):
        used = set()
        for where, text in expressions():
            for name in EXPRESSION.findall(text):
                family = name.removesuffix("_total").removesuffix("_bucket")
                self.assertIn(family, self.types, f"{where}: {text}")
                self.assertEqual(name.endswith("_total"), self.types[family] == "counter", f"{where}: {text}")
                self.assertEqual(name.endswith("_bucket"), self.types[family] == "histogram", f"{where}: {text}")
                used.add(family)
        self.assertGreater(len(used), 15)

    def test_counters_have_rates(self):
        for where, text in expressions():
            for name in EXPRESSION.findall(text):
                if name.endswith("_total"):
                    self.assertRegex(text, rf"(rate|increase)\({name}[^()]*\[", where)

    def test_alerts_say_what_to_do(self):
        rules = (FOLDER / "bounce-rules.yaml").read_text()
        alerts = rules.count("- alert:")
        self.assertGreaterEqual(alerts, 6)
        for part in ("expr:", "severity:", "summary:"):
            self.assertEqual(rules.count(part), alerts, part)


if __name__ == "__main__":
    support.main()
