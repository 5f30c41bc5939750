#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The device is killed in the middle of a copy."""
import json
import re
import time

import support
from support import MIB

SIZE = 48 * MIB
RATE = 24 * MIB  # of the throttled device, bytes a second


class LostDeviceTest(support.DeviceTest):
    def setUp(self):
        super().setUp()
        self.data = support.pattern(SIZE)
        (self.folder / "in").write_bytes(self.data)

    def kill_in_the_middle(self, *arguments):
        """Starts a copy against a slow device and kills that half way. Returns copy and device."""
        device = self.file_device(throttle=RATE, queues=2)
        copy = self.start_blk(*arguments, "--socket", self.socket, "--bs", "256K", "--json", "result.json")
        time.sleep(1.4)  # past a flush, which comes every second
        self.assertIsNone(copy.poll(), "the copy ended before the device was killed")
        device.kill()
        return copy, device

    def test_copy_in_says_what_is_safe(self):
        copy, _ = self.kill_in_the_middle("copy-in", "in")
        begin = time.monotonic()
        _, errors = copy.communicate(timeout=30)
        self.assertLess(time.monotonic() - begin, 5)
        self.assertEqual(copy.returncode, 1)
        self.assertIn("the device is gone", errors)
        safe, offset, skip = map(int, re.search(
            rf"Safely written: (\d+) bytes of {SIZE} \(flushed\)\. To go on from there: --offset (\d+) --skip (\d+)",
            errors).groups())
        self.assertEqual((offset, skip), (safe, safe))
        self.assertTrue(0 < safe < SIZE, safe)
        self.assertEqual(self.disk.read_bytes()[:safe], self.data[:safe])
        result = self.read_json("result.json")
        self.assertEqual((result["ok"], result["safe_bytes"], result["next_offset"]), (False, safe, safe))
        self.go_on_from(safe)

    def go_on_from(self, safe):
        self.file_device()
        self.blk("copy-in", "in", "--offset", safe, "--skip", safe)
        self.assertEqual(self.disk.read_bytes()[:SIZE], self.data)

    def test_copy_in_reconnects(self):
        for source in ("in", "-"):
            with self.subTest(source=source):
                self.disk.unlink(missing_ok=True)
                with open(self.folder / "in", "rb") as stdin:
                    self.check_reconnects(["copy-in", source], stdin)
                self.assertEqual(self.disk.read_bytes()[:SIZE], self.data)

    def check_reconnects(self, arguments, stdin=None):
        device = self.file_device(throttle=RATE, queues=2)
        copy = self.start_blk(*arguments, "--reconnect", 20, "--socket", self.socket, "--bs", "256K", "--queues", 2,
                              "--json", "result.json", **({"stdin": stdin} if stdin else {}))
        time.sleep(1.2)
        device.kill()
        time.sleep(0.5)
        self.assertIsNone(copy.poll())
        device.start()
        time.sleep(0.4)
        device.kill()
        device.start()
        output, errors = copy.communicate(timeout=60)
        self.assertEqual(copy.returncode, 0, errors)
        self.assertIn("the device is back", output)
        result = self.read_json("result.json")
        self.assertEqual((result["ok"], result["bytes"], result["sha256"]), (True, SIZE, support.sha256(self.data)))
        self.assertGreaterEqual(result["reconnects"], 1)
        device.close()
        return result

    def test_copy_out_reconnects(self):
        self.disk.write_bytes(self.data + bytes(16 * MIB))
        self.check_reconnects(["copy-out", "out", "--length", str(SIZE)])
        self.assertEqual((self.folder / "out").read_bytes(), self.data)

    def test_copy_out_says_how_to_go_on(self):
        self.disk.write_bytes(self.data + bytes(16 * MIB))
        copy, _ = self.kill_in_the_middle("copy-out", "out", "--length", str(SIZE))
        _, errors = copy.communicate(timeout=30)
        self.assertEqual(copy.returncode, 1)
        offset, skip = re.search(r"To go on from there: --offset (\d+) --skip (\d+)", errors).groups()
        self.file_device()
        self.blk("copy-out", "out", "--offset", offset, "--skip", skip, "--length", SIZE - int(offset))
        self.assertEqual((self.folder / "out").read_bytes(), self.data)

    def test_does_not_come_back(self):
        copy, _ = self.kill_in_the_middle("copy-in", "in", "--reconnect", "0.5")
        _, errors = copy.communicate(timeout=30)
        self.assertEqual(copy.returncode, 1)
        self.assertIn("the device did not come back within 0.5 s", errors)
        self.assertIn("Safely written:", errors)

    def test_another_device_comes_back(self):
        copy, device = self.kill_in_the_middle("copy-in", "in", "--reconnect", "20")
        arguments = [a.replace(str(self.disk), str(self.folder / "small")) for a in device.arguments]
        (self.folder / "small").write_bytes(bytes(MIB))
        device.start(arguments)
        _, errors = copy.communicate(timeout=30)
        self.assertEqual(copy.returncode, 1)
        self.assertIn("the device that came back is another one", errors)

    def test_bench(self):
        device = self.null_device()
        for subject in ([], ["--born-shared"], ["--bare"], ["--queues", 1, "--wait", "call"]):
            with self.subTest(subject=subject):
                bench = self.start_blk("bench", "--socket", self.socket, "--seconds", 60, "--json", "-", *subject)
                time.sleep(0.5)
                begin = time.monotonic()
                device.kill()
                output, errors = bench.communicate(timeout=30)
                self.assertLess(time.monotonic() - begin, 5)
                self.assertEqual(bench.returncode, 1)
                self.assertFalse(json.loads(output)["ok"])
                self.assertIn(json.loads(output)["error"], errors)
                device.start()


if __name__ == "__main__":
    support.main()
