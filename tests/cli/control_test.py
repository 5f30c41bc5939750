#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""bouncectl beside bounce-blk on a real device: what it shows agrees with the client, and what it sets is done."""
import json
import os
import random
import re
import signal
import socket
import subprocess
import time

import support

BOUNCECTL = os.environ.get("BOUNCECTL", "bouncectl")


class ControlTest(support.DeviceTest):
    def setUp(self):
        super().setUp()
        self.control = self.folder / "ctl.sock"
        self.environment = {**os.environ, "XDG_RUNTIME_DIR": str(self.folder)}

    def ctl(self, *arguments, status=0, target=True):
        """Runs bouncectl; its output."""
        command = [BOUNCECTL, *map(str, arguments), *(["--socket", self.control] if target else [])]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False,
                              env=self.environment)
        self.assertEqual(done.returncode, status, f"{command}\nstdout: {done.stdout}\nstderr: {done.stderr}")
        self.assertNotIn("Sanitizer", done.stderr)
        return done.stdout + (done.stderr if status else "")

    def ask(self, *arguments):
        answer = json.loads(self.ctl(*arguments, "-j"))
        self.assertEqual(answer["schema_version"], 1)
        return answer

    def start(self, *arguments, control=None):
        process = self.start_blk(*arguments, "--socket", self.socket, "--control", control or self.control,
                                 env=self.environment)
        support.wait_for(lambda: process.poll() is not None or self.alive(), 30, "control")
        self.assertIsNone(process.poll())
        return process

    def alive(self):
        """Is there a control that answers, with a ring that has done something?"""
        done = subprocess.run([BOUNCECTL, "show", "ring", "-j", "--socket", self.control], capture_output=True, text=True,
                              check=False)
        return done.returncode == 0 and any(ring["completed"] for ring in json.loads(done.stdout)["rings"])

    def listed(self, process):
        """What `list` says of this process. (There may be others, of other tests.)"""
        return [pool for pool in json.loads(self.ctl("list", "-j", target=False))["pools"]
                if pool["process"]["pid"] == process.pid]

    def hold(self, *arguments):
        """bench, until it holds: its JSON."""
        process = self.start("bench", "--seconds", 0.3, "--hold", 120, "--json", "result.json", *arguments)
        return process, support.wait_for(lambda: self.read_json("result.json"), 60, "result")

    def test_agrees_at_rest(self):
        self.null_device()
        process, result = self.hold("--qd", 32)
        self.assertIsNone(process.poll())
        requests, payload = result["held_requests"], result["held_bytes"]
        self.assertGreater(requests, 100)
        rings = self.ask("show", "ring")["rings"]
        self.assertEqual(sum(ring["completed"] for ring in rings), requests)
        self.assertEqual(sum(ring["added"] for ring in rings), requests)
        # A read has a status byte besides its data, and a header of 16 bytes.
        self.assertEqual(sum(ring["bytes_in"] for ring in rings), payload + requests)
        self.assertEqual(sum(ring["bytes_out"] for ring in rings), 16 * requests)
        pool = self.ask("show", "pool")["pool"]
        device = self.ask("show", "device")["devices"][0]
        self.assertEqual(pool["mappings"], device["mappings"])
        self.assertEqual(pool["maps"], device["maps"])
        self.assertEqual(device["maps"] - device["unmaps"], device["mappings"])
        self.assertEqual(device["name"], "bounce-blk")
        # The metrics are the same figures.
        metrics = dict(re.findall(r"^(bounce_[a-z_]+)\{[^\n]*\} (\d+)$", self.ctl("metrics"), re.M))
        self.assertEqual(int(metrics["bounce_ring_completed_total"]), requests)
        self.assertEqual(int(metrics["bounce_ring_in_bytes_total"]), payload + requests)
        self.assertEqual(int(metrics["bounce_pool_used_bytes"]), pool["used_bytes"])
        check = self.ask("check")
        self.assertTrue(check["clean"], check)
        # What is held is what the pool says: rings and tables, and no mapping.
        who = self.ask("who", "--most", 0)
        self.assertEqual(sum(held["kind"] == "coherent" for held in who["held"]), pool["coherent"])
        self.assertEqual(sum(held["slot_bytes"] for held in who["held"]), pool["used_bytes"])
        chunks = self.ask("map")["chunks"]
        self.assertEqual(sum(chunk["pages"] for chunk in chunks) * 4096, pool["bytes"])

        def scanned():  # classes are counted a part at a time
            classes = self.ask("show", "class")["classes"]
            return sum(row["out_bytes"] for row in classes) == pool["used_bytes"] + pool["kept_bytes"]

        support.wait_for(scanned, 20, "count of classes that agrees with the pool")

    def test_sees_a_load(self):
        self.null_device()
        process = self.start("bench", "--seconds", 15, "--qd", 32)
        listed = json.loads(self.ctl("list", "-j", "--socket", self.control, target=False))["pools"]
        self.assertEqual(listed[0]["process"]["pid"], process.pid)
        lines = self.ctl("watch", "--rounds", 3, "--every", 0.5).splitlines()
        rates = json.loads(lines[-1])["rates"]
        self.assertGreater(rates["maps"], 100)
        self.assertGreater(rates["rings"][0]["completed"], 100)
        self.assertIn("MAPS/s", self.ctl("top", "-o"))
        self.ctl("set", "stats.sample=1", "who.tags=on")
        time.sleep(0.5)
        histograms = self.ask("hist")["histograms"]
        self.assertEqual({one["kind"] for one in histograms}, {"size_bytes", "copy_ns", "hold_ns"})
        self.assertTrue(all(one["count"] for one in histograms), histograms)
        self.assertIn("size_bytes", self.ctl("hist"))
        who = self.ask("who", "--most", 0)["held"]
        self.assertTrue(any(held["kind"] == "mapping" and held["device_name"] == "bounce-blk" for held in who))
        self.assertTrue(self.ask("check")["clean"])
        for command in (["show", "pool", "--tree"], ["show", "node"], ["show", "tunables"], ["map"], ["events"], ["get"]):
            self.assertNotEqual(self.ctl(*command), "")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)

    def test_a_snapshot_is_as_good(self):
        self.null_device()
        self.hold()
        self.ctl("snapshot", "snap.json")
        for command in (["show", "pool"], ["show", "ring"], ["show", "tunables"], ["who"], ["map"], ["hist"], ["check"],
                        ["events"], ["metrics"]):
            with self.subTest(command=command):
                self.assertNotEqual(self.ctl(*command, "--snapshot", "snap.json", target=False), "")
        live = self.ask("show", "ring")["rings"]
        kept = json.loads(self.ctl("show", "ring", "-j", "--snapshot", "snap.json", target=False))["rings"]
        self.assertEqual(kept, live)

    def test_settings_are_saved_and_loaded(self):
        self.null_device()
        self.hold()
        device = "device.bounce-blk."
        out = self.ctl("set", device + "ceiling_bytes=32M", "stats.sample=8", device + "reuse_policy=fifo")
        self.assertIn("-> 32 MiB", out)
        self.ctl("get", "--save", "good.conf")
        self.ctl("set", device + "ceiling_bytes=0", "stats.sample=off", device + "reuse_policy=auto")
        self.ctl("set", "--load", "good.conf")
        self.assertEqual(self.ctl("get", "stats.sample").strip(), "stats.sample=8")
        values = {one["name"].split(".")[-1]: one["value"] for one in self.ask("show", "tunables")["tunables"]}
        self.assertEqual((values["ceiling_bytes"], values["reuse_policy"]), (32 << 20, 3))
        self.assertIn("not done", self.ctl("set", "--dry-run", "stats.sample=off"))
        self.assertEqual(self.ctl("get", "stats.sample").strip(), "stats.sample=8")
        self.assertIn("10 to 60000", self.ctl("set", "stats.publish_ms=1", status=1))
        self.assertIn("not one of", self.ctl("set", "stats.sample=3", status=2))
        self.assertIn("no tunable", self.ctl("set", "nothing=1", status=2))
        events = [event for event in self.ask("events")["events"] if event["kind"] == "set"]
        self.assertTrue(all(event["arg"][2] == os.getuid() for event in events))
        self.assertIn("stats.sample", [event["text"] for event in events])

    def test_any_setting_under_load(self):
        """Every request completes, whatever is set meanwhile."""
        self.file_device()
        process = self.start("verify", "--destroy", "--length", "64M", "--bs", "64K", "--qd", 16, "--json", "r.json",
                             "--hold", 60)
        tunables = [one for one in self.ask("show", "tunables")["tunables"] if one["live"]]
        names = ("ceiling_bytes", "floor_bytes", "reserve_bytes")  # maps of rings do not wait: those could make one fail
        tunables = [one for one in tunables if not one["name"].endswith(names)]
        chance = random.Random(1)
        for _ in range(60):
            one = chance.choice(tunables)
            value = chance.randint(one["least"], one["most"])
            text = one["choices"][value] if one["choices"] else value
            subprocess.run([BOUNCECTL, "set", f"{one['name']}={text}", "--socket", self.control], capture_output=True,
                           timeout=30, check=False)
            self.assertIsNone(process.poll())
        result = support.wait_for(lambda: self.read_json("r.json"), 120, "result")
        self.assertTrue(result["ok"], result)
        self.assertTrue(self.ask("check")["clean"])

    def test_says_when_the_process_goes(self):
        self.null_device()
        process = self.start("bench", "--seconds", 60)
        top = subprocess.Popen([BOUNCECTL, "watch", "--every", "0.1", "--socket", self.control], cwd=self.folder,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(support.stop, top)
        top.stdout.readline()
        process.kill()
        process.wait()
        _, errors = top.communicate(timeout=20)
        self.assertEqual(top.returncode, 3, errors)
        self.assertIn("has gone", errors)
        self.assertIn("cannot connect", self.ctl("show", "pool", status=3))

    def test_default_path(self):
        self.null_device()
        process = self.start_blk("bench", "--socket", self.socket, "--seconds", 30, env=self.environment)

        pool = support.wait_for(lambda: self.listed(process), 20, "pool in the list")[0]
        self.assertTrue(pool["process"]["socket"].startswith(f"{self.folder}/bounce/bounce-{process.pid}-"))
        self.assertIn(str(process.pid), self.ctl("show", "pool", "--pid", process.pid, target=False))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        self.assertEqual(os.listdir(self.folder / "bounce"), [])

    def test_the_socket_that_is_left_does_not_bother_anybody(self):
        self.null_device()
        process = self.start_blk("bench", "--socket", self.socket, "--seconds", 30, env=self.environment)
        support.wait_for(lambda: self.listed(process), 20, "pool in the list")
        process.kill()
        process.wait()
        self.assertEqual(len(os.listdir(self.folder / "bounce")), 1)
        self.assertEqual(self.listed(process), [])

    def test_metrics_are_served(self):
        self.null_device()
        self.hold()
        path = str(self.folder / "metrics.sock")
        server = subprocess.Popen([BOUNCECTL, "metrics", "--serve", path, "--socket", self.control])
        self.addCleanup(support.stop, server)
        support.wait_for(lambda: os.path.exists(path), 20, "metrics socket")

        def scrape(request):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                client.sendall(request)
                client.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: client.recv(65536), b"")).decode()

        head, body = scrape(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").split("\r\n\r\n", 1)
        self.assertTrue(head.startswith("HTTP/1.0 200"))
        self.assertTrue(body.endswith("# EOF\n"))
        self.assertTrue(scrape(b"").endswith("# EOF\n"))
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(timeout=20), 0)

    def test_no_such_target(self):
        for command in ("show", "top", "who", "map", "hist", "check", "events", "get"):
            self.assertIn("no process", self.ctl(command, "--pid", os.getpid(), status=3, target=False))
        self.assertIn("there is no snapshot", self.ctl("show", "--snapshot", "x", status=3, target=False))


if __name__ == "__main__":
    support.main()
