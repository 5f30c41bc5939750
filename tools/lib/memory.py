# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a process can see: /proc/PID/maps and the memory behind it."""
import dataclasses
import os
import re

LINE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) (\d+) *(.*)")
SHARED_MEMORY = ("/memfd:", "/dev/shm/", "/dev/zero", "/SYSV", "/dev/hugepages/", "/anon_hugepage")
STEP = 4 << 20


@dataclasses.dataclass(frozen=True)
class Mapping:
    """One line of /proc/PID/maps."""
    start: int
    end: int
    perms: str
    offset: int
    device: tuple
    inode: int
    path: str

    @property
    def bytes(self):
        return self.end - self.start

    @property
    def key(self):
        """What is behind it, the same in every process that maps it."""
        return (*self.device, self.inode)

    @property
    def shared_memory(self):
        """Memory that two processes can have in common: by a memfd or the like, or a file that is mapped writable and
        shared. Not programs, libraries and caches on disk, which are private or read-only."""
        if not self.inode:
            return False
        return self.path.startswith(SHARED_MEMORY) or (self.perms[3] == "s" and "w" in self.perms)

    def __str__(self):
        return f"{self.start:x}-{self.end:x} {self.perms} {self.path or '[anonymous]'}"


def parse_maps(text):
    """The mappings of a /proc/PID/maps text. A line that cannot be read is an error: it might be the one that matters."""
    mappings = []
    for line in text.splitlines():
        m = LINE.fullmatch(line)
        if not m:
            raise ValueError(f"cannot read the mapping '{line}'")
        start, end, perms, offset, major, minor, inode, path = m.groups()
        mappings.append(Mapping(int(start, 16), int(end, 16), perms, int(offset, 16), (int(major, 16), int(minor, 16)),
                                int(inode), path))
    return mappings


def maps_of(pid):
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
        return parse_maps(file.read())


def foreign(device, before, client, pool_keys):
    """Mappings of the device that are memory of ours other than the pool: everything but the pool that it has in common
    with the client, and all shared memory that it has got since the time before the client connected."""
    ours = {m.key for m in client}
    own = {m.key for m in before}
    return [m for m in device
            if m.shared_memory and m.key not in pool_keys and (m.key in ours or m.key not in own)]


def key_of(path):
    """What is behind an open file, as Mapping.key has it."""
    status = os.stat(path)
    return os.major(status.st_dev), os.minor(status.st_dev), status.st_ino


def memfds_of(pid):
    """The memfds that a process has open: key -> path of the descriptor."""
    found = {}
    folder = f"/proc/{pid}/fd"
    for name in os.listdir(folder):
        path = f"{folder}/{name}"
        try:
            if os.readlink(path).startswith("/memfd:"):
                found[key_of(path)] = path
        except FileNotFoundError:
            pass  # closed in the meantime
    return found


def count_in_file(file, start, length, needle):
    """How often needle is in [start, start + length) of an open file, also across the pieces it is read in. Returns the
    bytes that could be read and the hits."""
    done = hits = 0
    tail = b""
    while done < length:
        try:
            piece = os.pread(file.fileno(), min(STEP, length - done), start + done)
        except OSError:  # EIO: a page that nobody can read, not the process either
            done += 4096
            tail = b""
            continue
        if not piece:
            break
        window = tail + piece
        hits += window.count(needle)
        tail = window[-(len(needle) - 1):] if len(needle) > 1 else b""
        done += len(piece)
    return min(done, length), hits


def scan(pid, mappings, needle):
    """Looks for needle in mappings of a process, as that process sees them. Returns bytes and hits."""
    total = hits = 0
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
        for m in mappings:
            if "r" not in m.perms or m.path.startswith("[v"):
                continue
            seen, found = count_in_file(file, m.start, m.bytes, needle)
            total += seen
            hits += found
    return total, hits
