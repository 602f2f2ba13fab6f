# SPDX-License-Identifier: GPL-2.0-only
"""The hashed page table (HPT) as the guest sees it: entries by index, changed by hypercalls only.

Entries are two big-endian doublewords in the format of Power ISA 2.07 (segment size B in the
first doubleword): that is what Linux passes to the hypercalls on every processor, and what the
engine's hash walker reads here, also for ISA 3.0 models.

Rules of this file:

* the engine walks the table and sets R and C while handlers change it: an entry is written second
  doubleword first, and taken down first doubleword first; each doubleword is one 8-byte store;
* an entry that was valid is changed only between "valid bit off, flush" and "valid bit on", and
  its R and C are read after the flush, when nobody can set them any more;
* handlers exclude each other by the table's lock.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from lpar.papr.numbers import H_ANDCOND, H_AVPN, H_NOT_FOUND, H_PARAMETER, H_PTEG_FULL, H_SUCCESS, U64

HPTE_V_VALID = 1 << 0
HPTE_V_LARGE = 1 << 2
HPTE_V_AVPN_MASK = U64 & ~0x7F  #: AVPN and B, what H_AVPN compares
HPTE_V_RESERVED = 0x60  #: software bits that PAPR keeps for the hypervisor
HPTE_R_PP0 = 1 << 63
HPTE_R_KEY_HI = 3 << 60
HPTE_R_RPN = 0x0FFFFFFFFFFFF000
HPTE_R_KEY_LO = 7 << 9
HPTE_R_R = 1 << 8
HPTE_R_C = 1 << 7
HPTE_R_W = 1 << 6
HPTE_R_I = 1 << 5
HPTE_R_M = 1 << 4
HPTE_R_G = 1 << 3
HPTE_R_N = 1 << 2
HPTE_R_PP = 3
HPTE_R_WIMG = HPTE_R_W | HPTE_R_I | HPTE_R_M | HPTE_R_G

ENTRY = 16  #: bytes of an entry
GROUP = 8  #: entries of a group (PTEG)
_PROTECT_BITS = HPTE_R_PP0 | HPTE_R_KEY_HI | HPTE_R_KEY_LO | HPTE_R_N | HPTE_R_PP

#: (page shift, LP encoding, bits of LP) of large pages: 64K in 4K, 16M in 4K, 64K, 16M in 64K, 16M, 16G
_LARGE_PAGES = (
    (16, 0x01, 0x0F),
    (24, 0x08, 0xFF),
    (16, 0x07, 0x0F),
    (24, 0x38, 0xFF),
    (34, 0x03, 0xFF),
    (24, 0x00, 0xFF),
)

#: (first doubleword, second doubleword, index) of a dead entry; index -1: all entries
Flush = Callable[[int, int, int], None]


def hpt_order(ram_size: int) -> int:
    """log2 of the table's bytes for ``ram_size`` bytes of RAM: 1/128, as PAPR asks; 18..36."""
    return min(max((ram_size - 1).bit_length() - 7, 18), 36)


def page_shift(v: int, r: int) -> int:
    """log2 of the actual page size of an entry; 0 if the encoding is not one of ours.

    The encodings are those of ibm,segment-page-sizes (4K, 64K, 16M, 16G and their mixtures).
    """
    if not v & HPTE_V_LARGE:
        return 12
    lp = r >> 12
    for shift, encoding, mask in _LARGE_PAGES:
        if lp & mask == encoding:
            return shift
    return 0


if sys.byteorder == "little":

    def _swap(value: int) -> int:
        return int.from_bytes(value.to_bytes(8, "big"), "little")
else:

    def _swap(value: int) -> int:
        return value


_VALID = _swap(HPTE_V_VALID)


