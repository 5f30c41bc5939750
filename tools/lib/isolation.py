# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Looks at the device and the client from outside: what memory of ours the device has, and whether private bytes are
where they must not be."""
import dataclasses

import memory
from processes import Failure

POOL_NAME = "/memfd:bounce:"
# Larger mappings of the client are reservations (a sanitizer's shadow has terabytes) and not searched for its buffers.
LARGEST_PRIVATE = 16 << 30


@dataclasses.dataclass
class Findings:
    """Summed over all looks."""
    looks: int = 0
    pool_bytes: int = 0      # size of the pool
    pool_scanned: int = 0    # bytes of the pool that were searched, as the device sees them
    device_scanned: int = 0  # bytes of the device's other memory that were searched
    canary_hits: int = 0     # of these, canaries: must be 0
    private_hits: int = 0    # canaries in the client's private memory: must not be 0, or the search finds nothing
    foreign: dict = dataclasses.field(default_factory=dict)  # mapping or descriptor -> text


class Observer:
    """Of one device process. Made before a client connects, so that it knows what the device had of its own."""

    def __init__(self, device_pid, canary):
        self.device_pid = device_pid
        self.canary = canary
        self.before = memory.maps_of(device_pid)
        self.before_memfds = memory.memfds_of(device_pid)
        self.findings = Findings()

    def look_in_between(self, client_pid):
        """Looks while the client is at work; nothing to see when it is not connected yet."""
        client = memory.maps_of(client_pid)
        keys = {m.key for m in client if m.path.startswith(POOL_NAME) and m.perms[3] == "s"}
        device = memory.maps_of(self.device_pid)
        if any(m.key in keys for m in device):
            self.look(client_pid, client, device, keys, whole=False)

    def look_at_hold(self, client_pid, paths):
        """Looks at a client that holds, whose pool is what these descriptors (/proc/PID/fd/N) are; also at the device's
        other memory and the client's private memory. Returns the device's mappings of the pool."""
        return self.look(client_pid, memory.maps_of(client_pid), memory.maps_of(self.device_pid),
                         {memory.key_of(path) for path in paths}, whole=True)

    def look(self, client_pid, client, device, keys, whole):
        shown = [m for m in device if m.key in keys]
        found = self.findings
        found.looks += 1
        found.pool_bytes = max(found.pool_bytes, sum(m.bytes for m in shown))
        for m in memory.foreign(device, self.before, client, keys):
            found.foreign[m.key] = str(m)
        for key, path in memory.memfds_of(self.device_pid).items():
            if key not in keys and key not in self.before_memfds:
                found.foreign[key] = f"a memfd open in the device: {path}"
        self.search(client_pid, client, device, keys, whole)
        return shown

    def search(self, client_pid, client, device, keys, whole):
        found = self.findings
        scanned, hits = memory.scan(self.device_pid, [m for m in device if m.key in keys], self.canary)
        found.pool_scanned += scanned
        found.canary_hits += hits
        if whole:
            rest = [m for m in device if m.key not in keys and "w" in m.perms]
            scanned, hits = memory.scan(self.device_pid, rest, self.canary)
            found.device_scanned += scanned
            found.canary_hits += hits
            private = [m for m in client if m.key not in keys and "w" in m.perms and m.bytes <= LARGEST_PRIVATE]
            found.private_hits += memory.scan(client_pid, private, self.canary)[1]

    def judge(self):
        """Fails when something of ours is visible, or when the looks could not have seen it."""
        found = self.findings
        if found.foreign:
            raise Failure(f"the device has mapped memory of ours other than the pool: {next(iter(found.foreign.values()))}")
        if found.canary_hits:
            raise Failure(f"{found.canary_hits} private canaries are in memory that the device can read")
        if not found.private_hits:
            raise Failure("no canary in the client's private memory, where there must be some: the search is worth nothing")
