# SPDX-License-Identifier: GPL-2.0-only
"""Fixed-point loads (Book I, sections 3.3.2 and 3.3.4).

The update forms with RA = 0 or RA = RT are invalid; they are executed as the text stands.
"""

from __future__ import annotations

from typing import Any

from lpar.isa.registry import instruction


def indexed(cpu: Any, RA0: Any, RB: Any) -> Any:
    """The effective address (RA|0) + (RB)."""
    return cpu.base(RA0) + cpu.gpr[RB]


# -- load byte and zero ----------------------------------------------------------------------------


@instruction("lbz", 34)
def lbz(cpu: Any, RT: Any, RA0: Any, D: Any) -> None:
    cpu.gpr[RT] = cpu.load(cpu.base(RA0) + D, 1).zext(64)


@instruction("lbzx", 31, 87, form="X")
def lbzx(cpu: Any, RT: Any, RA0: Any, RB: Any) -> None:
    cpu.gpr[RT] = cpu.load(indexed(cpu, RA0, RB), 1).zext(64)


@instruction("lbzu", 35)
def lbzu(cpu: Any, RT: Any, RA: Any, D: Any) -> None:
    ea = cpu.gpr[RA] + D
    cpu.gpr[RT] = cpu.load(ea, 1).zext(64)
    cpu.gpr[RA] = ea


@instruction("lbzux", 31, 119, form="X")
def lbzux(cpu: Any, RT: Any, RA: Any, RB: Any) -> None:
    ea = cpu.gpr[RA] + cpu.gpr[RB]
    cpu.gpr[RT] = cpu.load(ea, 1).zext(64)
    cpu.gpr[RA] = ea


# -- load halfword and zero ------------------------------------------------------------------------


@instruction("lhz", 40)
def lhz(cpu: Any, RT: Any, RA0: Any, D: Any) -> None:
    cpu.gpr[RT] = cpu.load(cpu.base(RA0) + D, 2).zext(64)


@instruction("lhzx", 31, 279, form="X")
def lhzx(cpu: Any, RT: Any, RA0: Any, RB: Any) -> None:
    cpu.gpr[RT] = cpu.load(indexed(cpu, RA0, RB), 2).zext(64)


@instruction("lhzu", 41)
def lhzu(cpu: Any, RT: Any, RA: Any, D: Any) -> None:
    ea = cpu.gpr[RA] + D
    cpu.gpr[RT] = cpu.load(ea, 2).zext(64)
    cpu.gpr[RA] = ea


@instruction("lhzux", 31, 311, form="X")
def lhzux(cpu: Any, RT: Any, RA: Any, RB: Any) -> None:
    ea = cpu.gpr[RA] + cpu.gpr[RB]
    cpu.gpr[RT] = cpu.load(ea, 2).zext(64)
    cpu.gpr[RA] = ea


# -- load halfword algebraic -----------------------------------------------------------------------


@instruction("lha", 42)
def lha(cpu: Any, RT: Any, RA0: Any, D: Any) -> None:
    cpu.gpr[RT] = cpu.load(cpu.base(RA0) + D, 2).sext(64)


@instruction("lhax", 31, 343, form="X")
def lhax(cpu: Any, RT: Any, RA0: Any, RB: Any) -> None:
    cpu.gpr[RT] = cpu.load(indexed(cpu, RA0, RB), 2).sext(64)


@instruction("lhau", 43)
def lhau(cpu: Any, RT: Any, RA: Any, D: Any) -> None:
    ea = cpu.gpr[RA] + D
    cpu.gpr[RT] = cpu.load(ea, 2).sext(64)
    cpu.gpr[RA] = ea


@instruction("lhaux", 31, 375, form="X")
def lhaux(cpu: Any, RT: Any, RA: Any, RB: Any) -> None:
    ea = cpu.gpr[RA] + cpu.gpr[RB]
    cpu.gpr[RT] = cpu.load(ea, 2).sext(64)
    cpu.gpr[RA] = ea


# -- load word and zero ----------------------------------------------------------------------------


@instruction("lwz", 32)
def lwz(cpu: Any, RT: Any, RA0: Any, D: Any) -> None:
    cpu.gpr[RT] = cpu.load(cpu.base(RA0) + D, 4).zext(64)


