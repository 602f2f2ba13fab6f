# SPDX-License-Identifier: GPL-2.0-only
"""A guest's network stack, as small as it can be: frames made and read by hand."""

from __future__ import annotations

import queue
import socket
import struct
from collections.abc import Callable

from lpar.backend.checksum import ones_sum
from lpar.backend.network import HEADER_SIZE, Network
from lpar.host.worker import Worker

MAC, BROADCAST = b"\x02\x15\x15\x15\x15\x15", b"\xff" * 6
GUEST, HOST, DNS = (socket.inet_aton(f"10.0.2.{n}") for n in (15, 2, 3))
IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86DD
ICMP, TCP, UDP = 1, 6, 17
FIN, SYN, ACK = 1, 2, 16
TIMEOUT = 20.0


def ethernet(kind: int, payload: bytes, to: bytes = BROADCAST) -> bytes:
    return to + MAC + struct.pack(">H", kind) + payload


def checksum(data: bytes) -> int:
    return ~ones_sum(data) & 0xFFFF


def ipv4(protocol: int, payload: bytes, to: bytes = HOST, source: bytes = GUEST) -> bytes:
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0, source, to)
    head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
    return ethernet(IPV4, head + payload)


def pseudo(protocol: int, length: int, to: bytes = HOST) -> bytes:
    return struct.pack(">4s4sBBH", GUEST, to, 0, protocol, length)


def udp(port: int, data: bytes, to: bytes = HOST, source: int = 5000) -> bytes:
    head = struct.pack(">HHHH", source, port, 8 + len(data), 0)
    value = checksum(pseudo(UDP, 8 + len(data), to) + head + data)
    return ipv4(UDP, head[:6] + struct.pack(">H", value or 0xFFFF) + data, to)


def tcp(
    source: int, port: int, seq: int, ack: int, flags: int, data: bytes = b"", *, partial: bool = False
) -> bytes:
    """A segment; ``partial``: only the pseudo-header is summed, as a guest with offloads does."""
    head = struct.pack(">HHIIBBHHH", source, port, seq, ack, 5 << 4, flags, 60000, 0, 0)
    length = len(head) + len(data)
    value = ones_sum(pseudo(TCP, length)) if partial else checksum(pseudo(TCP, length) + head + data)
    return ipv4(TCP, head[:16] + struct.pack(">H", value) + head[18:] + data)


class Card:
    """Stands where virtio-net does; everything runs in the worker."""

    def __init__(self, network: Network, features: int = 0) -> None:
        self.network = network
        self.frames: queue.Queue[tuple[bytes, bytes]] = queue.Queue()
        self.errors: list[Exception] = []
        self.worker = Worker("test", self.errors.append)
        self.worker.start()
        self.worker.post(lambda: network.agreed(features))
        self.worker.post(lambda: network.start(self.worker, self._received))

    def _received(self, header: bytes, frame: bytes) -> bool:
        self.frames.put((header, frame))
        return True

    def send(self, frame: bytes, header: bytes = bytes(HEADER_SIZE)) -> None:
        def work() -> None:
            middle = len(frame) // 2
            self.network.send(header, [memoryview(frame)[:middle], memoryview(frame)[middle:]])
            self.network.flush()

        self.worker.post(work)

    def wait(self, wanted: Callable[[bytes], bool]) -> bytes:
        """The next frame that is wanted; ARP requests are answered meanwhile."""
        while True:
            _, frame = self.frames.get(timeout=TIMEOUT)
            if struct.unpack_from(">H", frame, 12)[0] == ARP and frame[21] == 1 and frame[38:42] == GUEST:
                reply = struct.pack(">HHBBH", 1, IPV4, 6, 4, 2) + MAC + GUEST + frame[22:28] + frame[28:32]
                self.send(ethernet(ARP, reply, frame[6:12]))
            if wanted(frame):
                return frame

    def close(self) -> None:
        assert self.worker.stop()
        self.network.stop()
        self.network.close()
        assert self.errors == []


def is_ip(protocol: int) -> Callable[[bytes], bool]:
    return lambda frame: frame[12:14] == b"\x08\x00" and frame[23] == protocol


def segment(frame: bytes) -> tuple[int, int, int, bytes]:
    """(seq, ack, flags, data) of a TCP frame."""
    at = 14 + 20
    seq, ack, offset, flags = struct.unpack_from(">IIBB", frame, at + 4)
    total = struct.unpack_from(">H", frame, 16)[0]
    return seq, ack, flags, frame[at + (offset >> 4) * 4 : 14 + total]
