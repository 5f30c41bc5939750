#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""--hold: an outsider finds the pool, and no canary in it."""
import os
import re
import signal

import support
from support import MIB

CANARY = bytes(range(0x40, 0x60))


def private_memory(pid):
    """The writable private memory of a process."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw-p", line)
            if not found:
                continue
            begin, end = (int(group, 16) for group in found.groups())
            if end - begin > 1 << 30:
                continue  # address space that a sanitizer keeps
            try:
                memory.seek(begin)
                yield memory.read(end - begin)
            except OSError:
                continue  # the kernel's own pages


class HoldTest(support.DeviceTest):
    def hold(self, *arguments):
        process = self.start_blk(*arguments, "--socket", self.socket, "--hold", 60, "--canary", CANARY.hex(), "--json",
                                 "result.json")
        result = support.wait_for(lambda: self.read_json("result.json"), 60, "result")
        self.assertIsNone(process.poll(), process.stderr)
        self.assertTrue(result["ok"], result)
        return process, result

    def check_pool(self, process, result, device):
        hold = result["hold"]
        self.assertEqual((hold["pid"], hold["back_end_pid"]), (process.pid, device.process.pid))
        self.assertEqual(bytes.fromhex(result["canary"]), CANARY)
        for region in hold["regions"]:
            self.assertRegex(os.readlink(region["path"]), "^/memfd:.*bounce-blk")
            with open(region["path"], "rb") as pool:
                content = pool.read()
            self.assertEqual(len(content), region["bytes"])
            self.assertNotEqual(content.count(b"\0"), len(content), "nothing ever went through the pool")
            self.assertNotIn(CANARY[:16], content)
        # The search finds it where it is.
        self.assertTrue(any(CANARY in content for content in private_memory(process.pid)))

    def end(self, process):
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 0, errors)
        return output

    def test_commands(self):
        (self.folder / "in").write_bytes(support.pattern(20 * MIB))
        device = self.file_device()
        for arguments in (["copy-in", "in"], ["copy-out", "out"], ["verify", "in"], ["read", "--length", "1M", "--out", "out"],
                          ["verify", "--destroy", "--length", "4M"], ["bench", "--seconds", "0.2"],
                          ["bench", "--seconds", "0.2", "--op", "randwrite", "--destroy"]):
            with self.subTest(arguments=arguments):
                self.check_command(arguments, device)

    def check_command(self, arguments, device):
        process, result = self.hold(*arguments)
        try:
            self.check_pool(process, result, device)
            output = self.end(process)
        finally:
            support.stop(process)  # the device serves one client at a time
            (self.folder / "result.json").unlink()
        self.assertIn(f"our pid       {process.pid}", output)
        self.assertIn(CANARY.hex(), output)

    def test_device_sees_the_pool_only(self):
        self.file_device()
        device_pid = self.file_pid()
        before = self.shared_mappings(device_pid)
        process, result = self.hold("copy-out", "out")
        new = self.shared_mappings(device_pid) - before
        pools = {os.stat(region["path"]).st_ino for region in result["hold"]["regions"]}
        self.assertEqual({inode for inode, _ in new}, pools)
        self.end(process)

    def file_pid(self):
        with open(f"{self.socket}.pid", encoding="utf-8") as pidfile:
            return int(pidfile.read())

    @staticmethod
    def shared_mappings(pid):
        found = set()
        with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
            for line in maps:
                parts = line.split()
                if parts[1].endswith("s"):
                    found.add((int(parts[4]), parts[-1]))
        return found

    def test_ends_by_itself(self):
        self.file_device()
        self.assertIn("holding for 0.2 s", self.blk("info", "--hold", "0.2").stdout)


if __name__ == "__main__":
    support.main()
