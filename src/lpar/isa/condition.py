# SPDX-License-Identifier: GPL-2.0-only
"""Condition register instructions (Book I, sections 2.5, 3.3.12 and 3.3.18)."""

from __future__ import annotations

from typing import Any

from lpar.isa.registry import instruction
from lpar.isa.values import concat, select


@instruction("crand", 19, 257, form="XL")
def crand(cpu: Any, BT: Any, BA: Any, BB: Any) -> None:
    cpu.set_crbit(BT, cpu.crbit(BA) & cpu.crbit(BB))


@instruction("crandc", 19, 129, form="XL")
def crandc(cpu: Any, BT: Any, BA: Any, BB: Any) -> None:
    cpu.set_crbit(BT, cpu.crbit(BA) & ~cpu.crbit(BB))


@instruction("crnand", 19, 225, form="XL")
def crnand(cpu: Any, BT: Any, BA: Any, BB: Any) -> None:
    cpu.set_crbit(BT, ~(cpu.crbit(BA) & cpu.crbit(BB)))


@instruction("cror", 19, 449, form="XL")
def cror(cpu: Any, BT: Any, BA: Any, BB: Any) -> None:
    cpu.set_crbit(BT, cpu.crbit(BA) | cpu.crbit(BB))


@instruction("crorc", 19, 417, form="XL")
def crorc(cpu: Any, BT: Any, BA: Any, BB: Any) -> None:
    cpu.set_crbit(BT, cpu.crbit(BA) | ~cpu.crbit(BB))


@instruction("crnor", 19, 33, form="XL")
def crnor(cpu: Any, BT: Any, BA: Any, BB: Any) -> None:
    cpu.set_crbit(BT, ~(cpu.crbit(BA) | cpu.crbit(BB)))


@instruction("crxor", 19, 193, form="XL")
def crxor(cpu: Any, BT: Any, BA: Any, BB: Any) -> None:
    cpu.set_crbit(BT, cpu.crbit(BA) ^ cpu.crbit(BB))


@instruction("creqv", 19, 289, form="XL")
def creqv(cpu: Any, BT: Any, BA: Any, BB: Any) -> None:
    cpu.set_crbit(BT, ~(cpu.crbit(BA) ^ cpu.crbit(BB)))


@instruction("mcrf", 19, 0, form="XL")
def mcrf(cpu: Any, BF: Any, BFA: Any) -> None:
    cpu.cr[BF] = cpu.cr[BFA]


# -- to and from GPRs ---------------------------------------------------------------------------------


def set_fields(cpu: Any, FXM: Any, value: Any) -> None:
    """Write the CR fields that FXM selects from the low word of ``value``."""
    for n in range(8):
        cpu.cr[n] = select(FXM.bit(7 - n), value.bits(28 - 4 * n, 4).zext(8), cpu.cr[n])


@instruction("mtcrf", 31, 144, form="XFX", fixed={(11, 11): 0})
def mtcrf(cpu: Any, RS: Any, FXM: Any) -> None:
    set_fields(cpu, FXM, cpu.gpr[RS])


@instruction("mtocrf", 31, 144, form="XFX", fixed={(11, 11): 1})
def mtocrf(cpu: Any, RS: Any, FXM: Any) -> None:
    set_fields(cpu, FXM, cpu.gpr[RS])


def whole(cpu: Any) -> Any:
    """CR as a 32-bit value."""
    return concat(*(cpu.cr[n].trunc(4) for n in range(8)))


@instruction("mfcr", 31, 19, form="XFX", fixed={(11, 11): 0})
def mfcr(cpu: Any, RT: Any) -> None:
    cpu.gpr[RT] = whole(cpu).zext(64)


@instruction("mfocrf", 31, 19, form="XFX", fixed={(11, 11): 1})
def mfocrf(cpu: Any, RT: Any, FXM: Any) -> None:
    """The selected field in its place; the rest of RT, which the ISA leaves undefined, is zero."""
    wanted = concat(*(FXM.bit(7 - n).sext(4) for n in range(8)))
    cpu.gpr[RT] = (whole(cpu) & wanted).zext(64)


@instruction("mcrxrx", 31, 576, form="X", since="3.0")
def mcrxrx(cpu: Any, BF: Any) -> None:
    cpu.cr[BF] = concat(cpu.const(0, 4), cpu.ov, cpu.ov32, cpu.ca, cpu.ca32)


@instruction("setb", 31, 128, form="X", since="3.0")
def setb(cpu: Any, RT: Any, BFA: Any) -> None:
    cr = cpu.cr[BFA]
    cpu.gpr[RT] = select(cr.bit(3), cpu.const(-1), cr.bit(2).zext(64))


@instruction("setbc", 31, 384, form="X", since="3.1")
def setbc(cpu: Any, RT: Any, BI: Any) -> None:
    cpu.gpr[RT] = cpu.crbit(BI).zext(64)


@instruction("setbcr", 31, 416, form="X", since="3.1")
def setbcr(cpu: Any, RT: Any, BI: Any) -> None:
    cpu.gpr[RT] = (~cpu.crbit(BI)).zext(64)


@instruction("setnbc", 31, 448, form="X", since="3.1")
def setnbc(cpu: Any, RT: Any, BI: Any) -> None:
    cpu.gpr[RT] = cpu.crbit(BI).sext(64)


@instruction("setnbcr", 31, 480, form="X", since="3.1")
def setnbcr(cpu: Any, RT: Any, BI: Any) -> None:
    cpu.gpr[RT] = (~cpu.crbit(BI)).sext(64)
