#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Usage: numa_test.py GUEST

Boots a guest with four NUMA nodes under QEMU (TCG, so no KVM is needed) whose first process is the program GUEST, and
passes when it says so. The kernel is the newest of /boot that can be read, or $BOUNCE_TEST_KERNEL.
Exit status: 0 passed, 1 failed, 77 skipped: it says why.
"""
import ctypes
import glob
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile

SKIPPED = 77
SECONDS = 240  # 10 on a quiet machine
MEGABYTES = 160  # of each node
# From row to column. No row or column is like another, and no pair is the same both ways; numa_guest.cpp has the order.
DISTANCES = ((10, 21, 31, 41),
             (22, 10, 42, 32),
             (43, 23, 10, 33),
             (34, 24, 44, 10))


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


def find_kernel():
    named = os.environ.get("BOUNCE_TEST_KERNEL")
    if named:
        return named
    number = lambda path: [int(n) for n in re.findall(r"\d+", os.path.basename(path))]
    readable = [path for path in glob.glob("/boot/vmlinuz-*") if os.access(path, os.R_OK)]
    return max(readable, key=number, default=None)


def libraries(program):
    """What the dynamic linker loads for it, and the dynamic linker: absolute paths."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    if "not found" in listed:
        raise RuntimeError(f"a library of {program} is missing:\n{listed}")
    return sorted(set(re.findall(r"(/\S+) \(0x", listed)))


def cpio(entries):
    """An archive in the "newc" format. entries: path without a leading slash -> (mode, content)."""
    archive = b""
    for number, (path, (mode, content)) in enumerate([*entries.items(), ("TRAILER!!!", (0, b""))], 1):
        name = path.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
        archive += b"070701" + b"".join(b"%08x" % field for field in fields) + name
        archive += b"\0" * (-len(archive) % 4) + content
        archive += b"\0" * (-len(archive) % 4)
    return archive


def initramfs(program):
    entries = {}

    def add(path, mode, content):
        for n in range(1, path.count("/") + 1):
            entries.setdefault("/".join(path.split("/")[:n]), (0o40755, b""))
        entries[path] = (mode, content)

    for source, path in [(program, "init"), *((library, library[1:]) for library in libraries(program))]:
        with open(source, "rb") as file:
            add(path, 0o100755, file.read())
    return cpio(entries)


def command(qemu, kernel, archive):
    argv = [qemu, "-accel", "tcg,thread=multi", "-cpu", "max", "-machine", "q35", "-smp", "4",
            "-m", f"{4 * MEGABYTES}M", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-serial", "stdio", "-monitor", "none", "-kernel", kernel, "-initrd", archive,
            "-append", "console=ttyS0 panic=-1 quiet"]
    for node, row in enumerate(DISTANCES):
        argv += ["-object", f"memory-backend-ram,id=m{node},size={MEGABYTES}M",
                 "-numa", f"node,nodeid={node},cpus={node},memdev=m{node}"]
    for source, row in enumerate(DISTANCES):
        for target, distance in enumerate(row):
            argv += ["-numa", f"dist,src={source},dst={target},val={distance}"]
    return argv


PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def run(argv):
    """What the guest said, and whether it ended by itself."""
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          preexec_fn=die_with_parent) as guest:
        try:
            said, ended = guest.communicate(timeout=SECONDS)[0], True
        except subprocess.TimeoutExpired:
            guest.kill()
            said, ended = guest.communicate()[0], False
        except BaseException:
            guest.kill()
            raise
    return said.decode(errors="replace").replace("\r", ""), ended


def main(argv):
    if len(argv) != 2 or argv[1].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and the guest ends too
    qemu, kernel = shutil.which("qemu-system-x86_64"), find_kernel()
    if platform.machine() != "x86_64":
        skip(f"the guest is for x86_64, and this is {platform.machine()}")
    if qemu is None:
        skip("qemu-system-x86_64 (package qemu-system-x86) is not installed")
    if kernel is None:
        skip("there is no kernel to boot: no readable /boot/vmlinuz-* (package linux-image-cloud-amd64)")
    with tempfile.TemporaryDirectory(prefix="bounce-numa-") as folder:
        archive = os.path.join(folder, "initramfs")
        with open(archive, "wb") as file:
            file.write(initramfs(argv[1]))
        said, ended = run(command(qemu, kernel, archive))
    print(said)
    verdict = re.search(r"^verdict: (passed|failed|skipped)(.*)$", said, re.M)
    if verdict is None:
        print("the guest ended without a verdict" if ended else f"the guest has no verdict after {SECONDS} s")
        return 1
    return {"passed": 0, "skipped": SKIPPED}.get(verdict[1], 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
