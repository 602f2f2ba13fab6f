# SPDX-License-Identifier: GPL-2.0-only
"""The PCI host bridge of the partition: windows, interrupts, messages.

Addresses are the reference's (kvmtool, powerpc/spapr.h): MMIO begins at 63 TiB; 512 MiB for 32-bit
BARs from 0xa0000000 on and the I/O ports behind them.  The 64-bit window and the address of
messages, which the reference has not, are ours.  Bus addresses of the 32-bit window are never 0:
Linux takes a BAR at 0 for one without an address.

Devices take guest-physical addresses, which is what virtio without VIRTIO_F_ACCESS_PLATFORM does;
the DMA window (``tce``) is there for guests that set it up anyway.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from lpar.papr.tce import TceTable
from lpar.papr.xics import Source, Xics
from lpar.pci import AddressMap, BarKind, Bus, Function, Window

BUID = 0x800000020000001  #: bus unit identifier, the reference's SPAPR_PCI_BUID
MMIO_START = 0x3F00_0000_0000
MEM32_BASE, MEM32_SIZE = 0xA000_0000, 0x2000_0000
IO_OFFSET, IO_SIZE = MEM32_BASE + MEM32_SIZE, 0x200_0000
ISA_PORTS = 0x10000  #: bytes of ports that BARs do not get
MEM64_BASE, MEM64_SIZE = MMIO_START + 0x80_0000_0000, 0x80_0000_0000
MSI_ADDRESS = 0x400_0000_0000  #: bus address that messages are written to; the data is the source's number
LIOBN = 0x8000_0000  #: number of the DMA window
DMA_WINDOW = 0x4000_0000  #: its bytes, from I/O bus address 0
LSIS = 4
MSI_LIMIT = 1024  #: message sources of one bridge, ``ibm,pe-total-#msi``


@dataclass(frozen=True, slots=True)
class Messages:
    """The message sources that a function has now."""

    sources: tuple[Source, ...]
    msix: bool


class _Line:
    """A level interrupt that several functions share: asserted while any of them asserts it."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._asserting: set[int] = set()

    def set_level(self, devfn: int, asserted: bool) -> None:
        """One function's part."""
        if asserted == (devfn in self._asserting):
            return
        (self._asserting.add if asserted else self._asserting.discard)(devfn)
        self.source.set_level(bool(self._asserting))


class HostBridge:
    """One bridge with one bus."""

    def __init__(self, xics: Xics, addresses: AddressMap, buid: int = BUID) -> None:
        self.buid = buid
        self.windows = [
            Window(BarKind.IO, 0, MMIO_START + IO_OFFSET, IO_SIZE, used=ISA_PORTS),
            Window(BarKind.MEM32, MEM32_BASE, MMIO_START + MEM32_BASE, MEM32_SIZE),
            Window(BarKind.MEM64, MEM64_BASE, MEM64_BASE, MEM64_SIZE),
        ]
        self.bus = Bus(self.windows, addresses)
        self.window = TceTable(LIOBN, DMA_WINDOW)
        self.lock = threading.RLock()  #: of messages: vCPUs ask for them at the same time
        self._xics = xics
        self._lines = [_Line(source) for source in xics.allocate_block(LSIS, level=True)]
        self._messages: dict[int, Messages] = {}
        self._sources: dict[int, Source] = {}

    # -- building -----------------------------------------------------------------------------

    def add(self, function: Function, slot: int | None = None, number: int = 0) -> int:
        """Put a function on the bus; its device-function number.  Raises ConfigError if it is full."""
        devfn = self.bus.add(function, slot, number)
        line = self.line(devfn)
        function.set_intx = lambda asserted: line.set_level(devfn, asserted)
        if function.msix is not None:
            function.msix.resolve = self._resolve
        return devfn

    def line(self, devfn: int) -> _Line:
        """The line of INTA of a slot: lines are dealt out in turn (PCI 3.0, 2.2.6)."""
        return self._lines[(devfn >> 3) % LSIS]

    # -- messages -----------------------------------------------------------------------------

    def _resolve(self, address: int, data: int) -> Any:
        """What a message does: only this bridge's own sources can be reached."""
        source = self._sources.get(data) if address == MSI_ADDRESS else None
        return None if source is None else source.pulse

    def messages(self, devfn: int) -> Messages | None:
        """The sources that a function has."""
        return self._messages.get(devfn)

    def spare_messages(self) -> int:
        """How many more sources there are."""
        return MSI_LIMIT - len(self._sources)

    def give_messages(self, devfn: int, count: int) -> None:
        """New sources for ``count`` vectors of a function, in place of those it had."""
        with self.lock:
            self.take_messages(devfn)
            sources = tuple(self._xics.allocate_block(count))
            self._messages[devfn] = Messages(sources, msix=True)
            self._sources.update({source.number: source for source in sources})
            self._set_messages(devfn, sources)

    def _set_messages(self, devfn: int, sources: tuple[Source, ...]) -> None:
        msix = self.bus.functions[devfn].msix
        if msix is not None:
            for vector, source in enumerate(sources):
                msix.set_message(vector, MSI_ADDRESS, source.number)

    def take_messages(self, devfn: int) -> None:
        """A function has no messages any more."""
        with self.lock:
            old = self._messages.pop(devfn, None)
            if old is None:
                return
            for source in old.sources:
                del self._sources[source.number]
                self._xics.free(source)
            self._look_up_all()

    def _look_up_all(self) -> None:
        for _, function in self.bus:
            if function.msix is not None:
                function.msix.look_up_all()

    # -- state --------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """Plain data of the bus; which sources belong to whom."""
        messages = {devfn: [s.number for s in m.sources] for devfn, m in self._messages.items()}
        return {"functions": self.bus.save(), "messages": messages, "window": self.window.save()}

    def restore(self, data: dict[str, Any]) -> None:
        """Take the state back, after the interrupt controller's."""
        self._messages.clear()
        self._sources.clear()
        for devfn, numbers in data["messages"].items():
            sources = tuple(self._xics.sources[number] for number in numbers)
            self._messages[devfn] = Messages(sources, msix=True)
            self._sources.update({source.number: source for source in sources})
        self.window.restore(data["window"])
        self.bus.restore(data["functions"])
        self._look_up_all()
