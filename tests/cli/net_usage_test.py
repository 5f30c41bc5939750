#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""bounce-net: help texts and the sentences for a wrong command line, word for word (golden/)."""
import struct

import net_support
import support

COMMANDS = ["info", "loop", "bench"]

# Each: exit status, arguments.
WRONG = [
    (2, ""),
    (2, "fly"),
    (2, "info"),
    (2, "info --socket ''"),
    (2, "info --socket x --queues 0"),
    (2, "info --socket x --queues 129"),
    (2, "info --socket x --queue-size 100"),
    (2, "info --socket x --queue-size 8"),
    (2, "info --socket x --rx-buffer 64"),
    (2, "info --socket x --pool-size 1"),
    (2, "info --socket x --base-gpa 0x123"),
    (2, "info --socket x --timeout 0"),
    (2, "info --socket x --canary 00"),
    (2, "loop --socket x --count 0"),
    (2, "loop --socket x --size 59"),
    (2, "loop --socket x --size 1400-60"),
    (2, "loop --socket x --size 60-9217"),
    (2, "loop --socket x --size x"),
    (2, "loop --socket x --protocol icmp"),
    (2, "loop --socket x --protocol tcp --size 60"),
    (2, "loop --socket x --window 257"),
    (2, "loop --socket x --no-mergeable --size 4000"),
    (2, "loop --socket x --rx-buffer 256 --size 1500"),
    (2, "loop --socket x --wait often"),
    (2, "loop --socket x --reconnect soon"),
    (2, "loop --socket x --in a.pcap --out a.pcap"),
    (2, "loop --socket x --in a.pcap --queues 2"),
    (2, "loop --socket x --out a.pcap --queues 2"),
    (2, "loop --socket x --out a.pcap --json a.pcap"),
    (2, "bench --socket x --size 60,,70"),
    (2, "bench --socket x --size 2048"),
    (2, "bench --socket x --seconds 0"),
    (2, "bench --socket x --compare --bare"),
    (2, "bench --socket x --compare --iommu"),
    (1, "info --socket missing.sock"),
    (1, "info --socket /dev/null"),
    (1, "info --socket missing.sock --json /nowhere/x.json"),
    (1, "info --socket missing.sock --pool-size 1024P"),
    (1, "loop --socket missing.sock"),
    (1, "bench --socket missing.sock"),
]


class UsageTest(support.GoldenTest):
    program = net_support.BOUNCE_NET

    def test_help(self):
        self.check_help("net_help.txt", "bounce-net", COMMANDS)

    def test_wrong(self):
        # Without a leading folder: the same file for both options.
        (self.folder / "a.pcap").write_bytes(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        self.check_wrong("net_wrong.txt", "bounce-net", WRONG)

    def test_version(self):
        self.assertRegex(self.run_tool("--version").stdout, r"^bounce-net \d+\.\d+\.\d+\n$")

    def test_failure_in_json(self):
        done = self.run_tool("loop", "--socket", "missing.sock", "--json", "failed.json", status=1)
        result = self.read_json("failed.json")
        self.assertEqual((result["schema_version"], result["command"], result["ok"]), (1, "loop", False))
        self.assertIn(result["error"], done.stderr)


if __name__ == "__main__":
    support.main()
