# SPDX-License-Identifier: GPL-2.0-only
"""The decode tables: which handler and stencil an instruction word has (read by native_decode, native_code).

Entries carry masks and values, the most specific first, the illegal instruction last.  They are found by
primary opcode and bits 21 to 30, those of prefixed instructions by the suffix's primary opcode.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

from lpar.cpu.handlers import Variant
from lpar.cpu.native_decode import ENTRY
from lpar.cpu.stencil import symbol

Offset = Callable[[str], int]
Row = tuple[int, ...]
BUCKETS = 65536


def decode_image(variants: Sequence[Variant], offset: Offset, stencils: dict[str, int]) -> bytes:
    """The table of plain instructions; ``offset``: of a handler from the handler base."""
    illegal = offset("lp_undefined")
    rows = [_row(v, offset, stencils) for v in variants if v.instruction.prefix is None]
    rows.sort(key=lambda r: -r[0].bit_count())
    entries, buckets = _bucketize(rows, (0, 0, illegal, illegal, illegal, 0, 0, 0, 0, 0))
    head = 4 * BUCKETS
    starts = struct.pack(f"<{BUCKETS}I", *(head + n * ENTRY for n in buckets))
    return starts + b"".join(struct.pack("<IIiiiIIIII", *row) for row in entries)


def _row(v: Variant, offset: Offset, stencils: dict[str, int]) -> Row:
    near = bool(v.kind)
    handlers = offset(v.fast), offset(v.near), offset(v.slow)
    places = stencils.get(symbol(v, False), 0), stencils.get(symbol(v, near), 0)
    return (v.mask, v.value, *handlers, v.kind, v.isa, *places, stencils.get("pairs of " + v.name, 0))


def _bucketize(rows: list[Row], last: Row) -> tuple[list[Row], list[int]]:
    """Lists of candidates, each ending in ``last``, and for each bucket where its list begins."""
    by_opcode: dict[int, list[Row]] = {}
    for row in rows:
        by_opcode.setdefault(row[1] >> 26, []).append(row)
    entries: list[Row] = []
    starts: dict[Any, int] = {}
    buckets = [0] * BUCKETS

    def start_of(candidates: tuple[Row, ...]) -> int:
        if candidates not in starts:
            starts[candidates] = len(entries)
            entries.extend((*candidates, last))
        return starts[candidates]

    for opcode in range(64):
        lists: dict[int, list[Row]] = {}
        for row in by_opcode.get(opcode, []):
            for xo in _matching(row[0] >> 1 & 0x3FF, row[1] >> 1 & 0x3FF):
                lists.setdefault(xo, []).append(row)
        for xo in range(1024):
            buckets[opcode << 10 | xo] = start_of(tuple(lists.get(xo, ())))
    return entries, buckets


def _matching(care: int, want: int) -> list[int]:
    """All extended opcodes that agree with ``want`` where ``care`` has ones."""
    free = ~care & 0x3FF
    out, sub = [], free
    while True:
        out.append(want & care | sub)
        if not sub:
            return out
        sub = (sub - 1) & free


def prefix_image(variants: Sequence[Variant], offset: Offset) -> bytes:
    """The table of prefixed instructions: 64 lists' places in bytes, two special handlers, the lists."""
    undefined, boundary = offset("lp_undefined_prefixed"), offset("lp_prefix_alignment")
    lists: list[list[Row]] = [[] for _ in range(64)]
    for v in sorted(variants, key=lambda v: -v.mask.bit_count()):
        if v.instruction.prefix is not None:
            lists[v.value >> 26 & 63].append((v.mask, v.value, offset(v.fast), offset(v.slow), v.isa))
    head = 65 * 4 + 4
    starts, body = [], bytearray()
    for rows in lists:
        starts.append(head + len(body))
        for row in (*rows, (0, 0, undefined, undefined, 0)):
            body += struct.pack("<QQiiII", *row, 0)
    return struct.pack("<64Iii", *starts, boundary, offset("lp_stepped")) + bytes(body)
