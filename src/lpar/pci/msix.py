# SPDX-License-Identifier: GPL-2.0-only
"""MSI-X: the table of messages, the pending bits, and what sends a message.

Source: PCI Local Bus Specification 3.0, 6.8.2.  An entry is 16 bytes: address (64 bits), data,
vector control (bit 0 masks).  The bridge says with ``resolve`` what a message (address, data) does;
that is looked up when the entry changes, not when it is sent.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from typing import Any

MSIX_CAP_SIZE = 12
ENTRY_SIZE = 16
_MASKED = 1

Pulse = Callable[[], None]
Resolve = Callable[[int, int], Pulse | None]  #: (address, data) to what the message does, if anything


class Msix:
    """``count`` vectors.  ``on_enable`` is called after the guest switched MSI-X on or off."""

    def __init__(self, count: int, on_enable: Callable[[], None]) -> None:
        self.count = count
        self.enabled = False
        self.resolve: Resolve = lambda address, data: None
        self.table = _Table(self)
        self.pba = _Pending(self)
        self._on_enable = on_enable
        self._masked_all = False
        self._entries = bytearray((bytes(12) + _MASKED.to_bytes(4, "little")) * count)
        self._pending = 0
        self._targets: list[Pulse | None] = [None] * count
        self._lock = threading.Lock()

    def set_control(self, enabled: bool, masked: bool) -> None:
        """The enable and function mask bits of the capability."""
        with self._lock:
            self.enabled, self._masked_all = enabled, masked
        self._on_enable()
        self._flush(range(self.count))

    def set_message(self, vector: int, address: int, data: int) -> None:
        """Set what a vector sends (the hypervisor's side); its mask stays."""
        with self._lock:
            struct.pack_into("<QI", self._entries, vector * ENTRY_SIZE, address, data)
            self._look_up(vector)

    def notify(self, vector: int) -> None:
        """Send the message of ``vector``, or remember it while masked.  From any thread."""
        if not 0 <= vector < self.count:
            return
        with self._lock:
            if not self.enabled:
                return
            target = self._targets[vector]
            if self._masked_all or self._entries[vector * ENTRY_SIZE + 12] & _MASKED:
                self._pending |= 1 << vector
                return
        if target is not None:
            target()

    def _look_up(self, vector: int) -> None:
        address, data = struct.unpack_from("<QI", self._entries, vector * ENTRY_SIZE)
        self._targets[vector] = self.resolve(address, data)

    def look_up_all(self) -> None:
        """The bridge's answers have changed."""
        with self._lock:
            for vector in range(self.count):
                self._look_up(vector)

    def _flush(self, vectors: range) -> None:
        """Send what waits and is no longer masked."""
        for vector in vectors:
            with self._lock:
                waits = self.enabled and self._pending >> vector & 1
                self._pending &= ~(1 << vector) if waits else -1
            if waits:
                self.notify(vector)

    # -- the guest's accesses ------------------------------------------------------------------

    def load(self, offset: int, size: int) -> bytes:
        """Bytes of the table; zero behind it."""
        return bytes(self._entries[offset : offset + size]).ljust(size, b"\0")

    def store(self, offset: int, data: bytes) -> None:
        """Write the table; only aligned accesses inside it count."""
        if offset % len(data) or offset + len(data) > len(self._entries):
            return
        vector = offset // ENTRY_SIZE
        with self._lock:
            self._entries[offset : offset + len(data)] = data
            self._look_up(vector)
        self._flush(range(vector, vector + 1))

    def load_pending(self, offset: int, size: int) -> bytes:
        """Bytes of the pending bit array."""
        bits = self._pending.to_bytes(-(-self.count // 64) * 8, "little")
        return bits[offset : offset + size].ljust(size, b"\0")

    # -- state ----------------------------------------------------------------------------------

    def reset(self) -> None:
        """As after power on, but for what the capability's control says."""
        with self._lock:
            self._pending = 0

    def save(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "entries": bytes(self._entries),
            "pending": self._pending,
            "enabled": self.enabled,
            "masked": self._masked_all,
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Take the state back; ``look_up_all`` follows once the bridge knows its sources."""
        with self._lock:
            self._entries[:] = data["entries"]
            self._pending = data["pending"]
            self.enabled, self._masked_all = data["enabled"], data["masked"]


class _Table:
    """The table as a target of accesses."""

    def __init__(self, msix: Msix) -> None:
        self.load = msix.load
        self.store = msix.store


class _Pending:
    """The pending bits as a target of accesses: reads only."""

    def __init__(self, msix: Msix) -> None:
        self.load = msix.load_pending

    def store(self, offset: int, data: bytes) -> None:
        """Ignored."""
