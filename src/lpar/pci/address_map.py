# SPDX-License-Identifier: GPL-2.0-only
"""Which device answers at a guest-physical address outside RAM.

A device access is one exit of a vCPU, so the way from address to device is one look into a
dictionary of 4 KiB pages, filled as pages are used.  Pages shared by two regions are never in it.
"""

from __future__ import annotations

import bisect
import threading
from dataclasses import dataclass
from typing import Protocol

from lpar.errors import InternalError

PAGE_SHIFT = 12
CACHED_PAGES = 4096  #: pages remembered; a guest that walks a large region forgets and begins again


class Target(Protocol):
    """What answers.  Offsets in bytes from the region's start; sizes are 1, 2, 4 or 8.

    ``data`` are the bytes in address order, so that each device may have its own byte order.
    """

    def load(self, offset: int, size: int) -> bytes:
        """``size`` bytes.  Never raises for what a guest does."""

    def store(self, offset: int, data: bytes) -> None:
        """Take ``data``.  Never raises for what a guest does."""


@dataclass(frozen=True, slots=True)
class Region:
    """``size`` bytes at ``base`` (guest-physical) that ``target`` answers for."""

    base: int
    size: int
    target: Target

    @property
    def end(self) -> int:
        """First address behind it."""
        return self.base + self.size


class AddressMap:
    """Regions that do not overlap.

    ``load`` and ``store`` are for any thread; ``add`` and ``remove`` too, and never leave a reader
    with a wrong answer: it sees the map before or after.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._starts: list[int] = []
        self._regions: list[Region] = []
        self._pages: dict[int, Region] = {}

    def add(self, base: int, size: int, target: Target) -> Region:
        """A new region.  Raises InternalError if it overlaps another: see ``free``."""
        region = Region(base, size, target)
        with self._lock:
            if not self._is_free(base, size):
                raise InternalError(f"two devices at {base:#x}+{size:#x}")
            at = bisect.bisect(self._starts, base)
            self._change([*self._regions[:at], region, *self._regions[at:]])
        return region

    def remove(self, region: Region) -> None:
        """Nothing answers there any more."""
        with self._lock:
            self._change([other for other in self._regions if other is not region])

    def free(self, base: int, size: int) -> bool:
        """Whether no region has any of these addresses."""
        with self._lock:
            return self._is_free(base, size)

    def _is_free(self, base: int, size: int) -> bool:
        return all(region.end <= base or base + size <= region.base for region in self._regions)

    def _change(self, regions: list[Region]) -> None:
        self._regions = regions
        self._starts = [region.base for region in regions]
        self._pages = {}

    def find(self, address: int, size: int) -> Region | None:
        """The region that has all of these bytes."""
        with self._lock:
            at = bisect.bisect(self._starts, address) - 1
            region = self._regions[at] if at >= 0 else None
            if region is None or address + size > region.end:
                return None
            self._remember(address >> PAGE_SHIFT, region)
            return region

    def _remember(self, page: int, region: Region) -> None:
        whole = region.base <= page << PAGE_SHIFT and (page + 1) << PAGE_SHIFT <= region.end
        if whole and len(self._pages) >= CACHED_PAGES:
            self._pages = {}
        if whole:
            self._pages[page] = region

    def read(self, address: int, size: int) -> int | None:
        """The value (its big-endian bytes are those of the bus), or None where nothing answers."""
        region = self._pages.get(address >> PAGE_SHIFT)
        if region is None or address + size > region.end:
            region = self.find(address, size)
        if region is None:
            return None
        return int.from_bytes(region.target.load(address - region.base, size), "big")

    def write(self, address: int, size: int, value: int) -> bool:
        """Store ``value`` (its big-endian bytes go to the bus); False where nothing answers."""
        region = self._pages.get(address >> PAGE_SHIFT)
        if region is None or address + size > region.end:
            region = self.find(address, size)
        if region is None:
            return False
        region.target.store(address - region.base, value.to_bytes(size, "big"))
        return True
