#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Standard streams that are closed or full, and what else text and JSON are written to."""
import json
import os
import pathlib
import signal
import subprocess
import time

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

    def test_json_into_a_fifo(self):
        """It is opened once: the reader sees one end of file, after all of the JSON."""
        self.file_device()
        os.mkfifo(self.folder / "fifo")
        process = self.start_blk("info", "--socket", self.socket, "--json", "fifo")
        with open(self.folder / "fifo", encoding="utf-8") as fifo:
            text = fifo.read()
        self.assertTrue(json.loads(text)["ok"])
        self.assertEqual(process.wait(60), 0)

    def test_failure_into_a_fifo(self):
        """verify writes its JSON before --hold; it is there once, whatever comes after."""
        self.file_device()
        (self.folder / "in").write_bytes(b"x" * 512)
        os.mkfifo(self.folder / "fifo")
        process = self.start_blk("verify", "in", "--socket", self.socket, "--json", "fifo")
        with open(self.folder / "fifo", encoding="utf-8") as fifo:
            text = fifo.read()
        self.assertFalse(json.loads(text)["ok"])
        self.assertEqual(process.wait(60), 1)

    def test_interrupted_while_a_fifo_is_opened(self):
        self.file_device()
        os.mkfifo(self.folder / "fifo")
        for arguments in (["info", "--json", "fifo"], ["copy-in", "fifo"], ["copy-out", "fifo"], ["verify", "fifo", "--length", "1K"],
                          ["write", "--in", "fifo"], ["read", "--out", "fifo", "--length", "1K"]):
            for number in (signal.SIGINT, signal.SIGTERM):
                with self.subTest(arguments=arguments, signal=number.name):
                    self.check_interrupted_open(arguments, number)

    def check_interrupted_open(self, arguments, number):
        process = self.start_blk(*arguments, "--socket", self.socket)
        end = time.monotonic() + 1  # where the kernel does not say what a process waits for
        wchan = pathlib.Path(f"/proc/{process.pid}/wchan")
        while wchan.read_text(encoding="ascii") != "wait_for_partner" and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 1, errors)
        self.assertIn(f"interrupted by {number.name}", errors)

    def test_json_keeps_what_is_there_until_it_is_written(self):
        device = self.file_device()
        (self.folder / "result.json").write_text("precious")
        hole, end = os.pipe()
        self.addCleanup(os.close, hole)
        self.addCleanup(os.close, end)
        process = self.start_blk("copy-in", "-", "--socket", self.socket, "--json", "result.json", stdin=hole)
        support.wait_for(lambda: self.has_pool(device), 20, "connection")
        process.kill()
        process.communicate(timeout=20)
        self.assertEqual((self.folder / "result.json").read_text(), "precious")
        (self.folder / "result.json").write_text("longer than what comes" * 1000)
        self.blk("info", "--json", "result.json")
        self.assertTrue(self.read_json("result.json")["ok"])

    def test_json_is_another_file_than_the_data(self):
        data = support.pattern(4096)
        names = {"plain": "data", "path": "./data", "symbolic": "symbolic", "hard": "hard"}
        self.file_device()
        for kind, name in names.items():
            for there in (True, False) if kind in ("plain", "path") else (True,):
                with self.subTest(kind=kind, there=there):
                    self.check_same_file(data if there else None, name)

    def check_same_file(self, data, name):
        for left in ("data", "symbolic", "hard"):
            (self.folder / left).unlink(missing_ok=True)
        if data:
            (self.folder / "data").write_bytes(data)
            (self.folder / "symbolic").symlink_to("data")
            os.link(self.folder / "data", self.folder / "hard")
        outputs = (["copy-out", "data"], ["read", "--length", "512", "--out", "data"])
        inputs = (["copy-in", "data"], ["write", "--in", "data"], ["verify", "data"]) if data else ()
        for arguments in (*outputs, *inputs):
            done = self.blk(*arguments, "--json", name, status=2)
            self.assertRegex(done.stderr, rf"--json: '{name}' is the same file as (FILE|--in|--out) 'data'; expected another one")
            self.assertEqual((self.folder / "data").exists(), data is not None)
            if data:
                self.assertEqual((self.folder / "data").read_bytes(), data)
        if data:
            done = self.shell("<data", "copy-in", "-", "--socket", self.socket, "--json", name, status=2)
            self.assertIn("is the same file as stdin", done.stderr)
            done = self.shell(">>data", "copy-out", "-", "--socket", self.socket, "--json", name, status=2)
            self.assertIn("is the same file as stdout", done.stderr)
            self.assertEqual((self.folder / "data").read_bytes(), data)


if __name__ == "__main__":
    support.main()
