#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""bouncectl record, replay and advise: files made here, and demand of bounce-blk on a real device with a pool that is too
small for it."""
import json
import os
import random
import signal
import struct
import subprocess

import support

BOUNCECTL = os.environ.get("BOUNCECTL", "bouncectl")
MAP, UNMAP, FULL = 1, 2, 3
BASE = 1 << 32
MS = 1_000_000


def trace_file(records, bytes_, limit=0, most=0, devices=((7, "net0"), (8, "blk0"))):
    """A trace as docs/trace.md says; records are (kind, ns, addr, bytes, device, buffer)."""
    body = b"".join(struct.pack("<QQQIHBB", ns, addr, length, device, buffer, kind, 0)
                    for kind, ns, addr, length, device, buffer in records)
    config = json.dumps({
        "schema_version": 1,
        "pool": {"name": "made", "bytes": bytes_, "limit_bytes": limit, "low_watermark": 0,
                 "high_watermark": 0, "shrink_delay_ms": 0, "reserve_bytes": 0},
        "regions": [{"bytes": bytes_}],
        "devices": [{"id": id_, "name": name, "floor_bytes": 0, "ceiling_bytes": 0, "priority": False}
                    for id_, name in devices],
        "tunables": [{"name": name, "value": 0, "most": most or 1 << 62, "live": bool(limit) or name.startswith("device")}
                     for name in ["pool.limit_bytes", "pool.low_watermark", "pool.high_watermark"] +
                     [f"device.{id_}.{what}" for id_, _ in devices for what in ("floor_bytes", "ceiling_bytes")]]}).encode()
    at = 4096 + len(body)
    words = [0x31465254_5f45434e, 1, 4096, 32, 4096, len(records), at, 0, 32, at, len(config), 0, 0, 0, 1000 * MS, 1000 * MS]
    return struct.pack("<16Q", *words).ljust(4096, b"\0") + body + config


def demand(peak, seed=1):
    """Mappings of two devices that come to `peak` bytes and no further, and one request that failed."""
    rand = random.Random(seed)
    records, live, used, addr = [], [], 0, BASE
    for step in range(4000):
        length = 64 << rand.randrange(11)
        device = 7 + (rand.randrange(3) == 0)
        ns = step * 200_000
        if used + length <= peak:
            records.append((MAP, ns, addr, length, device, 0))
            live.append((addr, length, device))
            used, addr = used + length, addr + 65536
        elif live:
            gone = live.pop(rand.randrange(len(live)))
            records.append((UNMAP, ns, gone[0], gone[1], gone[2], 0))
            used -= gone[1]
    records.append((FULL, 801 * MS, 0, 65536, 7, 3))
    return records


class TraceTool(support.CliTest):
    program = BOUNCECTL

    def ask(self, *arguments, status=0):
        answer = json.loads(self.run_tool(*arguments, "-j", status=status).stdout)
        self.assertEqual(answer["schema_version"], 1)
        return answer

    def make(self, name, *arguments, **options):
        (self.folder / name).write_bytes(trace_file(*arguments, **options))
        return name

    def check_advice(self, trace):
        """What `advise` says is so; its answer."""
        advice = self.ask("advise", trace)
        limit, smallest = advice["limit_bytes"], advice["smallest_bytes"]
        self.assertGreaterEqual(limit, smallest)
        self.assertLessEqual(limit, 1.1 * smallest)
        replayed = self.ask("replay", trace, "--limit", limit)
        self.assertEqual(replayed["failed"], 0)
        self.assertIsNone(replayed["first_failure"])
        self.assertLessEqual(replayed["pool_bytes"], limit)
        self.assertEqual(self.ask("replay", trace, "--limit", smallest)["failed"], 0)
        less = smallest - advice["step_bytes"]
        if less >= 65536:
            self.assertLessEqual(advice["step_bytes"], max(4096, smallest / 100))
            self.assertGreater(self.ask("replay", trace, "--limit", less, status=1)["failed"], 0)
        tenth = int(limit * 0.9) // 4096 * 4096
        if tenth >= 65536:
            self.assertGreater(self.ask("replay", trace, "--limit", tenth, status=1)["failed"], 0)
        return advice


class FileTest(TraceTool):
    def test_advice_of_a_pool_that_cannot_grow(self):
        trace = self.make("t", demand(3 << 20), 2 << 20)
        failed = self.ask("replay", trace, status=1)
        self.assertGreater(failed["failed"], 0)
        first = failed["first_failure"]
        self.assertIn(first["device_name"], ("net0", "blk0"))
        self.assertGreater(first["bytes"], 0)
        self.assertGreater(failed["ns_per_operation"], 0)
        advice = self.check_advice(trace)
        self.assertEqual(advice["failed"], 1)
        self.assertIn("region.bytes", advice["at_creation"])
        self.assertNotIn("limit", advice["set"])
        text = self.run_tool("advise", trace).stdout
        self.assertIn("When the pool is created:", text)
        self.assertIn("1 of them had found the pool full", text)

    def test_advice_of_a_pool_that_grows(self):
        trace = self.make("t", demand(12 << 20, 2), 2 << 20, limit=4 << 20)
        advice = self.check_advice(trace)
        self.assertIn(f"pool.limit_bytes={advice['limit_bytes']}", advice["set"])
        self.assertIn("pool.low_watermark=", advice["set"])
        self.assertEqual(advice["at_creation"], "")
        self.assertLessEqual(advice["low_watermark"], advice["high_watermark"])
        # Beyond what it was created with only a new pool helps.
        trace = self.make("t", demand(12 << 20, 2), 2 << 20, limit=4 << 20, most=4 << 20)
        self.assertIn("limit_bytes", self.ask("advise", trace)["at_creation"])

    def test_other_configurations(self):
        trace = self.make("t", demand(3 << 20), 8 << 20)
        self.assertEqual(self.ask("replay", trace)["failed"], 0)
        self.assertGreater(self.ask("replay", trace, "--size", "1M", status=1)["failed"], 0)
        grown = self.ask("replay", trace, "--size", "1M", "--limit", "16M")
        self.assertGreater(grown["grows"], 0)
        limited = self.ask("replay", trace, "--set", "device.blk0.ceiling_bytes=64K", status=1)
        self.assertEqual([device["failed"] > 0 for device in limited["devices"] if device["id"] == 7], [False])
        self.assertEqual(limited["first_failure"]["device_name"], "blk0")
        for wrong in (["--set", "pool.color=1"], ["--set", "pool.limit_bytes"], ["--set", "device.x.floor_bytes=1"],
                      ["--limit", "1"], ["--size", "8M", "--limit", "1M"]):
            self.assertNotEqual(self.run_tool("replay", trace, *wrong, status=2).stderr, "")

    def test_replay_is_the_same_each_time(self):
        trace = self.make("t", demand(3 << 20), 2 << 20)
        answers = [self.ask("replay", trace, status=1) for _ in range(2)]
        for answer in answers:
            del answer["ns_per_operation"]
        self.assertEqual(*answers)

    def test_what_is_no_trace_is_refused(self):
        good = trace_file(demand(1 << 20), 2 << 20)
        for name, content, sentence in (("empty", b"", "it is empty"), ("short", good[:100], "has 100 bytes"),
                                        ("cut", good[:-1], "are not in its"), ("half", good[:len(good) // 2], "are not in its"),
                                        ("zeros", bytes(len(good)), "was not ended"),
                                        ("text", b"hello" * 1000, "begins with something else"),
                                        ("record", good[:4096 + 30] + b"\xff" + good[4096 + 31:], "record 0 has kind 255")):
            (self.folder / name).write_bytes(content)
            for command in ("replay", "advise"):
                error = self.run_tool(command, name, status=1).stderr
                self.assertIn(sentence, error)
                self.assertIn(name, error)
        self.run_tool("replay", "missing", status=3)
        self.run_tool("advise", ".", status=1)
        self.run_tool("record", "t", "--socket", "missing.sock", status=3)
        self.assertFalse((self.folder / "t").exists())
        self.assertIn("nothing was asked", self.run_tool("advise", self.make("t", [], 1 << 20), status=1).stderr)


class LiveTest(support.DeviceTest, TraceTool):
    """bounce-blk whose pool has room for half of the requests that it wants to have out at once."""

    program = BOUNCECTL

    def setUp(self):
        super().setUp()
        self.control = self.folder / "ctl.sock"
        self.null_device()
        self.load = subprocess.Popen(
            [support.BOUNCE_BLK, "bench", "--socket", self.socket, "--control", self.control, "--pool-size", "1M", "--bs",
             "64K", "--qd", "32", "--seconds", "120"], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env={**os.environ, "XDG_RUNTIME_DIR": str(self.folder)})
        self.addCleanup(support.stop, self.load)
        support.wait_for(self.busy, 60, "load")

    def busy(self):
        self.assertIsNone(self.load.poll(), "the load has ended")
        done = subprocess.run([BOUNCECTL, "show", "pool", "-j", "--socket", self.control], capture_output=True, text=True,
                              check=False)
        return done.returncode == 0 and json.loads(done.stdout)["pool"]["full"] > 0

    def test_the_advised_limit_is_enough(self):
        recorded = self.ask("record", "load.trace", "--seconds", 0.5, "--socket", self.control)
        self.assertGreater(recorded["records"], 100)
        self.assertTrue(recorded["whole"])
        self.assertLess(recorded["lost"], recorded["records"])
        self.assertGreater(self.ask("replay", "load.trace", status=1)["failed"], 0)
        advice = self.check_advice("load.trace")
        self.assertGreater(advice["failed"], 0)
        self.assertGreater(advice["limit_bytes"], 1 << 20)
        self.assertIn(str(advice["limit_bytes"]), advice["at_creation"])
        # Nothing is recorded any more, and the pool is as it should be.
        events = self.ask("events", "--socket", self.control)["events"]
        self.assertEqual([event["arg"][0] for event in events if event["kind"] == "trace"], [1, 0])
        self.assertTrue(self.ask("check", "--socket", self.control)["clean"])

    def test_live(self):
        advice = self.ask("advise", "live", "--seconds", 0.3, "--socket", self.control)
        self.assertGreater(advice["requests"], 100)
        self.assertGreater(advice["limit_bytes"], 1 << 20)

    def test_ctrl_c_ends_a_recording(self):
        process = self.start_tool("record", "load.trace", "--socket", self.control)
        support.wait_for(lambda: (self.folder / "load.trace").exists() and (self.folder / "load.trace").stat().st_size > 1 << 20,
                         60, "records")
        other = self.run_tool("record", "other.trace", "--socket", self.control, status=1)
        self.assertIn("already", other.stderr)
        self.assertFalse((self.folder / "other.trace").exists())
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)
        self.assertIn("records", out)
        self.assertIn(self.ask("replay", "load.trace", "--limit", "64M")["failed"], [0])

    def test_a_recording_outlives_the_process(self):
        process = self.start_tool("record", "load.trace", "--socket", self.control)
        support.wait_for(lambda: (self.folder / "load.trace").exists() and (self.folder / "load.trace").stat().st_size > 1 << 20,
                         60, "records")
        self.load.kill()
        _, error = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 3)
        self.assertIn("has gone", error)
        self.assertEqual(self.ask("replay", "load.trace", "--limit", "64M")["failed"], 0)


if __name__ == "__main__":
    support.main()
