# SPDX-License-Identifier: GPL-2.0-only
"""Looking up an instruction word in the decode table (made by build.py)."""

from __future__ import annotations

from typing import Any

from lpar.isa.values import select

RECORD_BYTES = 8192  #: of records for a page
RECORD_STRIDE = RECORD_BYTES + 64  #: between two pages' records
PREFIX_ENTRY = 32  #: bytes: mask, value, fast, slow, isa, unused
ENTRY = 40  #: bytes: mask, value, fast, near, slow, kind, isa, stencil, stencil inside the page, unused


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


def find_stencil(cpu: Any, word: Any, offset: Any) -> Any:
    """The address of the stencil of an instruction word at ``offset`` in its page; 0: none."""
    entry = find_entry(cpu, word)
    at = select(is_near(cpu, entry, word, offset), entry + 32, entry + 28)
    found = cpu.raw_load(at, 32, 4).zext(64)
    return select(found == 0, found, found + cpu.stencil_table)
