#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Data goes to the real device and comes back as it was."""
import json
import subprocess

import support
from support import MIB


class CopyTest(support.DeviceTest):
    def test_round_trip(self):
        data = support.pattern(37 * MIB + 12345)
        (self.folder / "in").write_bytes(data)
        self.file_device(queues=2)
        self.blk("copy-in", "in", "--queues", 2, "--bs", "256K", "--json", "in.json")
        self.blk("copy-out", "out", "--queues", 2, "--bs", "64K", "--length", len(data), "--json", "out.json")
        self.assertEqual((self.folder / "out").read_bytes(), data)
        self.assertEqual(self.disk.read_bytes()[:len(data)], data)
        for name in ("in.json", "out.json"):
            result = self.read_json(name)
            self.assertEqual((result["ok"], result["bytes"], result["sha256"]), (True, len(data), support.sha256(data)))
        self.assertEqual(self.read_json("in.json")["padding"], 512 - len(data) % 512)
        self.assertEqual(self.read_json("in.json")["safe_bytes"], len(data))

    def test_sizes_of_requests(self):
        data = support.pattern(9 * MIB)
        (self.folder / "in").write_bytes(data)
        self.file_device()
        for size in ("512", "4K", "12800", "4M"):
            for wait in ("poll", "call"):
                with self.subTest(bs=size, wait=wait):
                    self.blk("copy-in", "in", "--bs", size, "--wait", wait, "--offset", "1M")
                    self.blk("verify", "in", "--bs", size, "--wait", wait, "--offset", "1M")
        self.assertEqual(self.disk.read_bytes()[MIB:10 * MIB], data)

    def test_pipes(self):
        data = support.pattern(3 * MIB + 7)
        self.file_device()
        done = self.blk("copy-in", "-", text=False, input=data)
        self.assertIn(support.sha256(data).encode(), done.stdout)
        done = self.blk("copy-out", "-", "--length", len(data), text=False)
        self.assertEqual(done.stdout, data)
        self.assertIn(support.sha256(data).encode(), done.stderr)

    def test_slow_pipe(self):
        self.file_device()
        script = 'for i in 1 2 3; do printf "part %s" $i; sleep 0.2; done | "$0" copy-in - --socket "$1" --json -'
        done = subprocess.run(["sh", "-c", script, support.BOUNCE_BLK, self.socket], capture_output=True, check=True, timeout=60)
        self.assertEqual(json.loads(done.stdout)["sha256"], support.sha256(b"part 1part 2part 3"))

    def test_closed_pipe(self):
        self.file_device()
        script = '{ "$0" copy-out - --socket "$1" --no-progress; echo "status $?" >&2; } | head -c 1000 >/dev/null'
        done = subprocess.run(["sh", "-c", script, support.BOUNCE_BLK, self.socket], capture_output=True, check=True, timeout=60)
        self.assertIn(b"cannot write to stdout: Broken pipe", done.stderr)
        self.assertIn(b"status 1", done.stderr)

    def test_nothing_to_copy(self):
        self.file_device()
        (self.folder / "in").write_bytes(b"")
        done = self.blk("copy-in", "in")
        self.assertIn(support.sha256(b""), done.stdout)

    def test_skip_goes_on(self):
        data = support.pattern(4 * MIB)
        (self.folder / "in").write_bytes(data)
        self.file_device()
        self.blk("copy-in", "in", "--skip", "1M", "--offset", "1M")
        self.assertEqual(self.disk.read_bytes()[:4 * MIB], bytes(MIB) + data[MIB:])
        (self.folder / "out").write_bytes(data[:MIB])
        self.blk("copy-out", "out", "--skip", "1M", "--offset", "1M", "--length", "3M")
        self.assertEqual((self.folder / "out").read_bytes(), data)

    def test_read_and_write(self):
        self.file_device()
        data = support.pattern(8192)
        self.blk("write", "--offset", "1M", text=False, input=data)
        self.assertEqual(self.disk.read_bytes()[MIB:MIB + 8192], data)
        done = self.blk("read", "--offset", MIB + 512, "--length", "1K", text=False)
        self.assertEqual(done.stdout, data[512:1536])
        self.blk("read", "--offset", "1M", "--length", "8K", "--out", "block")
        self.assertEqual((self.folder / "block").read_bytes(), data)
        (self.folder / "block").write_bytes(data[4096:])
        self.blk("write", "--offset", "2M", "--in", "block", "--length", "512")
        self.assertEqual(self.disk.read_bytes()[2 * MIB:2 * MIB + 1024], data[4096:4608] + bytes(512))

    def test_verify(self):
        data = bytearray(support.pattern(5 * MIB))
        (self.folder / "in").write_bytes(data)
        self.file_device()
        self.blk("copy-in", "in")
        self.assertIn("verified", self.blk("verify", "in").stdout)
        data[3 * MIB + 5] ^= 1
        data[4 * MIB] ^= 1
        (self.folder / "in").write_bytes(data)
        done = self.blk("verify", "in", "--json", "-", status=1)
        result = json.loads(done.stdout)
        self.assertEqual((result["ok"], result["mismatched_bytes"], result["first_mismatch"]), (False, 2, 3 * MIB + 5))
        self.assertIn(f"2 of {5 * MIB} bytes differ from 'in', the first at offset {3 * MIB + 5} of the device", done.stderr)

    def test_verify_pattern(self):
        self.file_device()
        self.blk("verify", "--destroy", "--length", "8M", "--offset", "1M", "--seed", 7)
        first = self.disk.read_bytes()[MIB:9 * MIB]
        self.assertNotEqual(first[:4096], first[4096:8192])
        self.assertEqual(self.disk.read_bytes()[:MIB], bytes(MIB))
        self.blk("verify", "--destroy", "--length", "8M", "--offset", "1M", "--seed", 8)
        self.assertNotEqual(first, self.disk.read_bytes()[MIB:9 * MIB])

    def test_blocks_of_4k(self):
        self.file_device(block_size=4096)
        (self.folder / "in").write_bytes(b"short")
        self.blk("copy-in", "in", "--offset", "8K", "--json", "in.json")
        self.assertEqual(self.read_json("in.json")["padding"], 4096 - 5)
        done = self.blk("copy-in", "in", "--offset", "512", status=1)
        self.assertIn("--offset 512 is not a multiple of the device's block size, 4096", done.stderr)
        done = self.blk("copy-in", "in", "--bs", "512", status=1)
        self.assertIn("--bs 512 is not a multiple of the device's block size, 4096", done.stderr)

    def test_pool_smaller_than_the_load(self):
        """Backpressure: 32 requests of 1 MiB through a pool that holds few of them."""
        data = support.pattern(24 * MIB)
        (self.folder / "in").write_bytes(data)
        self.file_device()
        self.blk("copy-in", "in", "--pool-size", "4M")
        self.blk("copy-out", "out", "--pool-size", "4M", "--length", "24M")
        self.assertEqual((self.folder / "out").read_bytes(), data)

    def test_info(self):
        self.file_device(queues=2)
        text = self.blk("info", "--queues", 2).stdout
        for part in ("64 MiB (67108864 bytes)", "read and write", "+ VIRTIO_F_VERSION_1", "+ VIRTIO_BLK_F_FLUSH", "+ CONFIG",
                     "2 started", "64 MiB at GPA 0x100000000"):
            self.assertIn(part, text)
        result = json.loads(self.blk("info", "--json", "-", "--queues", 2).stdout)
        self.assertEqual((result["capacity_bytes"], result["read_only"], result["flush"]), (64 * MIB, False, True))
        self.assertEqual(result["config"]["num_queues"], 2)
        self.assertEqual(result["remarks"], [])
        self.assertEqual((result["connection"]["queues"], result["connection"]["max_queues"]), (2, 2))
        self.assertEqual(result["pool"]["mappings"], 0)


if __name__ == "__main__":
    support.main()
