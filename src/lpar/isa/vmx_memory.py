# SPDX-License-Identifier: GPL-2.0-only
"""Vector loads, stores, alignment patterns and VSCR (Book I, sections 6.7 and 6.15)."""

from __future__ import annotations

from typing import Any

from lpar.isa.registry import instruction
from lpar.isa.values import concat, select
from lpar.isa.vmx_common import VSCR_NJ, VSCR_SAT


@instruction("lvx", 31, 103, form="X", needs="VEC")
def lvx(cpu: Any, VRT: Any, RA0: Any, RB: Any) -> None:
    cpu.vr[VRT] = cpu.load((cpu.base(RA0) + cpu.gpr[RB]) & ~15, 16)


@instruction("lvxl", 31, 359, form="X", needs="VEC")
def lvxl(cpu: Any, VRT: Any, RA0: Any, RB: Any) -> None:
    cpu.vr[VRT] = cpu.load((cpu.base(RA0) + cpu.gpr[RB]) & ~15, 16)


@instruction("stvx", 31, 231, form="X", needs="VEC")
def stvx(cpu: Any, VRS: Any, RA0: Any, RB: Any) -> None:
    cpu.store((cpu.base(RA0) + cpu.gpr[RB]) & ~15, cpu.vr[VRS])


@instruction("stvxl", 31, 487, form="X", needs="VEC")
def stvxl(cpu: Any, VRS: Any, RA0: Any, RB: Any) -> None:
    cpu.store((cpu.base(RA0) + cpu.gpr[RB]) & ~15, cpu.vr[VRS])


def element_shift(cpu: Any, ea: Any, size: int) -> Any:
    """How far the element of ``size`` bytes that lives at ``ea`` is from a register's right end, in bits."""
    number = ea & (16 - size)
    return select(cpu.le, number, (16 - size) - number) << 3


def load_element(cpu: Any, VRT: Any, ea: Any, size: int) -> None:
    """Load one element into its place; the ISA leaves the others undefined, here they stay."""
    loaded = cpu.load(ea & ~(size - 1), size).zext(128)
    shift = element_shift(cpu, ea, size)
    hole = ~(cpu.const((1 << 8 * size) - 1, 128) << shift)
    cpu.vr[VRT] = cpu.vr[VRT] & hole | loaded << shift


def store_element(cpu: Any, VRS: Any, ea: Any, size: int) -> None:
    """Store the element that belongs to the address."""
    value = cpu.vr[VRS] >> element_shift(cpu, ea, size)
    cpu.store(ea & ~(size - 1), value.trunc(8 * size))


@instruction("lvebx", 31, 7, form="X", needs="VEC")
def lvebx(cpu: Any, VRT: Any, RA0: Any, RB: Any) -> None:
    load_element(cpu, VRT, cpu.base(RA0) + cpu.gpr[RB], 1)


@instruction("lvehx", 31, 39, form="X", needs="VEC")
def lvehx(cpu: Any, VRT: Any, RA0: Any, RB: Any) -> None:
    load_element(cpu, VRT, cpu.base(RA0) + cpu.gpr[RB], 2)


@instruction("lvewx", 31, 71, form="X", needs="VEC")
def lvewx(cpu: Any, VRT: Any, RA0: Any, RB: Any) -> None:
    load_element(cpu, VRT, cpu.base(RA0) + cpu.gpr[RB], 4)


@instruction("stvebx", 31, 135, form="X", needs="VEC")
def stvebx(cpu: Any, VRS: Any, RA0: Any, RB: Any) -> None:
    store_element(cpu, VRS, cpu.base(RA0) + cpu.gpr[RB], 1)


@instruction("stvehx", 31, 167, form="X", needs="VEC")
def stvehx(cpu: Any, VRS: Any, RA0: Any, RB: Any) -> None:
    store_element(cpu, VRS, cpu.base(RA0) + cpu.gpr[RB], 2)


@instruction("stvewx", 31, 199, form="X", needs="VEC")
def stvewx(cpu: Any, VRS: Any, RA0: Any, RB: Any) -> None:
    store_element(cpu, VRS, cpu.base(RA0) + cpu.gpr[RB], 4)


@instruction("lvsl", 31, 6, form="X", needs="VEC")
def lvsl(cpu: Any, VRT: Any, RA0: Any, RB: Any) -> None:
    start = ((cpu.base(RA0) + cpu.gpr[RB]) & 15) * 0x0101010101010101
    cpu.vr[VRT] = concat(start + 0x0001020304050607, start + 0x08090A0B0C0D0E0F)


@instruction("lvsr", 31, 38, form="X", needs="VEC")
def lvsr(cpu: Any, VRT: Any, RA0: Any, RB: Any) -> None:
    start = ((cpu.base(RA0) + cpu.gpr[RB]) & 15) * 0x0101010101010101
    cpu.vr[VRT] = concat(0x1011121314151617 - start, 0x18191A1B1C1D1E1F - start)


@instruction("mfvscr", 4, 1540, form="VX", needs="VEC")
def mfvscr(cpu: Any, VRT: Any) -> None:
    cpu.vr[VRT] = cpu.vscr.zext(128)


@instruction("mtvscr", 4, 1604, form="VX", needs="VEC")
def mtvscr(cpu: Any, VRB: Any) -> None:
    cpu.vscr = cpu.vr[VRB].trunc(32) & (VSCR_NJ | VSCR_SAT)
