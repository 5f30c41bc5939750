# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the tests of bounce-net share: running it, and a real device to run it against."""
import os
import shutil
import signal
import subprocess

import support

BOUNCE_NET = os.environ.get("BOUNCE_NET", "bounce-net")
TESTPMD = shutil.which("dpdk-testpmd")


class TestPmd:
    """dpdk-testpmd as a vhost-user net back-end that sends everything back. It lives as long as its stdin is open."""

    def __init__(self, folder, queues=1, mode="macswap", options=""):
        self.folder = folder
        self.socket = folder / "net.sock"
        self.log = folder / "testpmd.log"
        # A folder for its run-time files of its own: two of them must not know each other.
        self.environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "RUNTIME_DIRECTORY": str(folder)}
        self.command = [
            TESTPMD, "-l", "0,1", "--no-huge", "-m", "256", "--no-pci", "--no-telemetry",
            f"--file-prefix=b{os.path.basename(folder)}", "--vdev", f"net_vhost0,iface={self.socket},queues={queues}{options}",
            "--", "--auto-start", "--disable-link-check", f"--forward-mode={mode}", "--total-num-mbufs=8192", f"--rxq={queues}", f"--txq={queues}"]
        self.process = None
        self.start()

    def start(self):
        if os.path.exists(self.socket):  # of one that was killed
            os.unlink(self.socket)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=self.environment)

        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"dpdk-testpmd ended: {self.said()}")
            return os.path.exists(self.socket)  # what comes before it forwards waits in the rings

        support.wait_for(ready, 60, "vhost-user net device")

    def said(self):
        return self.log.read_text(errors="replace")

    def connected(self):
        """Does it process the queues of a client?"""
        return "virtio is now ready for processing" in self.said()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        support.stop(self.process)
        self.log.write_text("")

    def close(self):
        support.stop(self.process)


class NetTest(support.CliTest):
    """A temporary folder, and bounce-net in it."""

    program = BOUNCE_NET


class NetDeviceTest(NetTest):
    """A test that needs the real device."""

    def setUp(self):
        if not TESTPMD:
            self.skipTest("dpdk-testpmd (package dpdk-dev) is not installed")
        super().setUp()

    def start_testpmd(self, **options):
        device = TestPmd(self.folder, **options)
        self.addCleanup(device.close)
        return device

    def net(self, command, *arguments, **options):
        return self.run_blk(command, "--socket", self.folder / "net.sock", *arguments, **options)

    def loop(self, *arguments, **options):
        """What a loop that has to end well reports."""
        self.net("loop", "--json", "result.json", "--quiet", *arguments, **options)
        result = self.read_json("result.json")
        self.assertTrue(result["ok"], result)
        self.assertEqual((result["corrupted"], result["duplicated"], result["foreign"], result["malformed"], result["lost"]),
                         (0, 0, 0, 0, 0), result)
        self.assertEqual(result["sent"], result["received"] + result["gone_with_connection"])
        self.assertEqual(result["left_in_pool"], {"mappings": 0, "buffers": 0})
        return result


