#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Standard streams that are closed or full, and what else text and JSON are written to."""
import subprocess

import support
from support import MIB


class StreamsTest(support.DeviceTest):
    def shell(self, redirection, *arguments, status=1):
        """bounce-blk, started by a shell that redirects its streams first."""
        done = subprocess.run(["sh", "-c", f'exec "$0" "$@" {redirection}', support.BOUNCE_BLK, *map(str, arguments)],
                              cwd=self.folder, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, status, f"{arguments} {redirection}\n{done.stderr}")
        return done

    def test_closed_stdout(self):
        """Its number must not go to the pool, which the text would end in."""
        self.file_device()
        for closed in (">&-", ">&- <&-"):
            for arguments in (["info"], ["info", "--json", "-"], ["read", "--length", "4K"], ["copy-out", "-"],
                              ["verify", "--destroy", "--length", "4K"], ["bench", "--seconds", "0.1"]):
                with self.subTest(closed=closed, arguments=arguments):
                    done = self.shell(closed, *arguments, "--socket", self.socket)
                    self.assertIn("cannot write to stdout: Bad file descriptor", done.stderr)

    def test_closed_stdin(self):
        self.file_device()
        done = self.shell("<&-", "copy-in", "-", "--socket", self.socket)
        self.assertIn("cannot read stdin: Bad file descriptor", done.stderr)

    def test_closed_stderr(self):
        """Nothing is left to say an error on, but nothing of it goes elsewhere either."""
        self.disk.write_bytes(support.pattern(MIB))
        self.file_device()
        for closed in ("2>&-", "2>&- <&-"):
            self.shell(closed, "read", "--length", "1M", "--out", "out", "--socket", self.socket, status=0)
            self.assertEqual((self.folder / "out").read_bytes(), self.disk.read_bytes())
            self.shell(closed, "copy-in", "missing", "--socket", self.socket)

    def test_full_stdout(self):
        self.file_device()
        for arguments in (["--help"], ["--version"], ["bench", "--help"]):
            with self.subTest(arguments=arguments):
                self.assertIn("cannot write to stdout: No space left on device", self.shell(">/dev/full", *arguments).stderr)
                self.assertIn("cannot write to stdout: Bad file descriptor", self.shell(">&-", *arguments).stderr)
        (self.folder / "in").write_bytes(support.pattern(MIB))
        for arguments in (["info"], ["info", "--json", "-"], ["copy-in", "in"], ["verify", "in"], ["read", "--length", "512"],
                          ["bench", "--seconds", "0.1"]):
            with self.subTest(arguments=arguments):
                done = self.shell(">/dev/full", *arguments, "--socket", self.socket)
                self.assertIn("cannot write to stdout: No space left on device", done.stderr)


if __name__ == "__main__":
    support.main()
