# SPDX-License-Identifier: GPL-2.0-only
"""One PCI function: its configuration space, BARs and interrupts.

Sources: PCI Local Bus Specification 3.0, chapter 6; PCI-to-PCI numbers as in Linux's
include/uapi/linux/pci_regs.h.

Configuration space is bytes with a mask of bits that the guest may change; what a change means
(decoding switched on, a BAR moved, MSI-X enabled) is looked up after each write.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lpar.errors import InternalError
from lpar.pci.address_map import Target
from lpar.pci.msix import MSIX_CAP_SIZE, Msix

CONFIG_SIZE = 256
COMMAND, STATUS, BAR0, CAPABILITIES, IRQ_LINE, IRQ_PIN = 0x04, 0x06, 0x10, 0x34, 0x3C, 0x3D
COMMAND_IO, COMMAND_MEMORY, COMMAND_MASTER, COMMAND_NO_INTX = 1, 2, 4, 1 << 10
COMMAND_BITS = COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER | 1 << 6 | 1 << 8 | COMMAND_NO_INTX
STATUS_INTERRUPT, STATUS_CAPABILITIES = 1 << 3, 1 << 4
HEADER_MULTIFUNCTION = 0x80
CAP_MSIX = 0x11
_FIRST_CAP = 0x40


class BarKind(enum.Enum):
    """Which space a BAR lies in."""

    IO = "io"
    MEM32 = "mem32"
    MEM64 = "mem64"  #: takes two BARs; prefetchable, so that it may lie in the 64-bit window


_BAR_FLAGS = {BarKind.IO: 0x1, BarKind.MEM32: 0x0, BarKind.MEM64: 0xC}


@dataclass(slots=True)
class Bar:
    """A BAR: ``size`` in bytes is a power of two; ``address`` is on the bus, in its space."""

    index: int
    kind: BarKind
    size: int
    target: Target
    address: int = 0

    @property
    def register(self) -> int:
        """Its offset in configuration space."""
        return BAR0 + 4 * self.index


@dataclass(frozen=True, slots=True)
class Identity:
    """What the function says it is."""

    vendor: int
    device: int
    class_code: int  #: 24 bits: class, subclass, programming interface
    revision: int = 0
    subsystem_vendor: int = 0
    subsystem: int = 0


def _nobody(asserted: bool) -> None:
    """The interrupt line of a function on no bus."""


class Function:
    """A function; a device model adds BARs and capabilities, then puts it on a ``Bus``.

    ``changed`` is called (by the bus) after each write that may move BARs; ``set_intx`` drives the
    line of its pin.
    """

    def __init__(self, identity: Identity, *, vectors: int = 0, intx: bool = True) -> None:
        self.identity = identity
        self.bars: list[Bar] = []
        self.msix: Msix | None = None
        self.changed: Callable[[], None] = lambda: None
        self.set_intx: Callable[[bool], None] = _nobody
        self._config = bytearray(CONFIG_SIZE)
        self._writable = bytearray(CONFIG_SIZE)
        self._free_cap = _FIRST_CAP
        self._last_cap = CAPABILITIES
        self._intx_wanted = False
        self._lock = threading.RLock()
        self._set_header(intx)
        if vectors:
            self._msix_at = self.add_capability(CAP_MSIX, bytes(MSIX_CAP_SIZE - 2))
            self.msix = Msix(vectors, lambda: self.set_intx_level(self._intx_wanted))

    def _set_header(self, intx: bool) -> None:
        i = self.identity
        for offset, size, value in (
            (0x00, 2, i.vendor),
            (0x02, 2, i.device),
            (0x08, 1, i.revision),
            (0x09, 3, i.class_code),
            (0x2C, 2, i.subsystem_vendor),
            (0x2E, 2, i.subsystem),
            (IRQ_PIN, 1, int(intx)),
        ):
            self.put(offset, size, value)
        self._allow(COMMAND, 2, COMMAND_BITS)
        self._allow(0x0C, 1, 0xFF)  # cache line size
        self._allow(IRQ_LINE, 1, 0xFF)

    # -- what a device model builds ----------------------------------------------------------

    def put(self, offset: int, size: int, value: int) -> None:
        """Set bytes of configuration space, little-endian, whether or not the guest may."""
        self._config[offset : offset + size] = value.to_bytes(size, "little")

    def get(self, offset: int, size: int) -> int:
        """Bytes of configuration space, little-endian."""
        return int.from_bytes(self._config[offset : offset + size], "little")

    def _allow(self, offset: int, size: int, mask: int) -> None:
        self._writable[offset : offset + size] = mask.to_bytes(size, "little")

    def add_capability(self, number: int, body: bytes, writable: bytes = b"") -> int:
        """Append a capability of 2 + len(body) bytes; its offset.  ``writable`` masks ``body``."""
        at, size = self._free_cap, 2 + len(body)
        if at + size > CONFIG_SIZE:
            raise InternalError("configuration space is full of capabilities")
        self._config[at : at + size] = bytes((number, 0)) + body
        self._writable[at + 2 : at + 2 + len(writable)] = writable
        self._config[self._last_cap] = at
        self._last_cap = at + 1
        self._free_cap = -(-(at + size) // 4) * 4
        self.put(STATUS, 2, self.get(STATUS, 2) | STATUS_CAPABILITIES)
        return at

    def add_bar(self, index: int, kind: BarKind, size: int, target: Target) -> Bar:
        """A BAR that ``target`` answers for."""
        bar = Bar(index, kind, size, target)
        self.bars.append(bar)
        width = 8 if kind is BarKind.MEM64 else 4
        self.put(bar.register, width, _BAR_FLAGS[kind])
        self._allow(bar.register, width, -size & ((1 << 8 * width) - 1))
        return bar

    def use_msix(self, index: int, table_offset: int, pba_offset: int) -> None:
        """MSI-X table and pending bits lie at these offsets of BAR ``index``."""
        if self.msix is None:
            raise InternalError("a function without vectors has no MSI-X")
        self.put(self._msix_at + 2, 2, self.msix.count - 1)
        self.put(self._msix_at + 4, 4, table_offset | index)
        self.put(self._msix_at + 8, 4, pba_offset | index)
        self._allow(self._msix_at + 2, 2, 0xC000)

    def set_multifunction(self) -> None:
        """Other functions share the slot."""
        self._config[0x0E] |= HEADER_MULTIFUNCTION

    def place(self, bar: Bar, address: int) -> None:
        """Give a BAR its address, as firmware does."""
        width = 8 if bar.kind is BarKind.MEM64 else 4
        bar.address = address
        self.put(bar.register, width, address | _BAR_FLAGS[bar.kind])

    def enable(self) -> None:
        """Let it decode its BARs and be a bus master, as firmware does."""
        self.config_write(COMMAND, 2, COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER)

    # -- the guest's accesses -----------------------------------------------------------------

    def config_read(self, offset: int, size: int) -> int:
        """``size`` (1, 2, 4) bytes of configuration space, inside its 256 bytes."""
        return self.get(offset, size)

    def config_write(self, offset: int, size: int, value: int) -> None:
        """Write configuration space where the guest may; the rest keeps its value."""
        with self._lock:
            for i in range(size):
                mask = self._writable[offset + i]
                if mask:
                    new = value >> 8 * i & mask
                    self._config[offset + i] = self._config[offset + i] & ~mask | new
            self._after_write(offset, size)

    def _after_write(self, offset: int, size: int) -> None:
        end = offset + size
        if offset < COMMAND + 2 and end > COMMAND:
            self.set_intx_level(self._intx_wanted)
            self.changed()
        elif offset < BAR0 + 24 and end > BAR0:
            self.changed()
        elif self.msix is not None and offset < self._msix_at + 4 and end > self._msix_at:
            control = self._config[self._msix_at + 3]
            self.msix.set_control(bool(control & 0x80), bool(control & 0x40))

    def decoded(self, bar: Bar) -> int | None:
        """The bus address at which ``bar`` is decoded now; None if it is not."""
        enabled = COMMAND_IO if bar.kind is BarKind.IO else COMMAND_MEMORY
        if not self.get(COMMAND, 2) & enabled:
            return None
        width = 8 if bar.kind is BarKind.MEM64 else 4
        return self.get(bar.register, width) & -bar.size & ((1 << 8 * width) - 1)

    @property
    def is_master(self) -> bool:
        """Whether it may access memory."""
        return bool(self._config[COMMAND] & COMMAND_MASTER)

    # -- interrupts ---------------------------------------------------------------------------

    def set_intx_level(self, asserted: bool) -> None:
        """Ask for the level interrupt; it is silent while MSI-X is enabled or the guest masks it."""
        with self._lock:
            self._intx_wanted = asserted
            status = self.get(STATUS, 2) & ~STATUS_INTERRUPT
            self.put(STATUS, 2, status | (STATUS_INTERRUPT if asserted else 0))
            msix = self.msix is not None and self.msix.enabled
            self.set_intx(asserted and not msix and not self.get(COMMAND, 2) & COMMAND_NO_INTX)

    # -- state --------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """Plain data: configuration space, the wanted line, MSI-X."""
        msix = self.msix.save() if self.msix is not None else None
        return {"config": bytes(self._config), "intx": self._intx_wanted, "msix": msix}

    def restore(self, data: dict[str, Any]) -> None:
        """Take the state back; BARs are decoded where they were."""
        with self._lock:
            self._config[:] = data["config"]
            if self.msix is not None:
                self.msix.restore(data["msix"])
            self.set_intx_level(data["intx"])
            self.changed()
