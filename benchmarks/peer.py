# SPDX-License-Identifier: GPL-2.0-only
"""What the network rows talk to: a TCP server on the host's loopback, in a process of its own."""

from __future__ import annotations

import functools
import multiprocessing
import socket
import socketserver
import struct
from typing import Any

CHUNK = 256 << 10


class _Bytes(socketserver.StreamRequestHandler):
    """``down SIZE``: so many bytes; ``up SIZE``: takes them and answers a sum of every 4096th."""

    def handle(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * CHUNK)
        way, size = self.rfile.readline().split()
        if way == b"down":
            for _ in range(int(size) // CHUNK):
                self.connection.sendall(b"\1" * CHUNK)
        else:
            self.wfile.write(struct.pack("<Q", self._take(int(size))))

    def _take(self, size: int) -> int:
        total, at = 0, 0
        while at < size:
            data = self.rfile.read1(CHUNK)
            if not data:
                break
            total += sum(data[-at % 4096 :: 4096])
            at += len(data)
        return total


def _serve(told: Any) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Bytes) as server:
        server.daemon_threads = True
        told.send(server.server_address[1])
        server.serve_forever()


@functools.cache
def port() -> int:
    """The server's port; it runs until the benchmark ends."""
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    context.Process(target=_serve, args=(theirs,), name="peer", daemon=True).start()
    number: int = ours.recv()
    return number
