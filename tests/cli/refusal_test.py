#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What cannot be done is said before anything happens, in a sentence that names both sides."""
import os
import signal
import socket
import time

import support
from support import MIB


class RefusalTest(support.DeviceTest):
    def fails(self, *arguments, expect, **options):
        done = self.blk(*arguments, status=1, **options)
        self.assertIn(expect, done.stderr)
        return done

    def test_read_only(self):
        device = self.file_device(writable=False)
        (self.folder / "in").write_bytes(bytes(512))
        for arguments in (["copy-in", "in"], ["write", "--in", "in"], ["verify", "--destroy"],
                          ["bench", "--op", "randwrite", "--destroy"]):
            self.fails(*arguments, expect="the device is read-only (VIRTIO_BLK_F_RO): nothing was written")
        self.assertIn("read-only", self.blk("info").stdout)
        self.blk("copy-out", "out")
        self.assertEqual((self.folder / "out").stat().st_size, 64 * MIB)
        self.assertIsNone(device.process.poll())

    def test_beyond_the_end(self):
        self.file_device(size=MIB)
        (self.folder / "in").write_bytes(bytes(MIB + 1))
        self.fails("read", "--offset", "1M", "--length", "512",
                   expect="512 bytes at offset 1048576 end beyond the device, which has 1048576 bytes")
        self.fails("read", "--offset", "8192P", "--length", "8192P", expect="end beyond the device")
        self.fails("copy-in", "in", expect="1048577 bytes at offset 0 end beyond the device, which has 1048576 bytes")
        self.fails("copy-in", "-", input="x" * (MIB + 1), expect="longer than the 1048576 bytes that the device has")
        self.fails("verify", "in", expect="end beyond the device")
        self.fails("copy-out", "out", "--offset", "2M", expect="end beyond the device")

    def test_pool_smaller_than_a_request(self):
        self.file_device()
        (self.folder / "in").write_bytes(bytes(8 * MIB))
        done = self.fails("copy-in", "in", "--bs", "4M", "--pool-size", "2M", expect="a request of 4 MiB does not fit into the pool of 2 MiB")
        self.assertIn("choose a larger --pool-size or a smaller --bs", done.stderr)
        self.fails("copy-out", "out", "--bs", "4M", "--pool-size", "2M", expect="does not fit into the pool of 2 MiB")
        self.fails("bench", "--bs", "4M", "--pool-size", "2M", "--seconds", "0.1",
                   expect="a request of 4 MiB does not fit into the pool of 2 MiB: choose a larger --pool-size or a smaller --bs")

    def test_input_ends_early(self):
        self.file_device()
        self.fails("write", "--length", "4K", input="x" * 2048, expect="stdin ended after 2048 bytes; expected 4096")
        self.fails("write", input="x" * 700, expect="stdin has 700 bytes, not a multiple of 512")

    def test_unwritable_output(self):
        self.file_device()
        self.fails("read", "--length", "512", "--out", "/nowhere/x", expect="cannot open '/nowhere/x' for writing: No such file or directory")
        self.fails("copy-out", ".", expect="cannot open '.' for writing: Is a directory")
        self.fails("copy-out", "/dev/full", expect="cannot write to '/dev/full': No space left on device")
        self.assertIn("cannot write to stdout", self.blk("info", status=1, stdout_to="/dev/full").stderr)

    def test_a_device_outlives_clients_that_give_up(self):
        """With requests in its hands; a device that is just hung up on may end."""
        device = self.file_device()
        for _ in range(40):
            self.fails("copy-out", "/dev/full", expect="No space left on device")
            self.assertIsNone(device.process.poll(), "the device ended")

    def blk(self, command, *arguments, stdout_to=None, **options):
        if not stdout_to:
            return super().blk(command, *arguments, **options)
        with open(stdout_to, "wb") as output:
            process = self.start_blk(command, "--socket", self.socket, *arguments, stdout=output)
            process.stderr_text = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, options["status"])
        return type("Done", (), {"stderr": process.stderr_text})

    def test_too_many_queues(self):
        self.file_device(queues=2)
        self.fails("info", "--queues", 3, expect="cannot connect")

    def test_nobody_listens(self):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.socket))
        listener.close()
        self.fails("info", expect="cannot connect")

    def test_silent_back_end(self):
        """Accepts and says nothing: an error after --timeout, not for ever."""
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.socket))
            listener.listen()
            begin = time.monotonic()
            self.fails("info", "--timeout", "0.3", expect="cannot connect", seconds=20)
            self.assertGreater(time.monotonic() - begin, 0.3)

    def test_stopped_device(self):
        """Connected, but completes nothing."""
        device = self.null_device()
        hole, writer = self.pipe()
        process = self.start_blk("copy-in", "-", "--socket", self.socket, "--timeout", "0.5", "--bs", "4K", stdin=hole)
        self.wait_connected(hole, writer)
        os.kill(device.process.pid, signal.SIGSTOP)
        self.addCleanup(os.kill, device.process.pid, signal.SIGCONT)
        writer.write(bytes(8192))
        _, errors = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 1)
        self.assertIn("has completed nothing for", errors)

    def test_interrupted(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            for arguments in (["copy-in", "-"], ["bench", "--seconds", 60], ["bench", "--seconds", 60, "--wait", "call", "--bare"]):
                with self.subTest(signal=number.name, arguments=arguments):
                    self.check_interrupted(number, arguments)

    def check_interrupted(self, number, arguments):
        device = self.null_device()
        hole, end = os.pipe()  # an input that never ends
        process = self.start_blk(*arguments, "--socket", self.socket, stdin=hole)
        support.wait_for(lambda: self.has_pool(device), 20, "mapping of the pool")
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
        os.close(hole)
        os.close(end)
        device.close()
        self.assertEqual(process.returncode, 1)
        self.assertIn(f"interrupted by {number.name}", errors)

    def test_interrupted_while_connecting(self):
        """The back-end has accepted and says nothing: the connection fails, but that is not what is to be said."""
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.socket))
            listener.listen()
            process = self.start_blk("info", "--socket", self.socket, "--timeout", 2)
            self.check_interrupted_connect(process, listener)

    def test_interrupted_while_reconnecting(self):
        device = self.null_device()
        hole, writer = self.pipe()
        process = self.start_blk("copy-in", "-", "--socket", self.socket, "--timeout", 2, "--reconnect", 60, stdin=hole)
        self.wait_connected(hole, writer)
        device.kill()
        self.socket.unlink()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.socket))
            listener.listen()
            self.check_interrupted_connect(process, listener)

    def check_interrupted_connect(self, process, listener):
        listener.settimeout(20)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(20)
            self.assertTrue(connection.recv(1))  # its first message: it waits for the answer now
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 1)
        self.assertIn("interrupted by SIGINT", errors)

    def test_a_second_signal_ends_it_at_once(self):
        """The first one finds it waiting for a back-end that says nothing, which takes until --timeout."""
        for first, second in ((signal.SIGINT, signal.SIGTERM), (signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT)):
            with self.subTest(first=first.name, second=second.name), socket.socket(socket.AF_UNIX) as listener:
                self.socket.unlink(missing_ok=True)
                listener.bind(str(self.socket))
                listener.listen()
                listener.settimeout(20)
                process = self.start_blk("info", "--socket", self.socket, "--timeout", 60)
                with listener.accept()[0] as connection:
                    self.assertTrue(connection.recv(1))
                    process.send_signal(first)
                    # Two at once are one request, as timeout(1) makes it; so this goes on until half a second is over.
                    while process.poll() is None:
                        process.send_signal(second)
                        time.sleep(0.05)
                self.assertEqual(process.returncode, -second)

    def test_two_signals_at_once_are_one_request(self):
        device = self.null_device()
        process = self.start_blk("bench", "--socket", self.socket, "--seconds", 60)
        support.wait_for(lambda: self.has_pool(device), 20, "mapping of the pool")
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 1)
        self.assertIn("interrupted by SIG", errors)


if __name__ == "__main__":
    support.main()
