# SPDX-License-Identifier: GPL-2.0-only
"""One PCI bus: functions by slot, the windows through which their BARs are reached.

A bridge gives the windows and the lines; the bus gives each BAR an address as firmware would,
and follows the guest when it moves one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lpar.errors import ConfigError, InternalError
from lpar.pci.address_map import AddressMap, Region
from lpar.pci.function import Bar, BarKind, Function

SLOTS = 32
MIN_BAR_ALIGN = 0x10000  #: each BAR has 64 KiB pages of its own


@dataclass(slots=True)
class Window:
    """``size`` bytes of bus addresses from ``bus_base``, seen by the guest at ``cpu_base``."""

    kind: BarKind
    bus_base: int
    cpu_base: int
    size: int
    used: int = field(default=0)

    def take(self, size: int) -> int:
        """The next free bus address for a BAR of ``size`` bytes.  Raises ConfigError when full."""
        align = max(size, MIN_BAR_ALIGN)
        at = -(-(self.bus_base + self.used) // align) * align
        if at + align > self.bus_base + self.size:
            raise ConfigError(f"no room for another PCI device in the {self.kind.value} window")
        self.used = at + align - self.bus_base
        return at

    def to_cpu(self, address: int, size: int) -> int | None:
        """The guest-physical address of a bus address, None outside the window."""
        offset = address - self.bus_base
        return self.cpu_base + offset if offset >= 0 and offset + size <= self.size else None


class Bus:
    """Functions by device-function number (slot << 3 | function)."""

    def __init__(self, windows: list[Window], addresses: AddressMap) -> None:
        self.windows = {window.kind: window for window in windows}
        self.functions: dict[int, Function] = {}
        self._addresses = addresses
        self._mapped: dict[tuple[int, int], Region] = {}
        self._lock = threading.Lock()

    def add(self, function: Function, slot: int | None = None, number: int = 0) -> int:
        """Put a function in a slot (the lowest free one unless told); its device-function number.

        Raises ConfigError when the bus is full.
        """
        devfn = (self._free_slot() if slot is None else slot) << 3 | number
        if devfn in self.functions or devfn >> 3 >= SLOTS:
            raise InternalError(f"PCI slot {devfn >> 3}.{number} cannot be used")
        self.functions[devfn] = function
        if number:
            self._share_slot(devfn >> 3)
        for bar in function.bars:
            function.place(bar, self.windows[bar.kind].take(bar.size))
        function.changed = lambda: self.remap(devfn)
        function.enable()
        return devfn

    def _free_slot(self) -> int:
        taken = {devfn >> 3 for devfn in self.functions}
        free = next((slot for slot in range(SLOTS) if slot not in taken), None)
        if free is None:
            raise ConfigError(f"a PCI bus has {SLOTS} slots, all are taken", hint="give fewer devices")
        return free

    def _share_slot(self, slot: int) -> None:
        for devfn, function in self.functions.items():
            if devfn >> 3 == slot:
                function.set_multifunction()

    def remap(self, devfn: int) -> None:
        """Decode the BARs of a function where they are now.

        A BAR outside its window, or on top of another one, answers nowhere.
        """
        function = self.functions[devfn]
        with self._lock:
            for bar in function.bars:
                self._remap(devfn, function, bar)

    def _remap(self, devfn: int, function: Function, bar: Bar) -> None:
        old = self._mapped.get((devfn, bar.index))
        address = function.decoded(bar)
        base = None if address is None else self.windows[bar.kind].to_cpu(address, bar.size)
        if old is not None and old.base == base:
            return
        if old is not None:
            self._addresses.remove(old)
            del self._mapped[devfn, bar.index]
        if base is not None and self._addresses.free(base, bar.size):
            self._mapped[devfn, bar.index] = self._addresses.add(base, bar.size, bar.target)

    def __iter__(self) -> Iterator[tuple[int, Function]]:
        return iter(sorted(self.functions.items()))

    def save(self) -> dict[int, Any]:
        """Plain data of every function."""
        return {devfn: function.save() for devfn, function in self}

    def restore(self, data: dict[int, Any]) -> None:
        """Take the state back.  Raises ConfigError if other functions are there."""
        if set(data) != set(self.functions):
            raise ConfigError("the snapshot has other PCI devices than this machine")
        for devfn, function in self:
            function.restore(data[devfn])
