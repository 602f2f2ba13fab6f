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
COMPARISON, LOADS, STORES = 1, 2, 3  #: kinds of lists of pairs
MASK_KIND = 3  #: kind of an entry whose mask may wrap around
PAIRS = 8  #: stencils in a list of pairs, behind which are u32 about, kind (pair.Pairs)
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
    """Whether an instruction at ``offset`` is a relative branch inside its page, or a mask without a wrap."""
    kind = cpu.raw_load(entry + 20, 32, 4)
    i_form = select((word & 0x02000000) != 0, (word & 0x03FFFFFC) - 0x04000000, word & 0x03FFFFFC)
    b_form = select((word & 0x8000) != 0, (word & 0xFFFC) - 0x10000, word & 0xFFFC)
    target = offset + select(kind == 1, i_form, b_form)
    in_order = ((word >> 6) & 31) <= ((word >> 1) & 31)
    return (kind != 0) & select(kind == MASK_KIND, in_order, target < 0x1000)


def find_stencil(cpu: Any, entry: Any, word: Any, offset: Any) -> Any:
    """The address of the stencil of an instruction word at ``offset`` in its page; 0: none."""
    at = select(is_near(cpu, entry, word, offset), entry + 32, entry + 28)
    found = cpu.raw_load(at, 32, 4).zext(64)
    return select(found == 0, found, found + cpu.stencil_table)


@routine(args=(64, 64, 64, 64), returns=64)
def find_pair(cpu: Any, entry: Any, word: Any, second: Any, offset: Any) -> Any:
    """The address of the stencil of an instruction and the one behind it, at ``offset`` (pair.py); or 0."""
    pairs = cpu.raw_load(entry + 36, 32, 4).zext(64)
    number = cpu.const(PAIRS)
    at = cpu.stencil_table + pairs
    if pairs != 0:
        kind, about = cpu.raw_load(at + 4 * PAIRS + 4, 32, 4), cpu.raw_load(at + 4 * PAIRS, 32, 4).zext(64)
        ordered = (cpu.raw_load(entry + 20, 32, 4) != MASK_KIND) | is_near(cpu, entry, word, offset)
        if (kind == COMPARISON) & ordered:
            number = branch_number(cpu, about, word, second, offset)
        elif kind != COMPARISON:
            number = access_number(cpu, kind, word, second)
    found = cpu.const(0)
    if number < PAIRS:
        found = cpu.raw_load(at + (number << 2), 32, 4).zext(64)
        found = select(found == 0, found, found + cpu.stencil_table)
    return found


def branch_number(cpu: Any, own: Any, word: Any, branch: Any, offset: Any) -> Any:
    """A comparison's pair by the branch's bit and wanted value; ``own``: whether it has a field BF.

    The branch must be a conditional one inside the page that leaves CTR and LR alone and looks at a bit, not
    SO, of the CR field that the first writes.
    """
    plain = ((branch >> 26) == 16) & ((branch & 3) == 0) & (((branch >> 21) & 0x14) == 4)
    field = select(own != 0, (word >> 23) & 7, cpu.const(0))
    bit, wanted = (branch >> 16) & 3, (branch >> 24) & 1
    target = offset + select((branch & 0x8000) != 0, (branch & 0xFFFC) - 0x10000, branch & 0xFFFC)
    fits = plain & (((branch >> 18) & 7) == field) & (bit < 3) & (target < 0x1000)
    return select(fits, (bit << 1) | wanted, PAIRS)


def access_number(cpu: Any, kind: Any, word: Any, second: Any) -> Any:
    """An access's pair by the number of the second, which must be of the same kind and have the same base.

    A load must not change the base of the next one.
    """
    number = cpu.const(PAIRS)
    pairs = cpu.raw_load(find_entry(cpu, second) + 36, 32, 4).zext(64)
    base = (word >> 16) & 31
    fits = (pairs != 0) & (base == (second >> 16) & 31) & ((kind == STORES) | ((word >> 21) & 31 != base))
    if fits:
        at = cpu.stencil_table + pairs + 4 * PAIRS
        same = cpu.raw_load(at + 4, 32, 4) == kind
        number = select(same, cpu.raw_load(at, 32, 4).zext(64), number)
    return number
