# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The wire of bounce/control.h, for tests that ask faster than a program can be started for each question."""
import socket
import struct

REQUEST = struct.Struct("=HHHHIIQ4Q")
REPLY = struct.Struct("=HHHHiIIIQ2QQ")
ITEM = struct.Struct("=48sQQ")
TUNABLE = struct.Struct("=48s64sIIQQQQ64s160s")
MAGIC, VERSION = 0x4e43, 1
HELLO, PUBLISH, TUNABLES, SET, CHECK = 1, 3, 4, 5, 9


def text(raw):
    return raw.split(b"\0")[0].decode()


class Refused(Exception):
    """What the library said; code is an errno."""

    def __init__(self, code, sentence):
        super().__init__(sentence)
        self.code = code


class Wire:
    """A client that is already connected."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(60)
        self.socket.connect(str(path))

    def ask(self, command, args=(), items=b""):
        """One reply: (head, the bytes behind it). head is what REPLY has."""
        args = (*args, 0, 0, 0, 0)[:4]
        count = len(items) // ITEM.size
        self.socket.sendall(REQUEST.pack(MAGIC, VERSION, command, 0, count, ITEM.size if count else 0, 7, *args) + items)
        answer = self.socket.recv(65536)
        head = REPLY.unpack_from(answer)
        if head[4] != 0:
            raise Refused(-head[4], text(answer[REPLY.size:]))
        return head, answer[REPLY.size:]

    def all(self, command):
        """All records, each as bytes."""
        records, args = [], (0, 0)
        while True:
            head, body = self.ask(command, args)
            records += [body[i * head[6]:(i + 1) * head[6]] for i in range(head[5])]
            if not head[7]:
                return records
            args = head[9], head[10]

    def tunables(self):
        """A dict of each: name, device, live, value, least, most, choices."""
        found = []
        for record in self.all(TUNABLES):
            name, device, _, live, value, least, most, _, choices, _ = TUNABLE.unpack_from(record)
            found.append({"name": text(name), "device": text(device), "live": live, "value": value, "least": least,
                          "most": most, "choices": text(choices)})
        return found

    def set(self, **values):
        """Sets them together; names with dots by ** of a dict."""
        self.ask(SET, items=b"".join(ITEM.pack(name.encode(), value, 0) for name, value in values.items()))

    def check(self):
        """What does not fit together; empty: nothing."""
        return self.all(CHECK)
