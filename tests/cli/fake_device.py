# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A vhost-user-blk back-end that says what a test wants it to, and completes nothing: for what no real device can be told
to be. Source of the messages: QEMU docs/interop/vhost-user.rst."""
import array
import os
import select
import socket
import struct
import threading

GET_FEATURES, GET_VRING_BASE, SET_VRING_KICK, GET_PROTOCOL_FEATURES, GET_QUEUE_NUM, GET_CONFIG = 1, 11, 12, 15, 17, 24
SIZE_MAX, SEG_MAX, FLUSH = 1 << 1, 1 << 2, 1 << 9
VERSION_1, PROTOCOL_FEATURES = 1 << 32, 1 << 30
PROTOCOL_MQ, PROTOCOL_CONFIG = 1 << 0, 1 << 9
REPLY, HEADER = 5, struct.Struct("<III")  # flags: version 1, reply


class FakeDevice:
    """Serves one connection for each of these configurations, (size_max, seg_max), one after the other. hang_up() ends the
    one that there is."""

    def __init__(self, path, configurations, sectors=1 << 16):
        self.configurations = configurations
        self.sectors = sectors
        self.connection = None
        self.kick = None
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve_all, daemon=True)
        self.thread.start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.hang_up()
        self.thread.join(20)
        self.listener.close()

    def hang_up(self):
        if self.connection:
            self.connection.shutdown(socket.SHUT_RDWR)

    def kicked(self):
        """Has a request been made?"""
        return self.kick is not None and bool(select.select([self.kick], [], [], 0)[0])

    def serve_all(self):
        for size_max, seg_max in self.configurations:
            try:
                self.connection, _ = self.listener.accept()
            except OSError:
                return
            with self.connection as connection:
                self.serve(connection, size_max, seg_max)
            self.connection = None

    @staticmethod
    def receive(connection, size):
        data, fds = b"", array.array("i")
        while len(data) < size:
            piece, control, _, _ = connection.recvmsg(size - len(data), socket.CMSG_SPACE(8 * fds.itemsize))
            for _, _, numbers in control:
                fds.frombytes(numbers)
            if not piece:
                raise ConnectionResetError
            data += piece
        return data, list(fds)

    def serve(self, connection, size_max, seg_max):
        config = struct.pack("<QII", self.sectors, size_max, seg_max).ljust(60, b"\0")
        fds = []
        try:
            while True:
                header, some = self.receive(connection, HEADER.size)
                fds += some
                request, _, size = HEADER.unpack(header)
                payload, some = self.receive(connection, size)
                fds += some
                if request == SET_VRING_KICK:
                    self.kick = some[0] if some else fds[-1]
                answer = self.answer(request, payload, config)
                if answer is not None:
                    connection.sendall(HEADER.pack(request, REPLY, len(answer)) + answer)
        except OSError:
            return
        finally:
            self.kick = None
            for fd in fds:
                os.close(fd)

    @staticmethod
    def answer(request, payload, config):
        if request == GET_FEATURES:
            return struct.pack("<Q", SIZE_MAX | SEG_MAX | FLUSH | VERSION_1 | PROTOCOL_FEATURES)
        if request == GET_PROTOCOL_FEATURES:
            return struct.pack("<Q", PROTOCOL_MQ | PROTOCOL_CONFIG)
        if request == GET_QUEUE_NUM:
            return struct.pack("<Q", 1)
        if request == GET_CONFIG:
            offset, size, flags = struct.unpack_from("<III", payload)
            return struct.pack("<III", offset, size, flags) + config[offset:offset + size]
        if request == GET_VRING_BASE:
            return payload[:4] + bytes(4)
        return None
