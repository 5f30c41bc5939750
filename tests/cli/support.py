# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the tests of bounce-blk share: running it, and a real device to run it against."""
import array
import fcntl
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
import unittest

SKIPPED = 77
MIB = 1 << 20
BOUNCE_BLK = os.environ.get("BOUNCE_BLK", "bounce-blk")
STORAGE_DAEMON = shutil.which("qemu-storage-daemon")
GOLDEN = pathlib.Path(__file__).resolve().parent / "golden"


def wait_for(condition, seconds, what):
    """Returns the first true value of condition()."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"no {what} within {seconds} s")


def stop(process):
    """Ends a process that this test started, and reaps it."""
    if process.poll() is None:
        process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def pattern(size, seed=1):
    """Bytes that look random and are the same every time."""
    return hashlib.shake_128(str(seed).encode()).digest(size)


class Device:
    """qemu-storage-daemon as a vhost-user-blk back-end, over a file or over nothing (null)."""

    def __init__(self, socket, blockdev, writable=True, queues=1, block_size=None):
        self.socket = socket
        export = (f"type=vhost-user-blk,id=e0,node-name=d0,addr.type=unix,addr.path={socket},"
                  f"writable={'on' if writable else 'off'},num-queues={queues}")
        if block_size:
            export += f",logical-block-size={block_size}"
        self.arguments = [STORAGE_DAEMON, *blockdev, "--export", export]
        self.process = None
        self.start()

    def start(self, arguments=None):
        pidfile = f"{self.socket}.pid"
        for left in (pidfile, self.socket):  # of one that was killed
            if os.path.exists(left):
                os.unlink(left)
        self.process = subprocess.Popen([*(arguments or self.arguments), "--pidfile", pidfile], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"qemu-storage-daemon ended: {self.process.stdout.read().decode()}")
            return os.path.exists(pidfile) and os.path.exists(self.socket)  # the pid file comes last

        wait_for(ready, 20, "vhost-user-blk device")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        stop(self.process)

    def close(self):
        stop(self.process)


class CliTest(unittest.TestCase):
    """A temporary folder, and a tool in it."""

    program = BOUNCE_BLK

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bounce-cli-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def run_tool(self, *arguments, status=0, seconds=60, text=True, **options):
        """Runs it to its end and checks the exit status."""
        done = subprocess.run([self.program, *map(str, arguments)], cwd=self.folder, capture_output=True, text=text,
                              timeout=seconds, check=False, **options)
        self.assertEqual(done.returncode, status, f"{arguments}\nstdout: {done.stdout}\nstderr: {done.stderr}")
        for word in ("terminate called", "Sanitizer", "runtime error"):
            self.assertNotIn(word, str(done.stderr))
        return done

    def start_tool(self, *arguments, **options):
        """Starts it; whoever calls waits for its end."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, "text": True, **options}
        process = subprocess.Popen([self.program, *map(str, arguments)], cwd=self.folder, **options)
        self.addCleanup(stop, process)
        return process

    run_blk = run_tool
    start_blk = start_tool

    def read_json(self, name):
        """The JSON file once it is complete, else None."""
        try:
            return json.loads((self.folder / name).read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None


class GoldenTest(CliTest):
    """Texts that are compared word for word (golden/). BOUNCE_UPDATE_GOLDEN=1 writes them anew."""

    maxDiff = None

    def check_golden(self, name, actual):
        path = GOLDEN / name
        if os.environ.get("BOUNCE_UPDATE_GOLDEN"):
            path.write_text(actual)
        self.assertEqual(path.read_text(), actual, f"{name} differs; BOUNCE_UPDATE_GOLDEN=1 writes it anew")

    def check_help(self, name, tool, commands):
        text = self.run_tool("--help").stdout
        for command in commands:
            text += f"\n==== {command} ====\n" + self.run_tool(command, "--help").stdout
            self.assertIn(f"{tool} {command}", text)
        for line in text.splitlines():
            self.assertLessEqual(len(line), 132, line)
        self.check_golden(name, text)

    def check_wrong(self, name, tool, wrong):
        """wrong: exit status and arguments of each."""
        text = ""
        for status, arguments in wrong:
            done = self.run_tool(*shlex.split(arguments), status=status, stdin=subprocess.DEVNULL)
            self.assertEqual(done.stdout, "", arguments)
            errors = re.sub(r"(this machine's) [\d.]+ \w+", r"\1 MEMORY", done.stderr)
            text += f"$ {tool} {arguments}\n{errors}exit status {status}\n\n"
        self.check_golden(name, text)


class DeviceTest(CliTest):
    """A test that needs the real device."""

    def setUp(self):
        if not STORAGE_DAEMON:
            self.skipTest("qemu-storage-daemon is not installed")
        super().setUp()
        self.socket = self.folder / "blk.sock"
        self.disk = self.folder / "disk.raw"

    def file_device(self, size=64 * MIB, throttle=None, **options):
        """A device over disk.raw, which is made when it is not there; throttle: bytes a second."""
        if not self.disk.exists():
            with open(self.disk, "wb") as disk:
                disk.truncate(size)
        blockdev = ["--blockdev", f"driver=file,node-name=f0,filename={self.disk}"]
        if throttle:
            blockdev = ["--object", f"throttle-group,id=t0,x-bps-total={throttle}", *blockdev,
                        "--blockdev", "driver=throttle,node-name=d0,throttle-group=t0,file=f0"]
        else:
            blockdev += ["--blockdev", "driver=raw,node-name=d0,file=f0"]
        return self.device(blockdev, **options)

    def null_device(self, size=1 << 30, **options):
        return self.device(["--blockdev", f"driver=null-co,node-name=d0,size={size},read-zeroes=off"], **options)

    def device(self, blockdev, **options):
        device = Device(str(self.socket), blockdev, **options)
        self.addCleanup(device.close)
        return device

    def pipe(self):
        """The two ends of a pipe: where to read, and a file to write to that nobody needs to close."""
        hole, end = os.pipe()
        self.addCleanup(os.close, hole)
        writer = os.fdopen(end, "wb", buffering=0)
        self.addCleanup(writer.close)
        return hole, writer

    @staticmethod
    def is_empty(fd):
        waiting = array.array("i", [0])
        fcntl.ioctl(fd, termios.FIONREAD, waiting)
        return waiting[0] == 0

    def wait_connected(self, hole, writer, data=b"x"):
        """Returns once a client that reads the pipe has taken the data, which it does not before it is connected (the device
        has the pool a little earlier than that)."""
        writer.write(data)
        wait_for(lambda: self.is_empty(hole), 20, "connection")

    @staticmethod
    def has_pool(device):
        """Is bounce-blk connected to it?"""
        with open(f"/proc/{device.process.pid}/maps", encoding="utf-8") as maps:
            return "bounce-blk" in maps.read()

    def blk(self, command, *arguments, **options):
        return self.run_tool(command, "--socket", self.socket, *arguments, **options)


def main():
    """unittest, but 77 when all that there was to run was skipped."""
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    if result.testsRun and len(result.skipped) == result.testsRun:
        print("skipped:", result.skipped[0][1])
        sys.exit(SKIPPED)
