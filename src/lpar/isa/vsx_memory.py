# SPDX-License-Identifier: GPL-2.0-only
"""Vector loads and stores of VSX (Book I, sections 7.6.1.1 and 7.6.1.2).

Memory is read as one little- or big-endian integer of 16 bytes; an instruction whose elements
are smaller than that reverses the elements (not their bytes) in little-endian mode.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lpar.isa.registry import Body, instruction
from lpar.isa.values import concat, map_lanes, select

ByHalf = Callable[[Body], Body]


def either(name: str, opcd: int, xo: int | None, form: str, **more: Any) -> ByHalf:
    """Register an instruction of ISA 3.0 whose facility depends on the register's half.

    VSRs 0 to 31 need MSR[VSX], VSRs 32 to 63, which are the VRs, need MSR[VEC].
    ``bit``: the position of TX or SX in the word, 31 if not given.
    """
    bit = more.pop("bit", 31)
    since = more.pop("since", "3.0")
    fixed = more.pop("fixed", {})

    def register(body: Body) -> Body:
        for half, needs in enumerate(("VSX", "VEC")):
            parts = {**fixed, (bit, bit): half}
            instruction(name, opcd, xo, form=form, needs=needs, since=since, fixed=parts, **more)(body)
        return body

    return register


def arrange(cpu: Any, width: int, value: Any) -> Any:
    """Memory's 16 bytes as elements of ``width`` bits, the first in memory first, and back."""
    return select(cpu.le, map_lanes(width, lambda e: e.bswap(), value.bswap()), value)


def indexed(cpu: Any, RA0: Any, RB: Any) -> Any:
    """The effective address of an X-form access."""
    return cpu.base(RA0) + cpu.gpr[RB]


# -- all of 16 bytes -------------------------------------------------------------------------------


@instruction("lxvd2x", 31, 844, form="XX1", needs="VSX")
def lxvd2x(cpu: Any, XT: Any, RA0: Any, RB: Any) -> None:
    cpu.vsr[XT] = arrange(cpu, 64, cpu.load(indexed(cpu, RA0, RB), 16))


@instruction("lxvw4x", 31, 780, form="XX1", needs="VSX")
def lxvw4x(cpu: Any, XT: Any, RA0: Any, RB: Any) -> None:
    cpu.vsr[XT] = arrange(cpu, 32, cpu.load(indexed(cpu, RA0, RB), 16))


@instruction("stxvd2x", 31, 972, form="XX1", needs="VSX")
def stxvd2x(cpu: Any, XS: Any, RA0: Any, RB: Any) -> None:
    cpu.store(indexed(cpu, RA0, RB), arrange(cpu, 64, cpu.vsr[XS]))


@instruction("stxvw4x", 31, 908, form="XX1", needs="VSX")
def stxvw4x(cpu: Any, XS: Any, RA0: Any, RB: Any) -> None:
    cpu.store(indexed(cpu, RA0, RB), arrange(cpu, 32, cpu.vsr[XS]))


@either("lxvh8x", 31, 812, "XX1")
def lxvh8x(cpu: Any, XT: Any, RA0: Any, RB: Any) -> None:
    cpu.vsr[XT] = arrange(cpu, 16, cpu.load(indexed(cpu, RA0, RB), 16))


@either("stxvh8x", 31, 940, "XX1")
def stxvh8x(cpu: Any, XS: Any, RA0: Any, RB: Any) -> None:
    cpu.store(indexed(cpu, RA0, RB), arrange(cpu, 16, cpu.vsr[XS]))


@either("lxvb16x", 31, 876, "XX1")
def lxvb16x(cpu: Any, XT: Any, RA0: Any, RB: Any) -> None:
    value = cpu.load(indexed(cpu, RA0, RB), 16)
    cpu.vsr[XT] = select(cpu.le, value.bswap(), value)


@either("stxvb16x", 31, 1004, "XX1")
def stxvb16x(cpu: Any, XS: Any, RA0: Any, RB: Any) -> None:
    value = cpu.vsr[XS]
    cpu.store(indexed(cpu, RA0, RB), select(cpu.le, value.bswap(), value))


@either("lxvx", 31, None, "D", fixed={(21, 24): 4, (26, 30): 12})
def lxvx(cpu: Any, XT: Any, RA0: Any, RB: Any) -> None:
    cpu.vsr[XT] = cpu.load(indexed(cpu, RA0, RB), 16)


@either("stxvx", 31, 396, "XX1")
def stxvx(cpu: Any, XS: Any, RA0: Any, RB: Any) -> None:
    cpu.store(indexed(cpu, RA0, RB), cpu.vsr[XS])


