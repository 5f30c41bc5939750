#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""bouncectl policy: its words (golden/policy_*.txt; BOUNCE_UPDATE_GOLDEN=1 writes them anew), its JSON, its table, and the
table in docs/policy.md."""
import itertools
import json
import os
import pathlib
import re
import shlex
import subprocess
import unittest

import support

BOUNCECTL = os.environ.get("BOUNCECTL", "bouncectl")
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DECISIONS = {"direct-gpa", "bounced-gpa", "translated-iova", "bounced-iova", "region-offset", "grant", "refuse"}
PLATFORMS = "plain sev snp snp-vtom tdx s390 s390-pv pef cca pkvm xen xen-grant".split()
TRANSPORTS = "ccw pci mmio vhost-user vdpa".split()
PRIVATE = ["sev", "snp", "snp-vtom", "tdx", "s390-pv", "pef", "cca", "pkvm", "xen-grant"]
MODERN = "version_1,access_platform"

# Each: exit status, arguments.
WRONG = [
    (2, ""),
    (2, "fly"),
    (2, "policy"),
    (2, "policy --platform sev"),
    (2, "policy --transport pci"),
    (2, "policy --platform s360 --transport pci"),
    (2, "policy --platform '' --transport pci"),
    (2, "policy --platform sev --transport isa"),
    (2, "policy --platform sev --transport pci --features"),
    (2, "policy --platform sev --transport pci --features version_2"),
    (2, "policy --platform sev --transport pci --features version_1,,dmb"),
    (2, "policy --platform sev --transport pci --features 64"),
    (2, "policy --platform sev --transport pci --trusted --untrusted"),
    (2, "policy --platform sev --transport pci --dma-bits 65"),
    (2, "policy --platform sev --transport pci --dma-bits 0"),
    (2, "policy --platform sev --transport pci --dma-bits many"),
    (2, "policy --platform sev --transport pci --coherent-bits 11"),
    (2, "policy --platform sev --transport pci --memory-bits -1"),
    (2, "policy --platform sev --transport pci --align 3"),
    (2, "policy --platform sev --transport pci --align 4M"),
    (2, "policy --platform sev --transport pci --without-access-platform hope"),
    (2, "policy --platform sev --transport pci --bounce often"),
    (2, "policy --platform sev --transport pci --address hva"),
    (2, "policy --platform sev --transport pci --what"),
    (2, "policy --platform sev --transport pci more"),
    (2, "policy --table --platform sev"),
    (2, "policy --table --iommu"),
]

ANSWERS = [
    "--platform plain --transport pci",
    "--platform plain --transport pci --features VIRTIO_F_VERSION_1,33 --dma-bits 32",
    "--platform plain --transport pci --features version-1,access-platform --dma-bits 32 --memory-bits 32",
    "--platform plain --transport pci --features version_1 --coherent-bits 32",
    "--platform plain --transport pci --features version_1,access_platform --iommu --untrusted --align 4K",
    "--platform plain --transport pci --features version_1 --iommu",
    "--platform plain --transport pci --features version_1 --bounce always",
    "--platform plain --transport pci --features version_1 --dma-bits 32 --bounce never",
    "--platform plain --transport pci --features version_1 --address iova",
    "--platform plain --transport pci --features version_1,48",
    "--platform s390-pv --transport ccw --features version_1,access_platform",
    "--platform s390-pv --transport ccw --features version_1",
    "--platform s390-pv --transport ccw --features version_1 --without-access-platform bounce",
    "--platform s390-pv --transport ccw --features access_platform",
    "--platform s390-pv --transport ccw --features '' --without-access-platform bounce",
    "--platform s390-pv --transport ccw --features version_1,access_platform --iommu",
    "--platform s390-pv --transport ccw --features version_1,access_platform --trusted",
    "--platform tdx --transport ccw --features version_1,access_platform",
    "--platform tdx --transport pci --features version_1,access_platform --trusted",
    "--platform xen-grant --transport pci --features version_1,access_platform --dma-bits 63",
    "--platform snp --transport vdpa --features version_1 --without-access-platform bounce",
]


class PolicyTest(unittest.TestCase):
    maxDiff = None

    def run_ctl(self, *arguments, status=0):
        done = subprocess.run([BOUNCECTL, *arguments], capture_output=True, text=True, timeout=60, check=False,
                              stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, status, f"{arguments}\nstdout: {done.stdout}\nstderr: {done.stderr}")
        for word in ("terminate called", "Sanitizer", "runtime error"):
            self.assertNotIn(word, done.stderr)
        return done

    def ask(self, *arguments):
        done = self.run_ctl("policy", *arguments, "-j")
        self.assertEqual(done.stderr, "")
        self.assertEqual(done.stdout.count("\n"), 1)
        return json.loads(done.stdout)

    def decision(self, platform, transport, features, *more):
        return self.ask("--platform", platform, "--transport", transport, "--features", features, *more)["decision"]

    def check_golden(self, name, actual):
        path = support.GOLDEN / name
        if os.environ.get("BOUNCE_UPDATE_GOLDEN"):
            path.write_text(actual)
        self.assertEqual(path.read_text(), actual, f"{name} differs; BOUNCE_UPDATE_GOLDEN=1 writes it anew")

    def test_help(self):
        text = self.run_ctl("--help").stdout + "\n==== policy ====\n" + self.run_ctl("policy", "--help").stdout
        for line in text.splitlines():
            self.assertLessEqual(len(line), 132, line)
        self.check_golden("policy_help.txt", text)

    def test_version(self):
        self.assertRegex(self.run_ctl("--version").stdout, r"^bouncectl \d+\.\d+\.\d+\n$")

    def test_wrong(self):
        text = ""
        for status, arguments in WRONG:
            done = self.run_ctl(*shlex.split(arguments), status=status)
            self.assertEqual(done.stdout, "", arguments)
            text += f"$ bouncectl {arguments}\n{done.stderr}exit status {status}\n\n"
        self.check_golden("policy_wrong.txt", text)

    def test_answers(self):
        text = ""
        for arguments in ANSWERS:
            text += f"$ bouncectl policy {arguments}\n{self.run_ctl('policy', *shlex.split(arguments)).stdout}\n"
        self.check_golden("policy_answers.txt", text)

    def test_json(self):
        question = ["--platform", "sev", "--transport", "pci", "--features", MODERN]
        answer = self.ask(*question)
        self.assertEqual(list(answer), ["schema_version", "decision", "reason", "rings", "address", "bounce"])
        self.assertEqual(answer["schema_version"], 1)
        pretty = self.run_ctl("policy", *question, "--pretty").stdout
        self.assertEqual(json.loads(pretty), answer)
        self.assertGreater(pretty.count("\n"), 5)
        text = self.run_ctl("policy", *question).stdout
        for value in ("decision", "reason", "rings", "address", "bounce"):
            self.assertIn(answer[value], text)

    def test_every_platform_and_transport(self):
        for platform, transport in itertools.product(PLATFORMS, TRANSPORTS):
            answer = self.ask("--platform", platform, "--transport", transport, "--features", MODERN)
            self.assertIn(answer["decision"], DECISIONS)
            self.assertTrue(answer["reason"])

    def test_fail_closed(self):
        for platform in PRIVATE:
            transport = "ccw" if platform == "s390-pv" else "pci"
            bounce = ["--without-access-platform", "bounce"]
            self.assertEqual(self.decision(platform, transport, "version_1"), "refuse")
            self.assertEqual(self.decision(platform, transport, "version_1", *bounce), "bounced-gpa")
            for features in ("", "access_platform"):
                self.assertEqual(self.decision(platform, transport, features), "refuse")
                self.assertEqual(self.decision(platform, transport, features, *bounce), "refuse")

    def test_table_is_what_is_answered(self):
        table = json.loads(self.run_ctl("policy", "--table", "-j").stdout)
        self.assertEqual(table["schema_version"], 1)
        self.assertEqual({row["platform"] for row in table["rows"]}, set(PLATFORMS))
        self.assertEqual({row["transport"] for row in table["rows"]}, set(TRANSPORTS))
        self.assertEqual({row["decision"] for row in table["rows"]}, DECISIONS)
        for row in table["rows"]:
            question = ["--platform", row["platform"], "--transport", row["transport"], "--dma-bits", str(row["dma_bits"]),
                        "--trusted" if row["trusted"] else "--untrusted"]
            if row["iommu"]:
                question.append("--iommu")
            answer = self.ask(*question, "--features", ",".join(row["features"]))
            for key in ("decision", "reason", "rings", "address", "bounce"):
                self.assertEqual(row[key], answer[key], row)
            if "without_access_platform" in row:
                features = ",".join(set(row["features"]) - {"access_platform"})
                for policy, decision in row["without_access_platform"].items():
                    other = self.ask(*question, "--features", features, "--without-access-platform", policy)
                    self.assertEqual(decision, other["decision"], row)

    def test_what_has_no_emulation_says_so(self):
        rows = json.loads(self.run_ctl("policy", "--table", "-p").stdout)["rows"]
        lines = self.run_ctl("policy", "--table").stdout.splitlines()[2:]
        self.assertEqual(len(rows), len(lines))
        for row, line in zip(rows, lines):
            policy_only = (row["platform"] in ("pkvm", "xen", "xen-grant") or row["transport"] == "vdpa" or
                           "dmb" in row["features"])
            self.assertEqual(row["policy_only"], policy_only, row)
            self.assertEqual("(policy-only)" in line, policy_only, line)

    def test_documented_table(self):
        page = (ROOT / "docs" / "policy.md").read_text()
        tables = re.findall(r"<!-- bouncectl policy --table -->\n(.*?)<!-- end -->", page, re.S)
        self.assertEqual(tables, [self.run_ctl("policy", "--table").stdout],
                         "docs/policy.md has another table than bouncectl policy --table prints")

    def test_output_that_cannot_be_written(self):
        for arguments in (["--table"], ["--table", "-j"], ["--platform", "sev", "--transport", "pci"]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([BOUNCECTL, "policy", *arguments], stdout=full, stderr=subprocess.PIPE, text=True,
                                      timeout=60, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("No space left on device", done.stderr)


if __name__ == "__main__":
    support.main()
