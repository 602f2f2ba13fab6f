# SPDX-License-Identifier: GPL-2.0-only
"""virtio over PCI as it was before 1.0: one BAR of I/O ports.

Source: VIRTIO 1.2, 4.1.4.10 "Legacy Interfaces: A Note on PCI Device Layout", 2.7.2 (layout of a
legacy queue), 3.1.2 (set-up without FEATURES_OK).  The ports:

    0x00 device features  0x04 driver features  0x08 queue address / 4096  0x0c queue size
    0x0e queue select     0x10 queue notify     0x12 status                0x13 ISR

then, while MSI-X is on, the vectors of configuration changes and of the queue, and the device's
configuration.  Rings and configuration are in the guest's byte order, which here is little-endian.
"""

from __future__ import annotations

import struct
import threading

from lpar.pci import BarKind, Identity
from lpar.virtio.device import Device
from lpar.virtio.memory import DmaMemory
from lpar.virtio.pci import VENDOR, Transport
from lpar.virtio.queue import Queue

DEVICE_BASE = 0x1000
#: PCI device numbers (4.1.2.1), behind DEVICE_BASE, by the device's own
NUMBERS = {1: 0, 2: 1, 3: 3, 4: 5, 5: 2, 8: 4, 9: 9}
FEATURES, ACCEPTED, ADDRESS, SIZE, SELECT = 0x00, 0x04, 0x08, 0x0C, 0x0E
NOTIFY, STATUS, ISR, CONFIG = 0x10, 0x12, 0x13, 0x14
_VECTORS = 4  #: bytes of the two vectors, before the configuration while MSI-X is on
PORTS = 0x1000
_PAGE = 4096
_IO_BAR, _MSIX_BAR = 0, 1


class LegacyFunction(Transport):
    """A virtio device as a PCI function, by the legacy interface alone."""

    def __init__(self, device: Device, memory: DmaMemory) -> None:
        number = DEVICE_BASE + NUMBERS[device.id]
        super().__init__(Identity(VENDOR, number, device.class_code, 0, VENDOR, device.id), device, memory)

    def _add_bars(self) -> None:
        self._registers: Ports = Ports(self)
        self.add_bar(_IO_BAR, BarKind.IO, PORTS, self._registers)
        self._add_msix_bar(_MSIX_BAR)


class Ports:
    """The BAR: what the driver reads and writes."""

    def __init__(self, function: LegacyFunction) -> None:
        self._function = function
        self._device = function.device
        self._lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        """As after power on."""
        self._select = 0

    def save(self) -> list[int]:
        """Plain data."""
        return [self._select]

    def restore(self, data: list[int]) -> None:
        """Take it back."""
        (self._select,) = data

    # -- dispatch --------------------------------------------------------------------------------

    def store(self, offset: int, data: bytes) -> None:
        """A notification is what comes most."""
        value = int.from_bytes(data, "little")
        if offset == NOTIFY and len(data) == 2:
            self._device.notify(value)
            return
        with self._lock:
            if offset >= CONFIG:
                self._store_behind(offset, data, value)
            else:
                self._store_common(offset, len(data), value)

    def load(self, offset: int, size: int) -> bytes:
        """Zero where there is nothing."""
        with self._lock:
            if offset >= CONFIG:
                return self._load_behind(offset, size)
            return self._load_common(offset).ljust(size, b"\0")[:size]

    def _load_common(self, offset: int) -> bytes:
        device, queue = self._device, self._queue()
        if offset == FEATURES:
            return struct.pack("<I", device.offered & 0xFFFF_FFFF)
        if offset == ACCEPTED:
            return struct.pack("<I", device.features & 0xFFFF_FFFF)
        if offset == ADDRESS:
            return struct.pack("<I", queue.desc // _PAGE if queue is not None and queue.ready else 0)
        if offset == SIZE:
            return struct.pack("<H", queue.max_size if queue is not None else 0)
        if offset == SELECT:
            return struct.pack("<H", self._select)
        if offset == STATUS:
            return bytes((device.status,))
        return bytes((self._function.take_isr(),)) if offset == ISR else b""

    def _store_common(self, offset: int, size: int, value: int) -> None:
        """A whole port; anything else counts for nothing."""
        if (offset, size) == (ACCEPTED, 4):
            self._accept(value)
        elif (offset, size) == (ADDRESS, 4):
            self._set_address(value)
        elif (offset, size) == (SELECT, 2):
            self._select = value
        elif (offset, size) == (STATUS, 1):
            self._set_status(value)

    def _accept(self, features: int) -> None:
        """Nothing tells the driver of a wrong choice: what is not offered is not agreed on."""
        if not any(queue.ready for queue in self._device.queues):
            self._device.features = features & self._device.offered

    def _set_status(self, value: int) -> None:
        if value == 0:
            self._function.reset()
        else:
            self._device.set_status(value)

    def _queue(self) -> Queue | None:
        queues = self._device.queues
        return queues[self._select] if self._select < len(queues) else None

    def _set_address(self, page: int) -> None:
        """Rings one behind the other; 0 takes the queue away (2.7.2)."""
        queue = self._queue()
        if queue is None:
            return
        if page == 0:
            self._device.reset_queue(queue)
        elif not queue.ready:
            queue.size = queue.max_size
            queue.desc = page * _PAGE
            queue.avail = queue.desc + 16 * queue.size
            queue.used = -(-(queue.avail + 6 + 2 * queue.size) // _PAGE) * _PAGE
            self._device.enable_queue(queue)

    # -- vectors and configuration -----------------------------------------------------------------

    def _vectors(self) -> int:
        msix = self._function.msix
        return _VECTORS if msix is not None and msix.enabled else 0

    def _load_behind(self, offset: int, size: int) -> bytes:
        at = offset - CONFIG - self._vectors()
        if at >= 0:
            return self._device.read_config(at, size)
        if offset == CONFIG:
            return struct.pack("<H", self._function.vector(None)).ljust(size, b"\0")[:size]
        index = self._select if self._queue() is not None else None
        vector = 0xFFFF if index is None else self._function.vector(index)
        return struct.pack("<H", vector).ljust(size, b"\0")[:size] if offset == CONFIG + 2 else bytes(size)

    def _store_behind(self, offset: int, data: bytes, value: int) -> None:
        at = offset - CONFIG - self._vectors()
        if at >= 0:
            if at + len(data) <= len(self._device.config):
                self._device.write_config(at, data)
        elif len(data) == 2 and offset == CONFIG:
            self._function.set_vector(None, value)
        elif len(data) == 2 and offset == CONFIG + 2 and self._queue() is not None:
            self._function.set_vector(self._select, value)
