#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""bouncectl beside a host whose maps wait (control_host.cpp): whatever is changed, every request completes, no byte is
wrong, and `check` is clean."""
import json
import os
import pathlib
import random
import socket
import subprocess
import tempfile
import time
import unittest

import control_wire
import support

BOUNCECTL = os.environ.get("BOUNCECTL", "bouncectl")
HOST = os.environ.get("CONTROL_HOST", "control_host")
SETTINGS = int(os.environ.get("BOUNCE_SETTINGS", "1000"))


class HostTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="bounce-host-")
        self.addCleanup(folder.cleanup)
        self.control = pathlib.Path(folder.name) / "ctl.sock"
        self.host = subprocess.Popen([HOST, self.control], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(support.stop, self.host)
        self.assertEqual(self.host.stdout.readline(), "ready\n")

    def end(self):
        """What the host says at its end: all was right."""
        out, _ = self.host.communicate("", timeout=120)
        result = json.loads(out)
        self.assertEqual(self.host.returncode, 0, result)
        self.assertEqual((result["wrong"], result["errors"]), (0, 0), result)
        self.assertGreater(result["requests"], 0)
        return result

    def ctl(self, *arguments, status=0, target=True):
        command = [BOUNCECTL, *map(str, arguments), *(["--socket", self.control] if target else [])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, status, f"{command}\nstdout: {done.stdout}\nstderr: {done.stderr}")
        return done.stdout + (done.stderr if status else "")

    def ask(self, *arguments):
        return json.loads(self.ctl(*arguments, "-j"))

    def wire(self):
        wire = control_wire.Wire(self.control)
        self.addCleanup(wire.socket.close)
        return wire

    def maps(self):
        return self.ask("show", "pool")["pool"]["maps"]

    def goes_on(self):
        """More is mapped than was."""
        before = self.maps()
        support.wait_for(lambda: self.maps() > before + 100, 60, "progress")

    def events(self):
        return [event["kind"] for event in self.ask("events")["events"]]

    def test_a_region_comes_and_goes(self):
        index = self.ask("region", "add", "4M")["regions"][0]["index"]
        self.goes_on()
        region = next(one for one in self.ask("show", "pool")["regions"] if one["index"] == index)
        self.assertEqual((region["bytes"], region["state"]), (4 << 20, "active"))
        self.assertIn("not being drained", self.ctl("region", "remove", index, status=1))
        # From now on all comes out of the new one.
        self.assertIn("draining", self.ctl("region", "drain", 0))
        self.goes_on()
        support.wait_for(lambda: any(one["region"] == index for one in self.ask("who", "--most", 0)["held"]), 60,
                         "something that is handed out of the new region")
        self.assertIn("in use", self.ctl("region", "remove", 0, status=1))  # the leak is there
        other = self.ask("region", "add", "6M")["regions"][0]["index"]
        self.assertNotEqual(other, index)
        self.assertIn("draining", self.ctl("region", "drain", index))
        self.goes_on()

        def removed():
            done = subprocess.run([BOUNCECTL, "region", "remove", str(index), "--socket", self.control],
                                  capture_output=True, text=True, timeout=60, check=False)
            return done.returncode == 0 and "removed" in done.stdout

        support.wait_for(removed, 60, "removal")
        self.goes_on()
        self.assertTrue(self.ask("check")["clean"])
        # Its addresses are used again.
        self.assertEqual(self.ask("region", "add", "4M")["regions"][0]["index"], index)
        for kind in ("add_region", "drain", "remove_region"):
            self.assertIn(kind, self.events())
        self.end()

    def test_regions_that_cannot_be(self):
        self.assertIn("limit leaves", self.ctl("region", "add", "128M", status=1))
        self.assertIn("expected a multiple", self.ctl("region", "add", "1000", status=1))
        self.assertIn("no region 9", self.ctl("region", "drain", 9, status=3))
        self.assertIn("no region 9", self.ctl("region", "remove", 9, status=3))
        self.assertIn("no region 9", self.ctl("revoke", "--region", 9, status=3))
        self.ctl("region", "grow", 1, status=2)
        self.ctl("region", "drain", "x", status=2)
        self.assertNotIn("add_region", self.events())
        self.end()

    def test_quarantine_and_revoke(self):
        self.assertIn("no device 'nobody'", self.ctl("quarantine", "nobody", status=3))
        self.assertIn("no device 'nobody'", self.ctl("revoke", "nobody", status=3))
        self.assertIn("no regions of its own", self.ctl("revoke", "load", status=1))
        self.ctl("revoke", status=2)
        self.assertIn("is in quarantine", self.ctl("quarantine", "own"))
        states = {device["name"]: device["quarantined"] for device in self.ask("show", "device")["devices"]}
        self.assertEqual(states, {"own": 1, "load": 0, "leaky": 0})
        regions = self.ask("revoke", "own")["regions"]
        self.assertEqual([(region["index"], region["usable"]) for region in regions], [(1, 0)])
        audit = {event["kind"]: event["arg"][2] for event in self.ask("events")["events"]}
        self.assertEqual((audit["quarantine"], audit["revoke"]), (os.getuid(), os.getuid()))
        self.goes_on()
        self.assertTrue(self.ask("check")["clean"])
        self.end()

    def test_who_says_whose_it_is_without_being_asked_before(self):
        """In the default mode: no record, and no tunable was set."""
        self.goes_on()
        held = self.ask("who", "--device", "leaky")["held"]
        self.assertEqual(len(held), 1, held)
        self.assertEqual((held[0]["device_name"], held[0]["kind"], held[0]["direction"]),
                         ("leaky", "mapping", "from_device"))
        self.assertAlmostEqual(held[0]["bytes"], 777, delta=4)
        self.assertGreater(held[0]["age_ms"], 0)
        # The oldest come first; what the load holds is younger.
        oldest = self.ask("who", "--most", 2)["held"]
        self.assertEqual({one["device_name"] for one in oldest}, {"own", "leaky"}, oldest)
        self.end()

    def test_any_setting(self):
        """Random values out of the full ranges, from a second process; `check` after each."""
        wire = self.wire()
        before = {one["name"]: one["value"] for one in wire.tunables() if one["live"]}
        chance = random.Random(6)
        done = {}
        for _ in range(SETTINGS):
            one = chance.choice([one for one in wire.tunables() if one["live"]])
            value = chance.choice([one["least"], one["most"], chance.randint(one["least"], one["most"])])
            try:
                wire.set(**{one["name"]: value})
                done[one["name"]] = done.get(one["name"], 0) + 1
            except control_wire.Refused as refused:
                # It did not fit to another one, or the memory is not there.
                self.assertIn(refused.code, (22, 28), f"{one['name']}={value}: {refused}")
            self.assertEqual(wire.check(), [], f"after {one['name']}={value}")
            self.assertIsNone(self.host.poll())
        self.assertGreater(len(done), 25, done)
        # What was set may have held requests up; nothing is lost. Several depend on each other: all at once.
        wire.set(**before)
        self.goes_on()
        self.assertEqual(wire.check(), [])
        self.end()

    def test_refusals_name_the_range(self):
        wire = self.wire()
        refused = 0
        for one in wire.tunables():
            for value in (one["least"] - 1, one["most"] + 1):
                if not one["live"] or value < 0 or value >= 1 << 64:
                    continue
                with self.assertRaisesRegex(control_wire.Refused, f"{one['name']}: .*{one['least']} to {one['most']}"):
                    wire.set(**{one["name"]: value})
                refused += 1
        self.assertGreater(refused, 30)
        self.end()

    def test_a_thousand_clients_that_stall(self):
        clients = []
        for i in range(1000):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.addCleanup(client.close)
            client.setblocking(False)
            try:
                client.connect(str(self.control))
                if i % 2:
                    client.send(b"x" * (i % 50))
            except (BlockingIOError, BrokenPipeError, ConnectionResetError):
                pass  # the queue is full, or it was dropped at once
            clients.append(client)
        for _ in range(3):
            self.goes_on()
        self.assertTrue(self.ask("check")["clean"])
        self.end()

    def test_a_descriptor_that_is_kept_still_reads(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.connect(str(self.control))
            client.sendall(control_wire.REQUEST.pack(control_wire.MAGIC, control_wire.VERSION, control_wire.HELLO, 0, 0,
                                                     0, 7, 0, 0, 0, 0))
            _, kept, _, _ = socket.recv_fds(client, 65536, 4)
        self.addCleanup(os.close, kept[0])
        self.goes_on()
        top = subprocess.Popen([BOUNCECTL, "top", "--every", "0.1", "--socket", self.control], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
        self.addCleanup(support.stop, top)
        self.assertIn("host", top.stdout.readline())
        maps = self.maps()
        self.host.kill()
        self.host.wait()
        _, errors = top.communicate(timeout=30)
        self.assertEqual(top.returncode, 3, errors)
        self.assertIn("has gone", errors)
        self.assertIn("cannot connect", self.ctl("show", "pool", status=3))
        path = f"/proc/{os.getpid()}/fd/{kept[0]}"
        picture = json.loads(self.ctl("show", "pool", "--stats", path, "-j", target=False))
        self.assertEqual(picture["process"]["pid"], self.host.pid)
        self.assertEqual(picture["process"]["vm_name"], "host-vm")
        self.assertGreaterEqual(picture["pool"]["maps"], maps)
        self.assertIn("load", self.ctl("show", "device", "--stats", path, target=False))
        self.assertIn("bounce_pool_maps_total", self.ctl("metrics", "--stats", path, target=False))
        self.assertIn("figures only", self.ctl("who", "--stats", path, status=1, target=False))
        self.ctl("show", "--stats", "/nowhere", status=3, target=False)

    def test_waits_have_a_histogram(self):
        # Only so little at a time that the threads stand in line.
        self.ctl("set", "device.load.ceiling_bytes=256K", "device.load.reuse_policy=lifo")

        def waited():
            return [one for one in self.ask("hist")["histograms"] if one["kind"] == "wait_ns" and one["count"] > 10]

        histogram = support.wait_for(waited, 60, "waits")[0]
        self.assertEqual(histogram["sample"], 1)
        self.assertEqual(sum(bucket["count"] for bucket in histogram["buckets"]), histogram["count"])
        self.assertIn("wait_ns", self.ctl("hist"))
        metrics = self.ctl("metrics")
        self.assertRegex(metrics, r'bounce_device_wait_seconds_bucket\{[^}]*device="load"[^}]*le="\+Inf"\} [1-9]')
        self.ctl("set", "device.load.ceiling_bytes=0")
        self.end()


if __name__ == "__main__":
    support.main()
