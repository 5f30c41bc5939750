#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The demo itself, started by tools/demo, which builds bounce-blk before and explains the options (tools/demo --help)."""
import argparse
import contextlib
import os
import secrets
import signal
import sys
import time

import image
import isolation
import null_co
import processes
import report
from jsonfile import read_json, write_json
from processes import Failure, Interrupted

QUEUES = 2


class Demo:
    def __init__(self, options, stack):
        self.options = options
        self.stack = stack
        self.out = report.Printer()
        self.image_bytes = options.image_mib << 20
        self.folder = processes.make_folder(stack)
        self.canary = secrets.token_bytes(32)
        self.result = {"ok": False, "verified_bytes": 0, "mismatches": None, "foreign_mappings": None,
                       "canary_hits": None, "fsck": None, "null_co": [], "load_average": report.load_average(),
                       "machine": report.machine()}

    def path(self, name):
        return os.path.join(self.folder, name)

    def run(self):
        self.introduce()
        self.make_image()
        device, socket = self.start_device()
        observer = isolation.Observer(device.pid, self.canary)
        self.out.heading("Copy in and out through the pool")
        self.copy(observer, socket, "copy-in", [self.path("image"), "--queues", str(QUEUES)])
        self.copy(observer, socket, "copy-out", [self.path("back"), "--length", str(self.image_bytes), "--queues", str(QUEUES)])
        self.verify()
        self.show_isolation(observer)
        self.compare_on_null_co()
        if self.options.hold > 0:
            self.hold(device, socket)
        self.result["ok"] = True

    def introduce(self):
        machine = self.result["machine"]
        self.out.line(self.out.paint("1", "A real device does I/O through the bounce pool"))
        self.out.fact("machine", f"{machine['cpu']}, {machine['cpus']} CPUs, Linux {machine['kernel']}, "
                                 f"load average {self.result['load_average'][0]}")

    def make_image(self):
        space = os.statvfs(self.folder)
        if space.f_bavail * space.f_frsize < 4 * self.image_bytes:
            raise Failure(f"{os.path.dirname(self.folder)} has less than {report.mib(4 * self.image_bytes)} free; "
                          "set TMPDIR to a folder that has")
        files, content = image.build(self.folder, self.path("image"), self.image_bytes)
        image.fill(self.path("disk"), self.image_bytes)
        self.out.fact("file system", f"ext4, {report.mib(self.image_bytes)}, {files} files of this machine ({report.mib(content)})")

    def start_device(self):
        version = image.run(["qemu-storage-daemon", "--version"], "qemu-storage-daemon").split("\n")[0].split(" ")[2]
        device, socket = processes.storage_daemon(
            self.stack, self.folder, "disk",
            [f"driver=file,node-name=f0,filename={self.path('disk')}", "driver=raw,node-name=d0,file=f0,discard=unmap"], QUEUES)
        self.out.fact("device", f"qemu-storage-daemon {version}, process {device.pid}, a vhost-user-blk back-end over a fresh image")
        return device, socket

    def client(self, command, socket, arguments, name, hold):
        """Starts bounce-blk with the run's canary. Returns the process and where its JSON will be."""
        output = self.path(f"{name}.json")
        words = [self.options.bounce_blk, command, *arguments, "--socket", socket, "--canary", self.canary.hex(),
                 "--hold", str(hold), "--quiet", "--json", output]
        return processes.start(self.stack, words, self.path(f"{name}.log")), output

    def copy(self, observer, socket, command, arguments):
        """Copies, looks on now and then, and once more with everything held in place."""
        process, output = self.client(command, socket, arguments, command, 3600)
        next_look = time.monotonic() + 0.1

        def done():
            nonlocal next_look
            result = read_json(output)
            if not result and time.monotonic() > next_look:
                observer.look_in_between(process.pid)
                next_look = time.monotonic() + 0.5
            return result

        outcome = processes.wait_for(done, process, f"bounce-blk {command}", 600)
        if not outcome["ok"] or outcome.get("bytes") != self.image_bytes:
            raise Failure(f"bounce-blk {command}: expected {self.image_bytes} bytes, got {outcome.get('error', outcome.get('bytes'))}")
        self.shown = observer.look_at_hold(process.pid, [region["path"] for region in outcome["hold"]["regions"]])
        if sum(m.bytes for m in self.shown) != sum(region["bytes"] for region in outcome["hold"]["regions"]):
            raise Failure(f"the device has not mapped the whole pool while bounce-blk {command} is connected")
        processes.stop(process, signal.SIGINT)
        if process.returncode != 0:
            raise Failure(f"bounce-blk {command} ended with status {process.returncode}: {processes.last_words(process)}")
        seconds = outcome["seconds"]
        self.out.fact(command, f"{report.mib(self.image_bytes)} in {seconds:.2f} s, {self.image_bytes / seconds / (1 << 20):.0f} MiB/s")

    def verify(self):
        digests = {name: image.sha256(self.path(name)) for name in ("image", "disk", "back")}
        equal, on_disk = image.compare(self.path("image"), self.path("disk"))
        equal_back, read_back = image.compare(self.path("image"), self.path("back"))
        self.result.update(verified_bytes=min(equal, equal_back), mismatches=on_disk + read_back, sha256=digests["image"])
        same = len(set(digests.values())) == 1
        self.out.check("SHA-256", same, f"{digests['image'][:16]}... " + ("the same three times: source, the device's disk, read back"
                                                                         if same else "differs"))
        self.result["fsck"] = image.check(self.path("disk"))
        self.out.check("e2fsck -fn", self.result["fsck"] == "clean", self.result["fsck"])
        if not same or self.result["mismatches"]:
            raise Failure(f"{on_disk} blocks of 4 KiB differ on the device's disk, {read_back} in what was read back")
        if self.result["fsck"] != "clean":
            raise Failure(f"e2fsck finds the file system that arrived damaged: {self.result['fsck']}")

    def show_isolation(self, observer):
        found = observer.findings
        self.result.update(foreign_mappings=len(found.foreign), canary_hits=found.canary_hits, looks=found.looks,
                           private_canaries=found.private_hits, pool_bytes=found.pool_bytes,
                           scanned_bytes=found.pool_scanned + found.device_scanned)
        self.out.heading("What the device process can see of ours")
        for m in self.shown:
            self.out.line(f"  {m}  ({report.mib(m.bytes)}: the pool)")
        for text in found.foreign.values():
            self.out.line(f"  {text}")
        self.out.check("anything else", not found.foreign, f"{len(found.foreign)} mappings, in {found.looks} looks at /proc/{observer.device_pid}/maps")
        self.out.check("canaries", not found.canary_hits,
                       f"{found.canary_hits} in {report.mib(found.pool_scanned)} of pool dumps and "
                       f"{report.mib(found.device_scanned)} of the device's own memory")
        self.out.fact("", f"({found.private_hits} in the client's private memory: the search does find them)")
        observer.judge()

    def compare_on_null_co(self):
        self.out.heading("The price of bouncing: 4 KiB on null-co, polling, one queue")
        self.result["null_co"] = null_co.measure(self.stack, self.folder, self.options.bounce_blk, self.options.seconds)
        null_co.show(self.out, self.result["null_co"])

    def hold(self, device, socket):
        """Keeps device and client for somebody else to look at."""
        process, output = self.client("copy-in", socket, [self.path("image"), "--queues", str(QUEUES)], "hold", self.options.hold)
        outcome = processes.wait_for(lambda: read_json(output), process, "bounce-blk copy-in", 600)
        fd = outcome["hold"]["regions"][0]["path"]
        hexed = self.canary.hex()
        self.out.heading(f"Look for yourself, for {self.options.hold:g} seconds (Ctrl-C ends it)")
        for name, text in (("device", f"process {device.pid}"), ("client", f"process {process.pid}"), ("pool", fd), ("canary", hexed)):
            self.out.fact(name, text)
        self.out.line("  memory that the device shares with anybody, and how many canaries are in a dump of the pool:")
        self.out.line(f"    grep -E ' ...s |memfd' /proc/{device.pid}/maps")
        self.out.line(f"    python3 -c 'print(open(\"{fd}\", \"rb\").read().count(bytes.fromhex(\"{hexed}\")))'")
        try:
            processes.finish(process, "bounce-blk copy-in --hold", self.options.hold + 60)
        except Interrupted as signal_name:
            self.out.line(f"  ended early by {signal_name}")


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bounce-blk", required=True)
    parser.add_argument("--json")
    parser.add_argument("--hold", type=float, default=0)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--image-mib", type=int, default=320)
    return parser.parse_args(argv)


def main(argv):
    options = parse(argv)
    processes.install_handlers()
    reason, result = "", {}
    try:
        with contextlib.ExitStack() as stack:
            demo = Demo(options, stack)
            result = demo.result
            demo.run()
    except Interrupted as signal_name:
        reason = f"interrupted by {signal_name}"
    except Failure as failure:
        reason = str(failure)
    except Exception as error:  # pylint: disable=broad-except # whatever it is, the last line has to say so
        reason = f"{type(error).__name__}: {error}"
    if options.json and not write_json(options.json, {**result, "ok": not reason, "error": reason}):
        reason = reason or f"cannot write {options.json}"
    with contextlib.suppress(BrokenPipeError):
        print(f"demo: FAILED: {reason}" if reason else "demo: ok", flush=True)
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
