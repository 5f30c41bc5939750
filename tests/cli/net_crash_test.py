#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A real device that is killed and started again under load: what was under way is gone, everything else is right."""
import os
import signal
import time

import net_support
import support

RESTARTS = int(os.environ.get("BOUNCE_RESTARTS", "3"))


class CrashTest(net_support.NetDeviceTest):
    def run_under_restarts(self, *arguments, iommu=False):
        device = self.start_testpmd(options=",iommu-support=1" if iommu else "")
        client = self.start_tool("loop", "--socket", device.socket, "--count", 100_000_000, "--reconnect", 60, "--quiet",
                                 "--json", "result.json", *arguments)
        support.wait_for(device.connected, 60, "connection")
        for _ in range(RESTARTS):
            time.sleep(0.5)  # some load
            self.assertIsNone(client.poll())
            device.kill()
            device.start()
            support.wait_for(device.connected, 60, "reconnection")
        time.sleep(0.5)
        client.send_signal(signal.SIGINT)
        _, errors = client.communicate(timeout=60)
        self.assertEqual(client.returncode, 1)
        self.assertIn("interrupted by SIGINT", errors)
        result = self.read_json("result.json")
        self.assertEqual(result["reconnects"], RESTARTS)
        self.assertEqual((result["corrupted"], result["duplicated"], result["foreign"], result["malformed"]), (0, 0, 0, 0), result)
        self.assertEqual(result["sent"], result["received"] + result["lost"] + result["gone_with_connection"])
        self.assertGreater(result["received"], 1000)
        self.assertEqual(result["left_in_pool"], {"mappings": 0, "buffers": 0})

    def test_bounced(self):
        self.run_under_restarts()

    def test_born_shared_polling(self):
        self.run_under_restarts("--born-shared", "--wait", "poll")

    def test_packed(self):
        self.run_under_restarts("--packed")

    def test_translated(self):
        self.run_under_restarts("--iommu", iommu=True)

    def test_without_reconnect(self):
        device = self.start_testpmd()
        client = self.start_tool("loop", "--socket", device.socket, "--count", 100_000_000, "--quiet")
        support.wait_for(device.connected, 60, "connection")
        time.sleep(0.5)
        device.kill()
        _, errors = client.communicate(timeout=60)
        self.assertEqual(client.returncode, 1)
        self.assertRegex(errors, "closed the connection|is gone")

    def test_that_does_not_come_back(self):
        device = self.start_testpmd()
        client = self.start_tool("loop", "--socket", device.socket, "--count", 100_000_000, "--quiet", "--reconnect", 0.3)
        support.wait_for(device.connected, 60, "connection")
        time.sleep(0.5)
        device.kill()
        _, errors = client.communicate(timeout=60)
        self.assertEqual(client.returncode, 1)
        self.assertIn("did not come back within 0.3 s", errors)


if __name__ == "__main__":
    support.main()