@instruction("lwzx", 31, 23, form="X")
def lwzx(cpu: Any, RT: Any, RA0: Any, RB: Any) -> None:
    cpu.gpr[RT] = cpu.load(indexed(cpu, RA0, RB), 4).zext(64)


@instruction("lwzu", 33)
def lwzu(cpu: Any, RT: Any, RA: Any, D: Any) -> None:
    ea = cpu.gpr[RA] + D
    cpu.gpr[RT] = cpu.load(ea, 4).zext(64)
    cpu.gpr[RA] = ea


@instruction("lwzux", 31, 55, form="X")
def lwzux(cpu: Any, RT: Any, RA: Any, RB: Any) -> None:
    ea = cpu.gpr[RA] + cpu.gpr[RB]
    cpu.gpr[RT] = cpu.load(ea, 4).zext(64)
    cpu.gpr[RA] = ea


# -- load word algebraic ---------------------------------------------------------------------------


@instruction("lwa", 58, 2, form="DS")
def lwa(cpu: Any, RT: Any, RA0: Any, DS: Any) -> None:
    cpu.gpr[RT] = cpu.load(cpu.base(RA0) + DS, 4).sext(64)


@instruction("lwax", 31, 341, form="X")
def lwax(cpu: Any, RT: Any, RA0: Any, RB: Any) -> None:
    cpu.gpr[RT] = cpu.load(indexed(cpu, RA0, RB), 4).sext(64)


@instruction("lwaux", 31, 373, form="X")
def lwaux(cpu: Any, RT: Any, RA: Any, RB: Any) -> None:
    ea = cpu.gpr[RA] + cpu.gpr[RB]
    cpu.gpr[RT] = cpu.load(ea, 4).sext(64)
    cpu.gpr[RA] = ea


# -- load doubleword -------------------------------------------------------------------------------


@instruction("ld", 58, 0, form="DS")
def ld(cpu: Any, RT: Any, RA0: Any, DS: Any) -> None:
    cpu.gpr[RT] = cpu.load(cpu.base(RA0) + DS, 8)


@instruction("ldx", 31, 21, form="X")
def ldx(cpu: Any, RT: Any, RA0: Any, RB: Any) -> None:
    cpu.gpr[RT] = cpu.load(indexed(cpu, RA0, RB), 8)


@instruction("ldu", 58, 1, form="DS")
def ldu(cpu: Any, RT: Any, RA: Any, DS: Any) -> None:
    ea = cpu.gpr[RA] + DS
    cpu.gpr[RT] = cpu.load(ea, 8)
    cpu.gpr[RA] = ea


@instruction("ldux", 31, 53, form="X")
def ldux(cpu: Any, RT: Any, RA: Any, RB: Any) -> None:
    ea = cpu.gpr[RA] + cpu.gpr[RB]
    cpu.gpr[RT] = cpu.load(ea, 8)
    cpu.gpr[RA] = ea


# -- bytes reversed, pairs ---------------------------------------------------------------------------


@instruction("lhbrx", 31, 790, form="X")
def lhbrx(cpu: Any, RT: Any, RA0: Any, RB: Any) -> None:
    cpu.gpr[RT] = cpu.load(indexed(cpu, RA0, RB), 2).bswap().zext(64)


@instruction("lwbrx", 31, 534, form="X")
def lwbrx(cpu: Any, RT: Any, RA0: Any, RB: Any) -> None:
    cpu.gpr[RT] = cpu.load(indexed(cpu, RA0, RB), 4).bswap().zext(64)


@instruction("ldbrx", 31, 532, form="X")
def ldbrx(cpu: Any, RT: Any, RA0: Any, RB: Any) -> None:
    cpu.gpr[RT] = cpu.load(indexed(cpu, RA0, RB), 8).bswap()


@instruction("lq", 56, fixed={(10, 10): 0})
def lq(cpu: Any, RTe: Any, RTo: Any, RA0: Any, DQ: Any) -> None:
    """The low half goes to the odd register in both byte orders."""
    value = cpu.load(cpu.base(RA0) + DQ, 16)
    cpu.gpr[RTe] = value.bits(64, 64)
    cpu.gpr[RTo] = value.trunc(64)
