# SPDX-License-Identifier: GPL-2.0-only
"""virtio over PCI: capabilities, common configuration, notifications, interrupts.

Source: VIRTIO 1.2, 4.1 "Virtio Over PCI Bus".  One 64-bit BAR has everything the driver touches, in
pages of 4 KiB:

    0x0000 common configuration      0x1000 ISR      0x2000 device configuration
    0x3000 notifications, 4 bytes for each queue

and one 32-bit BAR has the MSI-X table and the pending bits.  Both are 64 KiB, so that each lies in
pages of its own whatever page size the guest has.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from lpar.pci import BarKind, Function, Identity
from lpar.virtio.device import CONFIG_LIMIT, F_RING_RESET, F_VERSION_1, FEATURES_OK, Device
from lpar.virtio.memory import DmaMemory
from lpar.virtio.queue import Queue

VENDOR = 0x1AF4
DEVICE_BASE = 0x1040
NO_VECTOR = 0xFFFF
MAX_VECTORS = 64
BAR_SIZE = 0x10000
COMMON, ISR, DEVICE, NOTIFY = 0x0000, 0x1000, 0x2000, 0x3000
_MSIX_BAR, _MAIN_BAR = 2, 4
_PBA = 0x8000
_CAP_VENDOR = 9
CFG_COMMON, CFG_NOTIFY, CFG_ISR, CFG_DEVICE, CFG_PCI = 1, 2, 3, 4, 5
ISR_QUEUE, ISR_CONFIG = 1, 2
COMMON_SIZE = 0x3C


class _Selected(Protocol):
    """What a transport's registers are to the base: they can be reset and saved."""

    def reset(self) -> None:
        """As after power on."""

    def save(self) -> list[int]:
        """Plain data."""

    def restore(self, data: list[int]) -> None:
        """Take it back."""


