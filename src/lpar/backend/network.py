# SPDX-License-Identifier: GPL-2.0-only
"""What a network card needs of the network behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

HEADER_SIZE = 12  #: bytes of the virtio-net header (struct virtio_net_hdr_v1) before a frame
MAX_FRAME = 65535 + 14 + 4  #: bytes: an IP packet of any size, the Ethernet header, a VLAN tag

#: virtio-net features (VIRTIO 1.2, 5.1.3) that depend on what is behind the card.
F_CSUM, F_GUEST_CSUM, F_MTU = 1 << 0, 1 << 1, 1 << 3
F_GUEST_TSO4, F_GUEST_TSO6, F_GUEST_ECN, F_GUEST_UFO = 1 << 7, 1 << 8, 1 << 9, 1 << 10
F_HOST_TSO4, F_HOST_TSO6, F_HOST_ECN, F_HOST_UFO = 1 << 11, 1 << 12, 1 << 13, 1 << 14

HEADER_NEEDS_CSUM, HEADER_DATA_VALID = 1, 2  #: flags of the header
Received = Callable[[bytes, bytes], bool]  #: header, frame


class Loop(Protocol):
    """The thread that a network works in."""

    def watch(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        """Call ``callback(ready events)`` while any of ``events`` (of epoll) is there."""

    def unwatch(self, fd: int) -> None:
        """Forget a descriptor."""

    def call_later(self, seconds: float, work: Callable[[], None]) -> Cancellable:
        """Call once, later."""


class Cancellable(Protocol):
    """A call at a later time."""

    def cancel(self) -> None:
        """Do not call."""


class Network(Protocol):
    """One network.  All but the constructor is called in the loop's thread (or before it runs)."""

    features: int  #: of virtio-net that it can do
    mtu: int | None  #: bytes of the longest IP packet, if the guest is to know

    def start(self, loop: Loop, received: Received) -> None:
        """Begin, or go on in another loop.  ``received`` gets the header and each frame for the guest.

        When it answers False there is no room for more after this one.
        """

    def agreed(self, features: int) -> None:
        """What the driver accepted (0: there is none any more)."""

    def send(self, header: bytes, frame: Sequence[memoryview]) -> None:
        """A frame of the guest, its header apart.  Never waits, never raises for what a guest sends."""

    def flush(self) -> None:
        """The last ``send`` for now is done."""

    def resume(self) -> None:
        """There is room again after ``received`` answered False."""

    def stop(self) -> None:
        """The loop ends; another may come."""

    def close(self) -> None:
        """Free what is the host's; after ``stop``."""
