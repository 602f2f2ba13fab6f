# SPDX-License-Identifier: GPL-2.0-only
"""DMA windows: tables of translation control entries (TCEs), and the hypercalls that fill them.

Source: PAPR 14.5.4.5 "Translation control entry access".  An entry maps 4 KiB of a window's I/O bus
addresses to a page of the guest; bits 0 and 1 allow reads and writes.

Our devices take guest-physical addresses (virtio without VIRTIO_F_ACCESS_PLATFORM) and do not look
here; Linux sets a window up for each bridge all the same, and warns where there is none.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from lpar.papr import numbers as n
from lpar.papr.registry import Args, Result, hcall

if TYPE_CHECKING:
    from lpar.accel.protocol import Vcpu
    from lpar.papr.partition import Partition

PAGE_SHIFT = 12
READ, WRITE = 1, 2
MAX_LIST = 512  #: entries in one call


class TceTable:
    """The window of ``size`` bytes at I/O bus address 0; ``liobn`` is its number."""

    def __init__(self, liobn: int, size: int) -> None:
        self.liobn = liobn
        self.size = size
        self._entries = memoryview(bytearray(size >> PAGE_SHIFT << 3)).cast("Q")

    def entries(self, ioba: int, count: int) -> range | None:
        """Numbers of ``count`` entries from an address on; None if they are not all in the window."""
        first = ioba >> PAGE_SHIFT
        inside = ioba % (1 << PAGE_SHIFT) == 0 and count >= 0 and first + count <= len(self._entries)
        return range(first, first + count) if inside else None

    def get(self, index: int) -> int:
        """An entry."""
        return int(self._entries[index])

    def put(self, index: int, tce: int) -> None:
        """Set an entry."""
        self._entries[index] = tce

    def fill(self, indices: range, tce: int) -> None:
        """Set entries to one value: Linux clears the whole window, 512 at a time."""
        self._entries[indices.start : indices.stop] = memoryview(struct.pack("=Q", tce) * len(indices)).cast(
            "Q"
        )

    def translate(self, ioba: int, access: int) -> int | None:
        """The guest-physical address behind an I/O bus address; None if ``access`` is not allowed."""
        index = ioba >> PAGE_SHIFT
        tce = self.get(index) if index < len(self._entries) else 0
        page = tce >> PAGE_SHIFT << PAGE_SHIFT
        return page | ioba & (1 << PAGE_SHIFT) - 1 if tce & access == access else None

    def save(self) -> dict[str, Any]:
        """Plain data: the entries that are set."""
        return {"entries": {i: tce for i, tce in enumerate(self._entries) if tce}}

    def restore(self, data: dict[str, Any]) -> None:
        """Take them back."""
        self._entries.cast("B")[:] = bytes(len(self._entries) * 8)
        for index, tce in data["entries"].items():
            self.put(index, tce)


def _table(p: Partition, liobn: int) -> TceTable | None:
    return next((bridge.window for bridge in p.bridges if bridge.window.liobn == liobn), None)


def _entries(p: Partition, a: Args, count: int) -> tuple[TceTable, range] | None:
    """The table and entries that (LIOBN, address) and a count name."""
    table = _table(p, a[1])
    indices = table.entries(a[2], count) if table is not None else None
    return (table, indices) if table is not None and indices is not None else None


@hcall(n.H_GET_TCE, "hcall-tce")
def h_get_tce(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Read an entry: (LIOBN, I/O bus address)."""
    found = _entries(p, a, 1)
    return n.H_PARAMETER if found is None else (n.H_SUCCESS, found[0].get(found[1][0]))


@hcall(n.H_PUT_TCE, "hcall-tce")
def h_put_tce(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Set an entry: (LIOBN, I/O bus address, entry)."""
    found = _entries(p, a, 1)
    if found is None:
        return n.H_PARAMETER
    found[0].put(found[1][0], a[3])
    return n.H_SUCCESS


@hcall(n.H_STUFF_TCE, "hcall-multi-tce")
def h_stuff_tce(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Set entries to one value: (LIOBN, I/O bus address, entry, count)."""
    found = _entries(p, a, a[4]) if a[4] <= MAX_LIST else None
    if found is None:
        return n.H_PARAMETER
    found[0].fill(found[1], a[3])
    return n.H_SUCCESS


@hcall(n.H_PUT_TCE_INDIRECT, "hcall-multi-tce")
def h_put_tce_indirect(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Set entries from a list in memory: (LIOBN, I/O bus address, list, count)."""
    found = _entries(p, a, a[4]) if a[4] <= MAX_LIST else None
    if found is None or a[3] % 8:
        return n.H_PARAMETER
    values = p.memory.read(a[3], 8 * a[4])
    for at, index in enumerate(found[1]):
        found[0].put(index, int.from_bytes(values[8 * at : 8 * at + 8], "big"))
    return n.H_SUCCESS
