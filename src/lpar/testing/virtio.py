# SPDX-License-Identifier: GPL-2.0-only
"""The driver's side of virtio over PCI: finds a device, sets queues up, makes requests.

It goes the guest's way: configuration space, BARs, MSI-X messages, rings in guest memory.  Every step
is a method of its own, so that a test may leave one out or do it wrong.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from lpar.host.memory import GuestMemory
from lpar.pci import AddressMap, BarKind, Bus, Window
from lpar.pci.address_map import Region
from lpar.virtio import legacy
from lpar.virtio.device import ACKNOWLEDGE, DRIVER, DRIVER_OK, F_VERSION_1, FEATURES_OK, Device
from lpar.virtio.legacy import LegacyFunction
from lpar.virtio.memory import DmaMemory
from lpar.virtio.pci import BAR_SIZE, COMMON, DEVICE, ISR, NOTIFY, Transport, VirtioFunction
from lpar.virtio.queue import INDIRECT, NEXT, WRITE

TIMEOUT = 20.0  #: seconds that an answer may take
MSI_ADDRESS = 0x1000_0000
PORTS_BASE = 0x2000_0000
MEMORY_SIZE = 8 << 20
_RINGS, _BUFFERS = 0x10000, 0x200000  #: where rings and buffers lie
_RING_SPACE = 0x8000  #: bytes for the rings of one queue of at most 1024


class NoAnswer(Exception):
    """The device did not use a buffer in time."""


class NotDecoded(Exception):
    """No BAR decodes the address of a register: the function is moved or switched off."""


@dataclass
class Ring:
    """One queue as the driver keeps it; ``size`` descriptors at ``desc`` and so on."""

    index: int
    size: int
    desc: int
    avail: int
    used: int
    next_desc: int = 0
    available: int = 0
    seen: int = 0
    heads: dict[int, list[tuple[int, int]]] = field(default_factory=dict)


class VirtioDriver:
    """Drives ``device`` in a machine of its own; close it at the end."""

    interface: ClassVar[type[Transport]] = VirtioFunction
    main = 1 << 40  #: where the main BAR is at first

    def __init__(self, device: Device, memory: GuestMemory | None = None) -> None:
        self.device = device
        self.memory = memory or GuestMemory(MEMORY_SIZE)
        self.written: list[tuple[int, int]] = []  #: what the engine would be told
        dma = DmaMemory(self.memory, lambda at, length: self.written.append((at, length)))
        self.function = self.interface(device, dma)  # type: ignore[call-arg]
        self.addresses = AddressMap()
        windows = [Window(BarKind.MEM32, 0x8000_0000, 0x8000_0000, 1 << 24)]
        windows.append(Window(BarKind.MEM64, 1 << 40, 1 << 40, 1 << 24))
        windows.append(Window(BarKind.IO, PORTS_BASE, PORTS_BASE, 1 << 20))
        self.bus = Bus(windows, self.addresses)
        self.line = False
        self.bus.add(self.function)
        self.function.set_intx = self._set_line
        self.rings: dict[int, Ring] = {}
        self.interrupts: dict[int, int] = {}
        self._arrived = threading.Condition()
        self._buffers = _BUFFERS
        self._main = self.main
        assert self.function.msix is not None
        self.function.msix.resolve = self._resolve

    def close(self) -> None:
        """End the device and free the memory."""
        self.device.close()
        self.memory.close()

    # -- registers -----------------------------------------------------------------------------

    def read(self, offset: int, size: int) -> int:
        """A register of the main BAR, little-endian.  Raises NotDecoded."""
        value = self.addresses.read(self._main + offset, size)
        if value is None:
            raise NotDecoded(f"offset {offset:#x}")
        return int.from_bytes(value.to_bytes(size, "big"), "little")

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a register of the main BAR.  Raises NotDecoded."""
        swapped = int.from_bytes(value.to_bytes(size, "little"), "big")
        if not self.addresses.write(self._main + offset, size, swapped):
            raise NotDecoded(f"offset {offset:#x}")

    def config(self, offset: int, size: int) -> int:
        """Device configuration."""
        return self.read(DEVICE + offset, size)

    @property
    def status(self) -> int:
        """The device status."""
        return self.read(COMMON + 0x14, 1)

    @status.setter
    def status(self, value: int) -> None:
        self.write(COMMON + 0x14, 1, value)

    def isr(self) -> int:
        """Read (and so clear) the interrupt status."""
        return self.read(ISR, 1)

    # -- interrupts ----------------------------------------------------------------------------

    def _set_line(self, asserted: bool) -> None:
        with self._arrived:
            self.line = asserted
            self._arrived.notify_all()

    def _resolve(self, address: int, data: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
        def pulse() -> None:
            with self._arrived:
                self.interrupts[data] = self.interrupts.get(data, 0) + 1
                self._arrived.notify_all()

        return pulse if address == MSI_ADDRESS else None

    def use_msix(self) -> None:
        """Vector n for queue n - 1, vector 0 for configuration changes."""
        msix = self.function.msix
        assert msix is not None
        for vector in range(msix.count):
            entry = struct.pack("<QII", MSI_ADDRESS, vector, 0)
            for at in range(0, 16, 8):
                msix.store(16 * vector + at, entry[at : at + 8])
        self.function.config_write(self.function._msix_at + 2, 2, 0x8000)
        self.set_config_vector()

    def set_config_vector(self) -> None:
        """Changes of the configuration are vector 0."""
        self.write(COMMON + 0x10, 2, 0)

    def wait(self, seconds: float = TIMEOUT) -> None:
        """Sleep until the next interrupt, or a moment."""
        with self._arrived:
            self._arrived.wait(min(seconds, 0.01))

    # -- set-up ----------------------------------------------------------------------------------

    def features(self) -> int:
        """What the device offers."""
        found = 0
        for select in (0, 1):
            self.write(COMMON, 4, select)
            found |= self.read(COMMON + 4, 4) << 32 * select
        return found

    def accept(self, features: int) -> None:
        """What the driver accepts."""
        for select in (0, 1):
            self.write(COMMON + 8, 4, select)
            self.write(COMMON + 0xC, 4, features >> 32 * select & 0xFFFF_FFFF)

    def start(
        self, features: int | None = None, *, msix: bool = True, size: int | None = None
    ) -> VirtioDriver:
        """All that a driver does (3.1.1); ``features`` are all that are offered unless told."""
        self.status = 0
        self.status = ACKNOWLEDGE
        self.status = ACKNOWLEDGE | DRIVER
        self.accept(self.features() if features is None else features | F_VERSION_1)
        self.status = ACKNOWLEDGE | DRIVER | FEATURES_OK
        assert self.status & FEATURES_OK
        if msix:
            self.use_msix()
        for index in range(self.read(COMMON + 0x12, 2)):
            self.set_up(index, size)
        self.status = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK
        return self

    def set_up(self, index: int, size: int | None = None) -> Ring:
        """Give a queue its rings."""
        self.write(COMMON + 0x16, 2, index)
        size = size or self.read(COMMON + 0x18, 2)
        base = _RINGS + index * _RING_SPACE
        ring = Ring(index, size, base, base + 16 * size, base + 16 * size + 6 + 2 * size + 2 & -4)
        self.memory.fill(base, _RING_SPACE)
        self._tell(ring)
        self.rings[index] = ring
        return ring

    def _tell(self, ring: Ring) -> None:
        """Give the selected queue the addresses."""
        self.write(COMMON + 0x18, 2, ring.size)
        for at, address in ((0x20, ring.desc), (0x28, ring.avail), (0x30, ring.used)):
            self.write(COMMON + at, 4, address & 0xFFFF_FFFF)
            self.write(COMMON + at + 4, 4, address >> 32)
        self.write(COMMON + 0x1A, 2, ring.index + 1)
        self.write(COMMON + 0x1C, 2, 1)

    # -- requests ----------------------------------------------------------------------------------

    def buffer(self, content: bytes | int) -> tuple[int, int]:
        """(address, length) of new memory with this content, or of so many bytes."""
        data = bytes(content) if isinstance(content, int) else content
        if self._buffers + len(data) > self.memory.size:
            self._buffers = _BUFFERS  # requests made long ago are over
        address = self._buffers
        self._buffers = -(-(address + len(data)) // 16) * 16
        self.memory.write(address, data)
        return address, len(data)

    def put_descriptor(self, table: int, index: int, fields: tuple[int, int, int, int]) -> None:
        """Write one descriptor: (address, length, flags, next)."""
        self.memory.write(table + 16 * index, struct.pack("<QIHH", *fields))

    def add(
        self, ring: Ring, readable: Sequence[bytes], writable: Sequence[int], *, indirect: bool = False
    ) -> int:
        """Make a chain available; its head.  The device is not notified."""
        parts = [(*self.buffer(data), 0) for data in readable]
        spaces = [(*self.buffer(size), WRITE) for size in writable]
        parts += spaces
        table, first = (self.buffer(16 * len(parts))[0], 0) if indirect else (ring.desc, ring.next_desc)
        count = len(parts) if indirect else ring.size
        for i, (address, length, flags) in enumerate(parts):
            last = i == len(parts) - 1
            following = 0 if last else (first + i + 1) % count
            fields = address, length, flags | (0 if last else NEXT), following
            self.put_descriptor(table, (first + i) % count, fields)
        head = ring.next_desc
        if indirect:
            self.put_descriptor(ring.desc, head, (table, 16 * len(parts), INDIRECT, 0))
        ring.next_desc = (head + (1 if indirect else len(parts))) % ring.size
        ring.heads[head] = [(address, length) for address, length, _ in spaces]
        self.make_available(ring, head)
        return head

    def make_available(self, ring: Ring, head: int) -> None:
        """Put a head into the available ring."""
        self.memory.write(ring.avail + 4 + 2 * (ring.available % ring.size), struct.pack("<H", head))
        ring.available = ring.available + 1 & 0xFFFF
        self.memory.write(ring.avail + 2, struct.pack("<H", ring.available))

    def notify(self, index: int) -> None:
        """Tell the device."""
        self.write(NOTIFY + 4 * index, 2, index)

    def used(self, ring: Ring) -> tuple[int, int] | None:
        """(head, bytes written) of the next buffer that the device has used."""
        index = struct.unpack("<H", self.memory.read(ring.used + 2, 2))[0]
        if index == ring.seen:
            return None
        found = struct.unpack("<II", self.memory.read(ring.used + 4 + 8 * (ring.seen % ring.size), 8))
        ring.seen = ring.seen + 1 & 0xFFFF
        event = ring.avail + 4 + 2 * ring.size  # used_event: interrupt at the next one
        self.memory.write(event, struct.pack("<H", ring.seen))
        return found

    def wait_used(self, ring: Ring, timeout: float = TIMEOUT) -> tuple[int, int]:
        """The next used buffer.  Raises NoAnswer."""
        deadline = time.monotonic() + timeout
        while (found := self.used(ring)) is None:
            if time.monotonic() > deadline:
                raise NoAnswer(f"queue {ring.index} of virtio-{self.device.name}, status {self.status:#x}")
            self.wait()
        return found

    def request(
        self, queue: int, readable: Sequence[bytes], writable: Sequence[int], *, indirect: bool = False
    ) -> tuple[int, list[bytes]]:
        """Make a request and wait: (bytes written, contents of the writable buffers)."""
        ring = self.rings[queue]
        head = self.add(ring, readable, writable, indirect=indirect)
        self.notify(queue)
        used, written = self.wait_used(ring)
        assert used == head
        return written, [self.memory.read(*space) for space in ring.heads.pop(head)]


class LegacyDriver(VirtioDriver):
    """The same by the ports of a legacy device."""

    interface = LegacyFunction
    main = PORTS_BASE

    def config(self, offset: int, size: int) -> int:
        """Device configuration: behind the vectors, which are there with MSI-X."""
        msix = self.function.msix
        assert msix is not None
        return self.read(legacy.CONFIG + 4 * msix.enabled + offset, size)

    @property
    def status(self) -> int:
        """The device status."""
        return self.read(legacy.STATUS, 1)

    @status.setter
    def status(self, value: int) -> None:
        self.write(legacy.STATUS, 1, value)

    def isr(self) -> int:
        """Read (and so clear) the interrupt status."""
        return self.read(legacy.ISR, 1)

    def set_config_vector(self) -> None:
        """Changes of the configuration are vector 0."""
        self.write(legacy.CONFIG, 2, 0)

    def features(self) -> int:
        """What the device offers."""
        return self.read(legacy.FEATURES, 4)

    def accept(self, features: int) -> None:
        """What the driver accepts."""
        self.write(legacy.ACCEPTED, 4, features)

    def start(
        self, features: int | None = None, *, msix: bool = True, size: int | None = None
    ) -> LegacyDriver:
        """All that a driver does (3.1.2); queues have the device's size."""
        self.status = 0
        self.status = ACKNOWLEDGE
        self.status = ACKNOWLEDGE | DRIVER
        self.accept(self.features() if features is None else features)
        if msix:
            self.use_msix()
        for index in range(len(self.device.queues)):
            self.set_up(index)
        self.status = ACKNOWLEDGE | DRIVER | DRIVER_OK
        return self

    def set_up(self, index: int, size: int | None = None) -> Ring:
        """Give a queue its rings."""
        self.write(legacy.SELECT, 2, index)
        size = self.read(legacy.SIZE, 2)
        base = _RINGS + index * _RING_SPACE
        avail = base + 16 * size
        ring = Ring(index, size, base, avail, -(-(avail + 6 + 2 * size) // 4096) * 4096)
        self.memory.fill(base, _RING_SPACE)
        msix = self.function.msix
        if msix is not None and msix.enabled:
            self.write(legacy.CONFIG + 2, 2, index + 1)
        self.write(legacy.ADDRESS, 4, base // 4096)
        self.rings[index] = ring
        return ring

    def notify(self, index: int) -> None:
        """Tell the device."""
        self.write(legacy.NOTIFY, 2, index)


def main_bar(driver: VirtioDriver) -> Region | None:
    """Where the main BAR is decoded now."""
    return driver.addresses.find(1 << 40, BAR_SIZE)
