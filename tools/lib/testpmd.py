# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What bouncing packets costs: bounce-net bench --compare on dpdk-testpmd, which sends everything back, and beside it DPDK's
own front-end (net_virtio_user, in a second testpmd) on the same device."""
import os
import re
import shutil
import statistics
import subprocess
import time

import processes
from jsonfile import read_json

SIZES = (60, 1400)
WINDOW = 128  # packets under way, of both front-ends
BURST = 32  # of testpmd
SUBJECTS = ("bounced", "born_shared", "bare")
PEER = "net_virtio_user"
MISSING = "needs the packages dpdk-dev, librte-net-vhost23 and librte-net-virtio23"
DEVICE_CPU, CLIENT_CPU = 1, 0
# Variant -> options of bounce-net, and of net_virtio_user. The bare loop has a split ring in both.
VARIANTS = {"split": ([], "packed_vq=0"), "packed": (["--packed"], "packed_vq=1")}


def available():
    return shutil.which("dpdk-testpmd") is not None and len(os.sched_getaffinity(0)) >= 2


def start(stack, folder, name, cpu, vdev):
    """A testpmd whose forwarding thread runs on one CPU; its commands are written to its stdin."""
    main = CLIENT_CPU if cpu == DEVICE_CPU else DEVICE_CPU
    command = ["stdbuf", "-oL", "dpdk-testpmd", "--lcores", f"0@{main},1@{cpu}", "--no-huge", "-m", "256", "--no-pci", "--no-telemetry",
               f"--file-prefix={name}{os.getpid()}", "--vdev", vdev, "--", "-i", "--disable-link-check", "--total-num-mbufs=8192", "--forward-mode=io"]
    process = processes.start(stack, command, os.path.join(folder, f"{name}.log"), stdin=subprocess.PIPE,
                              environment={**os.environ, "XDG_RUNTIME_DIR": folder, "RUNTIME_DIRECTORY": folder})
    processes.wait_for(lambda: "testpmd>" in said(process), process, "dpdk-testpmd", 60)
    return process


def said(process):
    with open(process.log_path, encoding="utf-8", errors="replace") as file:
        return file.read()


def tell(process, command):
    process.stdin.write(command.encode() + b"\n")
    process.stdin.flush()


def device(stack, folder):
    socket = os.path.join(folder, "net.sock")
    process = start(stack, folder, "device", DEVICE_CPU, f"net_vhost0,iface={socket},queues=1")
    tell(process, "start")
    processes.wait_for(lambda: "start packet forwarding" in said(process) or "io packet forwarding" in said(process), process,
                       "dpdk-testpmd", 30)
    return process, socket


def rates(text):
    """The received packets a second of each `show port stats`."""
    return [int(value) for value in re.findall(r"Rx-pps:\s+(\d+)", text)]


def measure_peer(stack, folder, socket, size, options, seconds):
    """Packets a second of net_virtio_user."""
    process = start(stack, folder, "peer", CLIENT_CPU,
                    f"net_virtio_user0,path={socket},queues=1,queue_size=256,{options}")
    tell(process, f"set txpkts {size}")
    tell(process, f"start tx_first {WINDOW // BURST}")
    time.sleep(min(0.5, seconds))
    for _ in range(2):
        before = len(rates(said(process)))
        tell(process, "show port stats 0")
        processes.wait_for(lambda seen=before: len(rates(said(process))) > seen, process, "dpdk-testpmd", 30)
        time.sleep(seconds)
    found = rates(said(process))[1]
    tell(process, "stop")
    tell(process, "quit")
    processes.finish(process, "dpdk-testpmd", 30)
    os.unlink(process.log_path)
    return found


def measure_client(stack, folder, bounce_net, socket, options, seconds):
    """What bounce-net bench --compare says."""
    output = os.path.join(folder, "net.json")
    client = processes.start(stack, [
        "taskset", "-c", str(CLIENT_CPU), bounce_net, "bench", "--socket", socket, "--compare", "--wait", "poll", "--window",
        str(WINDOW), "--size", ",".join(map(str, SIZES)), "--seconds", str(seconds), "--quiet", "--json", output, *options],
        os.path.join(folder, "net.log"))
    processes.finish(client, "bounce-net bench", 60 + 30 * seconds)
    return read_json(output)["results"]


def measure(stack, folder, bounce_net, seconds, rounds):
    """Rows {variant, size, bounced, born_shared, bare, net_virtio_user}: packets a second, medians of the rounds."""
    backend, socket = device(stack, folder)
    found = {}
    for _ in range(rounds):
        for variant, (client_options, peer_options) in VARIANTS.items():
            for result in measure_client(stack, folder, bounce_net, socket, client_options, seconds):
                found.setdefault((variant, result["frame_bytes"], result["subject"]), []).append(result["packets_per_s"])
            for size in SIZES:
                rate = measure_peer(stack, folder, socket, size, peer_options, seconds)
                found.setdefault((variant, size, PEER), []).append(rate)
    processes.stop(backend)
    return [{"variant": variant, "size": size,
             **{subject: round(statistics.median(found[variant, size, subject])) for subject in (*SUBJECTS, PEER)}}
            for variant in VARIANTS for size in SIZES]
