#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Transfers that fail in the middle: when that is noticed, and what is said of how far they came."""
import signal
import subprocess
import time

import support
from fake_device import FakeDevice
from support import MIB


class FailureTest(support.DeviceTest):
    def filled(self, data):
        """A pipe that ends after the data."""
        (self.folder / "input").write_bytes(data)
        cat = subprocess.Popen(["cat", self.folder / "input"], stdout=subprocess.PIPE)
        self.addCleanup(support.stop, cat)
        return cat.stdout

    def start(self, *arguments, **options):
        return self.start_blk(*arguments, "--socket", self.socket, "--json", "result.json", **options)

    def fails(self, process):
        """Waits for its end. Returns the error and the JSON."""
        _, errors = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 1, errors)
        result = self.read_json("result.json")
        self.assertFalse(result["ok"])
        self.assertIn(result["error"], errors)
        return errors, result

    def on_disk(self, data):
        return lambda: self.disk.read_bytes()[:len(data)] == data

    # A device that ends while nobody asks it for anything.

    def test_a_dead_device_is_noticed_while_the_input_is_quiet(self):
        for wait in ("call", "poll"):
            with self.subTest(wait=wait):
                device = self.null_device()
                hole, writer = self.pipe()
                process = self.start("copy-in", "-", "--wait", wait, stdin=hole)
                self.wait_connected(hole, writer)
                begin = time.monotonic()
                device.kill()
                errors, _ = self.fails(process)
                self.assertLess(time.monotonic() - begin, 5)
                self.assertIn("the device is gone", errors)

    def test_reconnects_while_the_input_is_quiet(self):
        device = self.file_device()
        hole, writer = self.pipe()
        process = self.start("copy-in", "-", "--reconnect", 20, stdin=hole)
        self.wait_connected(hole, writer, b"a" * 1000)
        device.kill()
        device.start()
        support.wait_for(lambda: self.has_pool(device), 20, "connection again")
        writer.write(b"b" * 1000)
        writer.close()
        _, errors = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 0, errors)
        self.assertEqual(self.disk.read_bytes()[:2000], b"a" * 1000 + b"b" * 1000)
        self.assertEqual(self.read_json("result.json")["reconnects"], 1)

    def test_a_dead_device_is_noticed_while_verify_waits(self):
        data = bytearray(support.pattern(4 * MIB))
        self.disk.write_bytes(data)
        data[MIB + 5] ^= 1
        device = self.file_device()
        hole, writer = self.pipe()
        process = self.start("verify", "-", "--length", "4M", stdin=hole)
        self.wait_connected(hole, writer, data[:2 * MIB + 1000])
        begin = time.monotonic()
        device.kill()
        errors, result = self.fails(process)
        self.assertLess(time.monotonic() - begin, 5)
        self.assertIn("the device is gone: the back-end", errors)
        self.assertIn(f"{2 * MIB + 1000} of {4 * MIB} bytes were compared, of which 1 differ", errors)
        self.assertEqual(result["first_mismatch"], MIB + 5)

    def test_verify_goes_on_where_it_was(self):
        """The device comes back while a request is compared by half."""
        data = support.pattern(4 * MIB)
        self.disk.write_bytes(data)
        device = self.file_device()
        hole, writer = self.pipe()
        process = self.start("verify", "-", "--length", "4M", "--reconnect", 20, stdin=hole)
        self.wait_connected(hole, writer, data[:2 * MIB + 1000])
        device.kill()
        device.start()
        support.wait_for(lambda: self.has_pool(device), 20, "connection again")
        writer.write(data[2 * MIB + 1000:])
        _, errors = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 0, errors)
        result = self.read_json("result.json")
        self.assertEqual((result["ok"], result["compared_bytes"], result["mismatched_bytes"], result["reconnects"]),
                         (True, 4 * MIB, 0, 1))

    # Another device than before.

    def test_a_device_that_comes_back_read_only(self):
        device = self.file_device()
        hole, writer = self.pipe()
        process = self.start("copy-in", "-", "--reconnect", 20, stdin=hole)
        self.wait_connected(hole, writer)
        device.kill()
        device.start([a.replace("writable=on", "writable=off") for a in device.arguments])
        errors, _ = self.fails(process)
        self.assertIn("the device that came back is another one: 64 MiB read-only in blocks of 512; it was 64 MiB", errors)

    def test_a_device_that_takes_less_than_before(self):
        (self.folder / "in").write_bytes(bytes(4 * MIB))
        for successor, most in (((4096, 16), 65536), ((65536, 4), 4 * 65536)):
            with self.subTest(successor=successor):
                self.socket.unlink(missing_ok=True)
                device = FakeDevice(str(self.socket), [(65536, 16), successor])
                process = self.start("copy-in", "in", "--reconnect", 20)
                support.wait_for(device.kicked, 20, "request")
                device.hang_up()
                errors, _ = self.fails(process)
                device.close()
                self.assertIn(f"the device that came back is another one: it takes at most {most} bytes a request; those to go "
                              f"on with have {MIB}", errors)

    # verify

    def test_verify_that_ends_early(self):
        data = bytearray(support.pattern(4 * MIB))
        self.disk.write_bytes(data)
        self.file_device()
        process = self.start("verify", "-", "--length", "4M", "--offset", 0, stdin=self.filled(data[:2 * MIB + 1000]))
        errors, result = self.fails(process)
        self.assertIn(f"stdin ended after {2 * MIB + 1000} bytes; --length says {4 * MIB}", errors)
        self.assertIn(f"{2 * MIB + 1000} of {4 * MIB} bytes were compared and are the same", errors)
        self.assertNotIn("To go on", errors)
        self.assertEqual((result["compared_bytes"], result["mismatched_bytes"], result["first_mismatch"]), (2 * MIB + 1000, 0, None))
        for at in (7, 2 * MIB + 999):
            data[at] ^= 1
        process = self.start("verify", "-", "--length", "4M", stdin=self.filled(data[:2 * MIB + 1000]))
        errors, result = self.fails(process)
        self.assertIn(f"{2 * MIB + 1000} of {4 * MIB} bytes were compared, of which 2 differ, the first at offset 7 of the device", errors)
        self.assertEqual((result["compared_bytes"], result["mismatched_bytes"], result["first_mismatch"]), (2 * MIB + 1000, 2, 7))

    def test_verify_of_nothing(self):
        (self.folder / "empty").write_bytes(b"")
        (self.folder / "seven").write_bytes(b"7 bytes")
        self.file_device()
        for arguments, why in ((["empty"], "'empty' has no bytes"), (["seven", "--skip", 7], "'seven' has no bytes after the first 7"),
                               (["--destroy", "--offset", "64M"], f"the device has no bytes from offset {64 * MIB} on")):
            with self.subTest(arguments=arguments):
                errors, _ = self.fails(self.start("verify", *arguments))
                self.assertIn(f"there is nothing to compare: {why}", errors)

    # What is safe when the device is as well as before.

    def test_interrupted_copy_in_tells_all_that_is_safe(self):
        self.file_device()
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=number.name):
                hole, writer = self.pipe()
                data = support.pattern(MIB, seed=number)
                process = self.start("copy-in", "-", stdin=hole)
                writer.write(data)
                support.wait_for(self.on_disk(data), 20, "data on the device")
                process.send_signal(number)
                errors, result = self.fails(process)
                self.assertIn(f"interrupted by {number.name}. Safely written: {MIB} bytes (flushed). To go on from there: "
                              f"--offset {MIB} --skip {MIB}", errors)
                self.assertEqual((result["safe_bytes"], result["next_offset"]), (MIB, MIB))
                self.assertGreater(result["flushes"], 0)

    def test_input_that_does_not_fit(self):
        self.file_device(size=3 * MIB)
        data = support.pattern(3 * MIB + 1)
        errors, result = self.fails(self.start("copy-in", "-", "--offset", "1M", "--bs", "256K", stdin=self.filled(data)))
        self.assertIn(f"stdin is longer than the {2 * MIB} bytes that the device has from offset {MIB} on", errors)
        self.assertIn(f"Safely written: {2 * MIB} bytes (flushed)", errors)
        self.assertNotIn("To go on", errors)
        self.assertEqual(result["safe_bytes"], 2 * MIB)
        self.assertEqual(self.disk.read_bytes()[MIB:], data[:2 * MIB])

    def test_an_io_error_of_one_request(self):
        """The requests before it are written and safe, those behind it do not count."""
        data = support.pattern(4 * MIB)
        (self.folder / "in").write_bytes(data)
        self.disk.write_bytes(bytes(4 * MIB))
        sector = 2 * MIB // 512
        self.device(["--blockdev", f"driver=file,node-name=f0,filename={self.disk}", "--blockdev",
                     f"driver=blkdebug,node-name=d0,image=f0,inject-error.0.event=none,inject-error.0.iotype=write,"
                     f"inject-error.0.sector={sector}"])
        errors, result = self.fails(self.start("copy-in", "in", "--bs", "64K", "--qd", 8))
        self.assertIn(f"the device reports an I/O error for a write of 64 KiB at offset {2 * MIB}", errors)
        self.assertIn(f"Safely written: {2 * MIB} bytes of {4 * MIB} (flushed)", errors)
        self.assertEqual(result["safe_bytes"], 2 * MIB)
        self.assertEqual(self.disk.read_bytes()[:2 * MIB], data[:2 * MIB])


if __name__ == "__main__":
    support.main()
