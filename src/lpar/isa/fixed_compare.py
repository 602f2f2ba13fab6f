# SPDX-License-Identifier: GPL-2.0-only
"""Fixed-point compare, trap and select instructions (Book I, sections 3.3.10 to 3.3.12)."""

from __future__ import annotations

from typing import Any

from lpar.isa.common import GT, compare_signed, compare_unsigned
from lpar.isa.registry import instruction
from lpar.isa.values import concat, lanes, select


@instruction("cmpi", 11)
def cmpi(cpu: Any, BF: Any, L10: int, RA: Any, SI: Any) -> None:
    a = cpu.gpr[RA] if L10 else cpu.gpr[RA].trunc(32).sext(64)
    cpu.cr[BF] = compare_signed(cpu, a, SI)


@instruction("cmpli", 10)
def cmpli(cpu: Any, BF: Any, L10: int, RA: Any, UI: Any) -> None:
    a = cpu.gpr[RA] if L10 else cpu.gpr[RA].trunc(32).zext(64)
    cpu.cr[BF] = compare_unsigned(cpu, a, UI)


@instruction("cmp", 31, 0, form="X")
def cmp(cpu: Any, BF: Any, L10: int, RA: Any, RB: Any) -> None:
    a, b = cpu.gpr[RA], cpu.gpr[RB]
    if L10:
        cpu.cr[BF] = compare_signed(cpu, a, b)
    else:
        cpu.cr[BF] = compare_signed(cpu, a.trunc(32), b.trunc(32))


@instruction("cmpl", 31, 32, form="X")
def cmpl(cpu: Any, BF: Any, L10: int, RA: Any, RB: Any) -> None:
    a, b = cpu.gpr[RA], cpu.gpr[RB]
    if L10:
        cpu.cr[BF] = compare_unsigned(cpu, a, b)
    else:
        cpu.cr[BF] = compare_unsigned(cpu, a.trunc(32), b.trunc(32))


@instruction("cmprb", 31, 192, form="X", since="3.0")
def cmprb(cpu: Any, BF: Any, L10: int, RA: Any, RB: Any) -> None:
    """GT if the low byte of RA lies in one of the L + 1 ranges in RB (low bound in the low byte)."""
    a, b = cpu.gpr[RA].trunc(8), cpu.gpr[RB]
    inside = (a >= b.bits(0, 8)) & (a <= b.bits(8, 8))
    if L10:
        inside = inside | ((a >= b.bits(16, 8)) & (a <= b.bits(24, 8)))
    cpu.cr[BF] = inside.zext(8) << 2


@instruction("cmpeqb", 31, 224, form="X", since="3.0")
def cmpeqb(cpu: Any, BF: Any, RA: Any, RB: Any) -> None:
    """GT if the low byte of RA is one of RB's bytes."""
    a = cpu.gpr[RA].trunc(8)
    differing = concat(a, a, a, a, a, a, a, a) ^ cpu.gpr[RB]
    zero_byte = (differing - 0x0101010101010101) & ~differing & 0x8080808080808080
    cpu.cr[BF] = select(zero_byte != 0, cpu.const(GT, 8), 0)


# -- traps --------------------------------------------------------------------------------------------


def trap_if(cpu: Any, TO: Any, a: Any, b: Any) -> None:
    """Trap if a condition that TO selects holds between ``a`` and ``b``."""
    met = (TO.bit(4) & a.slt(b)) | (TO.bit(3) & a.sgt(b)) | (TO.bit(2) & (a == b))
    met = met | (TO.bit(1) & (a < b)) | (TO.bit(0) & (a > b))
    if met:
        cpu.program("trap")


@instruction("tw", 31, 4, form="X")
def tw(cpu: Any, TO_I: Any, RA: Any, RB: Any) -> None:
    trap_if(cpu, TO_I, cpu.gpr[RA].trunc(32), cpu.gpr[RB].trunc(32))


@instruction("twi", 3)
def twi(cpu: Any, TO_I: Any, RA: Any, SI: Any) -> None:
    trap_if(cpu, TO_I, cpu.gpr[RA].trunc(32), SI.trunc(32))


@instruction("td", 31, 68, form="X")
def td(cpu: Any, TO_I: Any, RA: Any, RB: Any) -> None:
    trap_if(cpu, TO_I, cpu.gpr[RA], cpu.gpr[RB])


@instruction("tdi", 2)
def tdi(cpu: Any, TO_I: Any, RA: Any, SI: Any) -> None:
    trap_if(cpu, TO_I, cpu.gpr[RA], SI)


@instruction("isel", 31, 15, form="A")
def isel(cpu: Any, RT: Any, RA0: Any, RB: Any, BC: Any) -> None:
    cpu.gpr[RT] = select(cpu.crbit(BC), cpu.base(RA0), cpu.gpr[RB])


# -- bits by a mask -----------------------------------------------------------------------------------


@instruction("bpermd", 31, 252, form="X")
def bpermd(cpu: Any, RS: Any, RA: Any, RB: Any) -> None:
    """Bit i of the low byte of RA: the bit of RB that byte i of RS numbers, 0 from 64 on."""
    source = cpu.gpr[RB]
    picked = [select(n < 64, (source >> (63 - n)).bit(0), 0) for n in lanes(cpu.gpr[RS], 8)]
    cpu.gpr[RA] = concat(*picked).zext(64)