class Transport(Function):
    """What the modern and the legacy function share: vectors, interrupts, reset, state.

    It is the device's ``Transport``.  ``_add_bars`` gives it BARs and ``_registers``.
    """

    _registers: _Selected

    def __init__(self, identity: Identity, device: Device, memory: DmaMemory) -> None:
        super().__init__(identity, vectors=min(len(device.queues) + 1, MAX_VECTORS))
        self.device = device
        self._isr = 0
        self._isr_lock = threading.Lock()
        self._queue_vectors = [NO_VECTOR] * len(device.queues)
        self._config_vector = NO_VECTOR
        self.generation = 0
        self._add_bars()
        device.attach(memory, self)

    def _add_bars(self) -> None:
        raise NotImplementedError

    def _add_msix_bar(self, index: int) -> None:
        self.add_bar(index, BarKind.MEM32, BAR_SIZE, _MsixBar(self))
        self.use_msix(index, 0, _PBA)

    # -- interrupts (Transport) ----------------------------------------------------------------

    def interrupt(self, queue: int) -> None:
        """A queue has used buffers."""
        self._signal(self._queue_vectors[queue], ISR_QUEUE)

    def config_changed(self) -> None:
        """The configuration or the status has changed."""
        self.generation = self.generation + 1 & 0xFF
        self._signal(self._config_vector, ISR_CONFIG)

    def _signal(self, vector: int, cause: int) -> None:
        assert self.msix is not None
        if self.msix.enabled:
            self.msix.notify(vector)
            return
        with self._isr_lock:
            self._isr |= cause
            self.set_intx_level(True)

    def take_isr(self) -> int:
        """Reading the ISR ends the level interrupt."""
        with self._isr_lock:
            isr, self._isr = self._isr, 0
            self.set_intx_level(False)
        return isr

    def vector(self, queue: int | None) -> int:
        """The MSI-X vector of a queue, or of configuration changes (None)."""
        return self._config_vector if queue is None else self._queue_vectors[queue]

    def set_vector(self, queue: int | None, vector: int) -> None:
        """Set it; a vector that is not there reads back as none."""
        assert self.msix is not None
        vector = vector if vector < self.msix.count else NO_VECTOR
        if queue is None:
            self._config_vector = vector
        else:
            self._queue_vectors[queue] = vector

    def reset(self) -> None:
        """The driver wrote status 0."""
        self.device.reset()
        self._queue_vectors = [NO_VECTOR] * len(self.device.queues)
        self._config_vector = NO_VECTOR
        self._registers.reset()
        self.take_isr()

    # -- state -----------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """Plain data of function and device."""
        return {
            **super().save(),
            "isr": self._isr,
            "vectors": [self._config_vector, *self._queue_vectors],
            "registers": self._registers.save(),
            "device": self.device.save(),
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Take the state back."""
        self._isr = data["isr"]
        self._config_vector, *self._queue_vectors = data["vectors"]
        self._registers.restore(data["registers"])
        super().restore(data)
        self.device.restore(data["device"])


class VirtioFunction(Transport):
    """A virtio device as a PCI function, by the modern interface."""

    def __init__(self, device: Device, memory: DmaMemory) -> None:
        number = DEVICE_BASE + device.id
        super().__init__(Identity(VENDOR, number, device.class_code, 1, VENDOR, number), device, memory)

    def _add_bars(self) -> None:
        self._add_msix_bar(_MSIX_BAR)
        self._registers: Registers = Registers(self)
        self.add_bar(_MAIN_BAR, BarKind.MEM64, BAR_SIZE, self._registers)
        queues = max(len(self.device.queues), 1)
        self._add_window(CFG_COMMON, COMMON, COMMON_SIZE)
        self._add_window(CFG_ISR, ISR, 1)
        self._add_window(CFG_DEVICE, DEVICE, max(len(self.device.config), 4))
        self._add_window(CFG_NOTIFY, NOTIFY, 4 * queues, struct.pack("<I", 4))
        body = struct.pack("<BBBxxxII", 20, CFG_PCI, 0, 0, 0) + bytes(4)
        writable = bytes((0, 0, 0xFF, 0, 0, 0)) + b"\xff" * 12
        self._pci_cfg = self.add_capability(_CAP_VENDOR, body, writable)

    def _add_window(self, kind: int, offset: int, size: int, extra: bytes = b"") -> None:
        body = struct.pack("<BBBxxx", 16 + len(extra), kind, _MAIN_BAR) + struct.pack("<II", offset, size)
        self.add_capability(_CAP_VENDOR, body + extra)

    # -- the window in configuration space (4.1.4.9) ---------------------------------------------

    def config_read(self, offset: int, size: int) -> int:
        """Configuration space; the window's data are read when they are looked at."""
        window = self._pci_cfg + 16
        if offset < window + 4 and offset + size > window:
            at, length = self._window()
            if length:
                self._config[window : window + length] = self._registers.load(at, length)
        return super().config_read(offset, size)

    def config_write(self, offset: int, size: int, value: int) -> None:
        """Configuration space; a write to the window's data goes through it."""
        super().config_write(offset, size, value)
        window = self._pci_cfg + 16
        if offset < window + 4 and offset + size > window:
            at, length = self._window()
            if length:
                self._registers.store(at, bytes(self._config[window : window + length]))

    def _window(self) -> tuple[int, int]:
        """(offset in the BAR, 1, 2, or 4 bytes); no bytes if it cannot be."""
        bar, at = self._config[self._pci_cfg + 4], self.get(self._pci_cfg + 8, 4)
        length = self.get(self._pci_cfg + 12, 4)
        good = bar == _MAIN_BAR and length in (1, 2, 4) and at % length == 0 and at + length <= BAR_SIZE
        return at, length if good else 0


class _MsixBar:
    """The BAR with the MSI-X table and, from ``_PBA`` on, the pending bits."""

    def __init__(self, function: Function) -> None:
        assert function.msix is not None
        self._msix = function.msix

    def load(self, offset: int, size: int) -> bytes:
        """Table or pending bits."""
        if offset < _PBA:
            return self._msix.load(offset, size)
        return self._msix.load_pending(offset - _PBA, size)

    def store(self, offset: int, data: bytes) -> None:
        """Only the table can be written."""
        if offset < _PBA:
            self._msix.store(offset, data)


class Registers:
    """The main BAR: what the driver reads and writes."""

    def __init__(self, function: VirtioFunction) -> None:
        self._function = function
        self._device = function.device
        self._lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        """The selectors, as after power on."""
        self.device_feature_select = self.driver_feature_select = self.queue_select = 0

    # -- dispatch --------------------------------------------------------------------------------

    def store(self, offset: int, data: bytes) -> None:
        """A notification is what comes most."""
        if offset >= NOTIFY:
            self._device.notify((offset - NOTIFY) >> 2)
        elif offset >= DEVICE:
            self._store_device(offset - DEVICE, data)
        elif offset < COMMON_SIZE:
            with self._lock:
                self._store_common(offset, data)

    def load(self, offset: int, size: int) -> bytes:
        """Zero where there is nothing."""
        if offset >= NOTIFY:
            return bytes(size)
        if offset >= DEVICE:
            return self._device.read_config(offset - DEVICE, size)
        if offset >= ISR:
            return bytes((self._function.take_isr(),)).ljust(size, b"\0") if offset == ISR else bytes(size)
        with self._lock:
            return self._load_common(offset, size)

    def _store_device(self, offset: int, data: bytes) -> None:
        if offset + len(data) <= min(len(self._device.config), CONFIG_LIMIT):
            self._device.write_config(offset, data)

    def _load_common(self, offset: int, size: int) -> bytes:
        """Bytes of one field, zero behind it."""
        field = _FIELDS.get(offset)
        if field is None:
            return bytes(size)
        at = offset - field.offset
        return field.get(self).to_bytes(field.size, "little")[at : at + size].ljust(size, b"\0")

    def _store_common(self, offset: int, data: bytes) -> None:
        """A whole field, or a half of a 64-bit one; anything else counts for nothing (4.1.3.1)."""
        field = _FIELDS.get(offset)
        if field is None or field.set is None:
            return
        at, value = offset - field.offset, int.from_bytes(data, "little")
        if field.size == 8 and len(data) == 4 and at in (0, 4):
            kept = field.get(self) & ~(0xFFFF_FFFF << 8 * at)
            field.set(self, kept | value << 8 * at)
        elif at == 0 and len(data) == field.size:
            field.set(self, value)

    # -- fields ----------------------------------------------------------------------------------

    def _queue(self) -> Queue | None:
        queues = self._device.queues
        return queues[self.queue_select] if self.queue_select < len(queues) else None

    def _of_queue(self, name: str) -> int:
        queue = self._queue()
        return 0 if queue is None else int(getattr(queue, name))

    def _set_of_queue(self, name: str, value: int) -> None:
        """Set size or address of a queue that is not in use."""
        queue = self._queue()
        if queue is not None and not queue.ready:
            setattr(queue, name, value)

    def _device_features(self) -> int:
        select = self.device_feature_select
        return self._device.offered >> 32 * select & 0xFFFF_FFFF if select < 2 else 0

    def _driver_features(self) -> int:
        select = self.driver_feature_select
        return self._device.features >> 32 * select & 0xFFFF_FFFF if select < 2 else 0

    def _set_driver_features(self, value: int) -> None:
        select, device = self.driver_feature_select, self._device
        if select < 2 and not device.status & FEATURES_OK:
            kept = device.features & ~(0xFFFF_FFFF << 32 * select)
            device.features = kept | value << 32 * select

    def _set_status(self, value: int) -> None:
        if value == 0:
            self._function.reset()
            return
        if value & FEATURES_OK and not self._device.features & F_VERSION_1:
            value &= ~FEATURES_OK  # a modern device needs a modern driver (6.1)
        self._device.set_status(value)

    def _queue_vector(self) -> int:
        return NO_VECTOR if self._queue() is None else self._function.vector(self.queue_select)

    def _set_queue_vector(self, value: int) -> None:
        if self._queue() is not None:
            self._function.set_vector(self.queue_select, value)

    def _enable_queue(self, value: int) -> None:
        queue = self._queue()
        if queue is not None and value == 1 and not queue.ready and self._device.status & FEATURES_OK:
            self._device.enable_queue(queue)

    def _reset_queue(self, value: int) -> None:
        queue = self._queue()
        if queue is not None and value == 1 and self._device.has(F_RING_RESET):
            self._device.reset_queue(queue)

    def save(self) -> list[int]:
        """Plain data: the selectors."""
        return [self.device_feature_select, self.driver_feature_select, self.queue_select]

    def restore(self, data: list[int]) -> None:
        """Take them back."""
        self.device_feature_select, self.driver_feature_select, self.queue_select = data


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of the common configuration; no ``set``: the driver only reads it."""

    offset: int
    size: int
    get: Callable[[Registers], int]
    set: Callable[[Registers, int], None] | None = None


def _attribute(offset: int, size: int, name: str) -> _Field:
    """A field that only remembers what was written."""
    return _Field(offset, size, lambda r: int(getattr(r, name)), lambda r, v: setattr(r, name, v))


def _ring(offset: int, size: int, name: str) -> _Field:
    """Size or address of the selected queue."""
    return _Field(offset, size, lambda r: r._of_queue(name), lambda r, v: r._set_of_queue(name, v))


_ALL_FIELDS = (
    _attribute(0x00, 4, "device_feature_select"),
    _Field(0x04, 4, Registers._device_features),
    _attribute(0x08, 4, "driver_feature_select"),
    _Field(0x0C, 4, Registers._driver_features, Registers._set_driver_features),
    _Field(0x10, 2, lambda r: r._function.vector(None), lambda r, v: r._function.set_vector(None, v)),
    _Field(0x12, 2, lambda r: len(r._device.queues)),
    _Field(0x14, 1, lambda r: r._device.status, Registers._set_status),
    _Field(0x15, 1, lambda r: r._function.generation),
    _attribute(0x16, 2, "queue_select"),
    _ring(0x18, 2, "size"),
    _Field(0x1A, 2, Registers._queue_vector, Registers._set_queue_vector),
    _Field(0x1C, 2, lambda r: r._of_queue("ready"), Registers._enable_queue),
    _Field(0x1E, 2, lambda r: r.queue_select if r._queue() else 0),
    _ring(0x20, 8, "desc"),
    _ring(0x28, 8, "avail"),
    _ring(0x30, 8, "used"),
    _Field(0x38, 2, lambda r: 0),
    _Field(0x3A, 2, lambda r: 0, Registers._reset_queue),
)
_FIELDS = {field.offset + i: field for field in _ALL_FIELDS for i in range(field.size)}