@either("lxv", 61, 1, "DQ", bit=28)
def lxv(cpu: Any, XTQ: Any, RA0: Any, DQ: Any) -> None:
    cpu.vsr[XTQ] = cpu.load(cpu.base(RA0) + DQ, 16)


@either("stxv", 61, 5, "DQ", bit=28)
def stxv(cpu: Any, XSQ: Any, RA0: Any, DQ: Any) -> None:
    cpu.store(cpu.base(RA0) + DQ, cpu.vsr[XSQ])


# -- splats and right-justified elements -----------------------------------------------------------


def splat(element: Any) -> Any:
    """``element`` in every place of a VSR."""
    return concat(*[element] * (128 // element.w))


@instruction("lxvdsx", 31, 332, form="XX1", needs="VSX")
def lxvdsx(cpu: Any, XT: Any, RA0: Any, RB: Any) -> None:
    cpu.vsr[XT] = splat(cpu.load(indexed(cpu, RA0, RB), 8))


@either("lxvwsx", 31, 364, "XX1")
def lxvwsx(cpu: Any, XT: Any, RA0: Any, RB: Any) -> None:
    cpu.vsr[XT] = splat(cpu.load(indexed(cpu, RA0, RB), 4))


@instruction("lxvrbx", 31, 13, form="XX1", needs="VSX", since="3.1")
def lxvrbx(cpu: Any, XT: Any, RA0: Any, RB: Any) -> None:
    cpu.vsr[XT] = cpu.load(indexed(cpu, RA0, RB), 1).zext(128)


@instruction("lxvrhx", 31, 45, form="XX1", needs="VSX", since="3.1")
def lxvrhx(cpu: Any, XT: Any, RA0: Any, RB: Any) -> None:
    cpu.vsr[XT] = cpu.load(indexed(cpu, RA0, RB), 2).zext(128)


@instruction("lxvrwx", 31, 77, form="XX1", needs="VSX", since="3.1")
def lxvrwx(cpu: Any, XT: Any, RA0: Any, RB: Any) -> None:
    cpu.vsr[XT] = cpu.load(indexed(cpu, RA0, RB), 4).zext(128)


@instruction("lxvrdx", 31, 109, form="XX1", needs="VSX", since="3.1")
def lxvrdx(cpu: Any, XT: Any, RA0: Any, RB: Any) -> None:
    cpu.vsr[XT] = cpu.load(indexed(cpu, RA0, RB), 8).zext(128)


@instruction("stxvrbx", 31, 141, form="XX1", needs="VSX", since="3.1")
def stxvrbx(cpu: Any, XS: Any, RA0: Any, RB: Any) -> None:
    cpu.store(indexed(cpu, RA0, RB), cpu.vsr[XS].trunc(8))


@instruction("stxvrhx", 31, 173, form="XX1", needs="VSX", since="3.1")
def stxvrhx(cpu: Any, XS: Any, RA0: Any, RB: Any) -> None:
    cpu.store(indexed(cpu, RA0, RB), cpu.vsr[XS].trunc(16))


@instruction("stxvrwx", 31, 205, form="XX1", needs="VSX", since="3.1")
def stxvrwx(cpu: Any, XS: Any, RA0: Any, RB: Any) -> None:
    cpu.store(indexed(cpu, RA0, RB), cpu.vsr[XS].trunc(32))


@instruction("stxvrdx", 31, 237, form="XX1", needs="VSX", since="3.1")
def stxvrdx(cpu: Any, XS: Any, RA0: Any, RB: Any) -> None:
    cpu.store(indexed(cpu, RA0, RB), cpu.vsr[XS].trunc(64))


# -- with length -----------------------------------------------------------------------------------
# The length is in bits 0:7 of GPR RB; more than 16 counts as 16.  The pieces of 8, 4, 2 and 1 bytes
# are read in ascending order of address.


def _length(cpu: Any, RB: Any) -> Any:
    return cpu.gpr[RB] >> 56


def _place(cpu: Any, piece: Any, at: Any, left: bool) -> Any:
    """``piece`` as it stands in a VSR when it comes from byte ``at`` (0 to 15) of memory."""
    down = piece.zext(128) << (at << 3)
    up = concat(piece, cpu.const(0, 128 - piece.w)) >> (at << 3)
    return up if left else select(cpu.le, down, up)


def _pieced(cpu: Any, ea: Any, n: Any, size: int, left: bool) -> Any:
    """The piece of ``size`` bytes of a load of ``n`` bytes, or 0 where ``n`` has none."""
    value = cpu.const(0, 128)
    if (n & size) != 0:
        at = n & (16 - 2 * size)
        piece = cpu.load(ea + at, size)
        if left:
            piece = select(cpu.le, piece.bswap() if size > 1 else piece, piece)
        value = _place(cpu, piece, at, left)
    return value


def load_part(cpu: Any, ea: Any, n: Any, left: bool) -> Any:
    """``n`` bytes at ``ea`` (64-bit length, 16 and more are all), the rest zero.

    ``left``: left-justified in memory's order of bytes whatever the mode.
    """
    value = cpu.const(0, 128)
    if n >= 16:
        value = cpu.load(ea, 16)
        if left:
            value = select(cpu.le, value.bswap(), value)
    else:
        value = _pieced(cpu, ea, n, 8, left)
        value = value | _pieced(cpu, ea, n, 4, left)
        value = value | _pieced(cpu, ea, n, 2, left)
        value = value | _pieced(cpu, ea, n, 1, left)
    return value


def _store_piece(cpu: Any, ea: Any, n: Any, size: int, value: Any) -> None:
    """Store the piece of ``size`` bytes; ``value`` has memory's first byte leftmost."""
    if (n & size) != 0:
        at = n & (16 - 2 * size)
        piece = (value << (at << 3)).bits(128 - 8 * size, 8 * size)
        if size > 1:
            piece = select(cpu.le, piece.bswap(), piece)
        cpu.store(ea + at, piece)


def store_part(cpu: Any, ea: Any, n: Any, value: Any, left: bool) -> None:
    """Store ``n`` bytes of ``value``: the leftmost; in little-endian mode the rightmost unless ``left``."""
    ordered = value if left else select(cpu.le, value.bswap(), value)
    if n >= 16:
        cpu.store(ea, select(cpu.le, ordered.bswap(), ordered))
    else:
        _store_piece(cpu, ea, n, 8, ordered)
        _store_piece(cpu, ea, n, 4, ordered)
        _store_piece(cpu, ea, n, 2, ordered)
        _store_piece(cpu, ea, n, 1, ordered)


@either("lxvl", 31, 269, "XX1")
def lxvl(cpu: Any, XT: Any, RA0: Any, RB: Any) -> None:
    cpu.vsr[XT] = load_part(cpu, cpu.base(RA0), _length(cpu, RB), False)


@either("lxvll", 31, 301, "XX1")
def lxvll(cpu: Any, XT: Any, RA0: Any, RB: Any) -> None:
    cpu.vsr[XT] = load_part(cpu, cpu.base(RA0), _length(cpu, RB), True)


@either("stxvl", 31, 397, "XX1")
def stxvl(cpu: Any, XS: Any, RA0: Any, RB: Any) -> None:
    store_part(cpu, cpu.base(RA0), _length(cpu, RB), cpu.vsr[XS], False)


@either("stxvll", 31, 429, "XX1")
def stxvll(cpu: Any, XS: Any, RA0: Any, RB: Any) -> None:
    store_part(cpu, cpu.base(RA0), _length(cpu, RB), cpu.vsr[XS], True)


# -- pairs (ISA 3.1) -------------------------------------------------------------------------------
# The pair is one octword: in little-endian mode its second register holds the first bytes.


def load_pair(cpu: Any, XPe: Any, XPo: Any, ea: Any) -> None:
    """Load a pair of VSRs."""
    low, high = cpu.load(ea, 16), cpu.load(ea + 16, 16)
    cpu.vsr[XPe] = select(cpu.le, high, low)
    cpu.vsr[XPo] = select(cpu.le, low, high)


def store_pair(cpu: Any, XPe: Any, XPo: Any, ea: Any) -> None:
    """Store a pair of VSRs."""
    a, b = cpu.vsr[XPe], cpu.vsr[XPo]
    cpu.store(ea, select(cpu.le, b, a))
    cpu.store(ea + 16, select(cpu.le, a, b))


@instruction("lxvp", 6, 0, form="DQP", needs="VSX", since="3.1")
def lxvp(cpu: Any, XPe: Any, XPo: Any, RA0: Any, DQ: Any) -> None:
    load_pair(cpu, XPe, XPo, cpu.base(RA0) + DQ)


@instruction("stxvp", 6, 1, form="DQP", needs="VSX", since="3.1")
def stxvp(cpu: Any, XPe: Any, XPo: Any, RA0: Any, DQ: Any) -> None:
    store_pair(cpu, XPe, XPo, cpu.base(RA0) + DQ)


@instruction("lxvpx", 31, 333, form="XX1", needs="VSX", since="3.1")
def lxvpx(cpu: Any, XPe: Any, XPo: Any, RA0: Any, RB: Any) -> None:
    load_pair(cpu, XPe, XPo, indexed(cpu, RA0, RB))


@instruction("stxvpx", 31, 461, form="XX1", needs="VSX", since="3.1")
def stxvpx(cpu: Any, XPe: Any, XPo: Any, RA0: Any, RB: Any) -> None:
    store_pair(cpu, XPe, XPo, indexed(cpu, RA0, RB))