class HashTable:
    """The table in ``buffer`` (2**order bytes, shared with the accelerator).

    ``flush`` must not return before no vCPU uses a translation of the given entry.  ``lock`` is for
    tables that others change, too.
    """

    def __init__(
        self,
        buffer: memoryview,
        order: int,
        flush: Flush,
        lock: AbstractContextManager[object] | None = None,
    ) -> None:
        self.order = order
        self.lock = lock or threading.Lock()
        self._flush = flush
        self._words = buffer.cast("B").cast("Q")
        self._entries = (1 << order) // ENTRY

    def valid_index(self, index: int) -> bool:
        """Whether ``index`` (PTEX) names an entry of the table."""
        return index < self._entries

    def read(self, index: int) -> tuple[int, int]:
        """The doublewords of entry ``index``."""
        words = self._words
        return _swap(words[2 * index]), _swap(words[2 * index + 1])

    def enter(self, index: int, v: int, r: int, exact: bool) -> int:
        """Put an entry at ``index`` or into its group; the index taken, or H_PTEG_FULL."""
        words = self._words
        with self.lock:
            if not exact:
                index &= ~7
                end = index + GROUP
                while words[2 * index] & _VALID:
                    index += 1
                    if index == end:
                        return H_PTEG_FULL
            elif words[2 * index] & _VALID:
                return H_PTEG_FULL
            words[2 * index + 1] = _swap(r)
            words[2 * index] = _swap(v & ~HPTE_V_RESERVED)
            return index

    def remove(self, index: int, avpn: int, flags: int) -> tuple[int, int, int]:
        """Take entry ``index`` out: (status, v, r) with R and C as the hardware left them."""
        if index >= self._entries:
            return H_PARAMETER, 0, 0
        words = self._words
        with self.lock:
            v = _swap(words[2 * index])
            if not _matches(v, avpn, flags):
                return H_NOT_FOUND, 0, 0
            words[2 * index] = 0
            self._flush(v, _swap(words[2 * index + 1]), index)
            r = _swap(words[2 * index + 1])
            words[2 * index + 1] = 0
            return H_SUCCESS, v, r

    def protect(self, index: int, avpn: int, flags: int) -> int:
        """Give entry ``index`` the protection bits in ``flags``; a status."""
        keep = (flags << 55) & HPTE_R_PP0 | (flags << 48) & HPTE_R_KEY_HI
        keep |= flags & (HPTE_R_KEY_LO | HPTE_R_N | HPTE_R_PP)
        return self._update(index, avpn, flags & H_AVPN, lambda r: r & ~_PROTECT_BITS | keep)[0]

    def clear_bits(self, index: int, bits: int) -> tuple[int, int]:
        """Clear R or C of entry ``index``: (status, old second doubleword)."""
        return self._update(index, 0, 0, lambda r: r & ~bits)

    def _update(self, index: int, avpn: int, flags: int, change: Callable[[int], int]) -> tuple[int, int]:
        if index >= self._entries:
            return H_PARAMETER, 0
        words = self._words
        with self.lock:
            v = _swap(words[2 * index])
            if not _matches(v, avpn, flags):
                return H_NOT_FOUND, 0
            words[2 * index] = _swap(v & ~HPTE_V_VALID)
            self._flush(v, _swap(words[2 * index + 1]), index)
            r = _swap(words[2 * index + 1])
            words[2 * index + 1] = _swap(change(r))
            words[2 * index] = _swap(v)
            return H_SUCCESS, r

    def clear(self) -> None:
        """Take every entry out, in steps of a mebibyte at most."""
        step = min(1 << 20, self._entries * ENTRY)
        bytes_ = self._words.cast("B")
        with self.lock:
            for at in range(0, len(bytes_), step):
                bytes_[at : at + step] = bytes(step)
            self._flush(0, 0, -1)

    def save(self) -> bytes:
        """The table's bytes."""
        with self.lock:
            return self._words.tobytes()

    def restore(self, data: bytes) -> None:
        """Put the table's bytes back; the caller flushes.  ``data`` has the table's size."""
        with self.lock:
            self._words.cast("B")[:] = data


def _matches(v: int, avpn: int, flags: int) -> bool:
    if not v & HPTE_V_VALID:
        return False
    if flags & H_AVPN and v & HPTE_V_AVPN_MASK != avpn:
        return False
    return not (flags & H_ANDCOND and v & avpn)
