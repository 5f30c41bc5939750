#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Help texts and the sentences for a wrong command line, word for word (golden/). BOUNCE_UPDATE_GOLDEN=1 writes them anew."""
import subprocess

import support

COMMANDS = ["info", "read", "write", "copy-in", "copy-out", "verify", "bench"]

# Each: exit status, arguments.
WRONG = [
    (2, ""),
    (2, "fly"),
    (2, "info"),
    (2, "info --socket"),
    (2, "info --socket x --what"),
    (2, "info --socket ''"),
    (2, "info --socket x --queues 0"),
    (2, "info --socket x --queues 1.5"),
    (2, "info --socket x --queues 99999999999999999999999"),
    (2, "info --socket x --queue-size 100"),
    (2, "info --socket x --queue-size 2"),
    (2, "info --socket x --queue-size 64K"),
    (2, "info --socket x --pool-size 1"),
    (2, "info --socket x --pool-size 12Q"),
    (2, "info --socket x --pool-size -1"),
    (2, "info --socket x --pool-size 99999999999P"),
    (2, "info --socket x --base-gpa 0x123"),
    (2, "info --socket x --wait often"),
    (2, "info --socket x --timeout 0"),
    (2, "info --socket x --timeout nan"),
    (2, "info --socket x --hold -3"),
    (2, "info --socket x --canary 00"),
    (2, "read --socket x"),
    (2, "read --socket x --length 100"),
    (2, "read --socket x --length 0"),
    (2, "read --socket x --length 512 --offset 1"),
    (2, "read --socket x --length 512 --json -"),
    (2, "read --socket x --length 512 --qd 0"),
    (2, "read --socket x --length 512 --qd 1,2"),
    (2, "read --socket x --length 512 --bs 1000"),
    (2, "read --socket x --length 512 --bs 2G"),
    (2, "copy-in --socket x"),
    (2, "copy-in a b --socket x"),
    (2, "copy-in a --socket x --reconnect 5x"),
    (2, "copy-out - --socket x --json -"),
    (2, "verify --socket x"),
    (2, "verify a --socket x --destroy"),
    (2, "verify --socket x --destroy --length 100"),
    (2, "bench --socket x --op fly"),
    (2, "bench --socket x --op read,write"),
    (2, "bench --socket x --qd 1,,2"),
    (2, "bench --socket x --seconds 0"),
    (2, "bench --socket x --compare --bare"),
    (1, "info --socket missing.sock"),
    (1, "info --socket /dev/null"),
    (1, "info --socket missing.sock --json /nowhere/x.json"),
    (1, "info --socket missing.sock --pool-size 1024P"),
    (1, "read --socket missing.sock --length 512 --qd 4096 --bs 1G"),
    (1, "copy-in missing.img --socket missing.sock"),
    (1, "copy-in . --socket missing.sock"),
    (1, "copy-in - --socket missing.sock --skip 5"),
    (1, "write --socket missing.sock --in seven"),
    (1, "write --socket missing.sock --in seven --length 512"),
    (1, "copy-in seven --socket missing.sock --skip 8"),
    (1, "verify seven --socket missing.sock --length 512"),
    (1, "bench --socket missing.sock"),
]


class UsageTest(support.GoldenTest):
    def test_help(self):
        self.check_help("help.txt", "bounce-blk", COMMANDS)

    def test_version(self):
        self.assertRegex(self.run_blk("--version").stdout, r"^bounce-blk \d+\.\d+\.\d+\n$")

    def test_wrong(self):
        (self.folder / "seven").write_bytes(b"7 bytes")
        self.check_wrong("wrong.txt", "bounce-blk", WRONG)

    def test_socket_path_too_long(self):
        done = self.run_blk("info", "--socket", "x" * 200, status=2)
        self.assertIn("expected a path of 1 to 107 bytes, got 200", done.stderr)

    def test_failure_in_json(self):
        done = self.run_blk("info", "--socket", "missing.sock", "--json", "failed.json", status=1)
        result = self.read_json("failed.json")
        self.assertEqual((result["schema_version"], result["command"], result["ok"]), (1, "info", False))
        self.assertIn(result["error"], done.stderr)

    def test_closed_stderr(self):
        script = 'exec "$0" info --socket missing.sock 2>&-'
        done = subprocess.run(["sh", "-c", script, support.BOUNCE_BLK], cwd=self.folder, check=False)
        self.assertEqual(done.returncode, 1)


if __name__ == "__main__":
    support.main()
