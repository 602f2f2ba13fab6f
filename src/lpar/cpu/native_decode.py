# SPDX-License-Identifier: GPL-2.0-only
"""Looking up an instruction word in the decode table (made by build.py)."""

from __future__ import annotations

from typing import Any

from lpar.isa.routine import routine
from lpar.isa.values import select

RECORD_BYTES = 8192  #: of records for a page
RECORD_STRIDE = RECORD_BYTES + 64  #: between two pages' records
PREFIX_BOUNDARY, PREFIX_STEPPED = 256, 260  #: in the table of prefixed instructions: two special handlers
PREFIX_ENTRY = 32  #: bytes: mask, value, fast, slow, isa, unused
ENTRY = 40  #: bytes: mask, value, fast, near, slow, kind, isa, stencil, stencil inside the page, pairs


def find_entry(cpu: Any, word: Any) -> Any:
    """The decode table's entry for an instruction word."""
    bucket = ((word >> 26) << 10) | ((word >> 1) & 0x3FF)
    table = cpu.decode_table
    entry = table + cpu.raw_load(table + bucket * 4, 32, 4).zext(64)
    low = word.trunc(32)
    while ((low & cpu.raw_load(entry, 32, 4)) != cpu.raw_load(entry + 4, 32, 4)) | (
        cpu.raw_load(entry + 24, 32, 4).zext(64) > cpu.isa
    ):
        entry = entry + ENTRY
    return entry


def is_near(cpu: Any, entry: Any, word: Any, offset: Any) -> Any:
    """Whether an instruction at ``offset`` is a relative branch inside its page."""
    kind = cpu.raw_load(entry + 20, 32, 4)
    i_form = select((word & 0x02000000) != 0, (word & 0x03FFFFFC) - 0x04000000, word & 0x03FFFFFC)
    b_form = select((word & 0x8000) != 0, (word & 0xFFFC) - 0x10000, word & 0xFFFC)
    target = offset + select(kind == 1, i_form, b_form)
    return (kind != 0) & (target < 0x1000)


def find_stencil(cpu: Any, entry: Any, word: Any, offset: Any) -> Any:
    """The address of the stencil of an instruction word at ``offset`` in its page; 0: none."""
    at = select(is_near(cpu, entry, word, offset), entry + 32, entry + 28)
    found = cpu.raw_load(at, 32, 4).zext(64)
    return select(found == 0, found, found + cpu.stencil_table)


@routine(args=(64, 64, 64, 64), returns=64)
def find_pair(cpu: Any, entry: Any, word: Any, branch: Any, offset: Any) -> Any:
    """The address of the stencil of an instruction and the word behind it, at ``offset``; 0: none.

    The second must be a conditional branch inside the page that leaves CTR and LR alone and looks at a bit,
    not SO, of the CR field that the first writes.
    """
    pairs = cpu.raw_load(entry + 36, 32, 4).zext(64)
    found = cpu.const(0)
    plain = ((branch >> 26) == 16) & ((branch & 3) == 0) & (((branch >> 21) & 0x14) == 4)
    if (pairs != 0) & plain:
        at = cpu.stencil_table + pairs
        own = cpu.raw_load(at + 24, 32, 4).zext(64)
        field = select(own != 0, (word >> 23) & 7, cpu.const(0))
        bit, wanted = (branch >> 16) & 3, (branch >> 24) & 1
        target = offset + select((branch & 0x8000) != 0, (branch & 0xFFFC) - 0x10000, branch & 0xFFFC)
        if (((branch >> 18) & 7) == field) & (bit < 3) & (target < 0x1000):
            found = cpu.stencil_table + cpu.raw_load(at + (((bit << 1) | wanted) << 2), 32, 4).zext(64)
    return found
