# SPDX-License-Identifier: GPL-2.0-only
"""Prefixed loads, stores and additions with 34-bit displacements (ISA 3.1, Book I, chapters 3 and 4).

With R=1 the address is relative to that of the prefix, and RA must be 0: another RA is an invalid form, which
matches no definition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lpar.isa.registry import Body, instruction
from lpar.isa.softfloat import narrow, widen
from lpar.isa.values import concat, lanes, select


def relative(name: str, opcd: int, prefix: str, **more: Any) -> Callable[[Body], Body]:
    """Register a prefixed D-form instruction for R=0, and for R=1 where RA is 0."""
    fixed = more.pop("fixed", {})

    def register(body: Body) -> Body:
        for r, parts in ((0, fixed), (1, {**fixed, (11, 15): 0})):
            static = {"R_P": (r,)}
            instruction(name, opcd, prefix=prefix, since="3.1", static=static, fixed=parts, **more)(body)
        return body

    return register


def address(cpu: Any, R_P: int, RA0: Any, D34: Any) -> Any:
    """The effective address."""
    return (cpu.cia if R_P else cpu.base(RA0)) + D34


@instruction("pnop", 0, prefix="MRR", since="3.1", fixed={(0, 5): 0})
def _(cpu: Any) -> None:
    return


@relative("paddi", 14, "MLS")
def paddi(cpu: Any, RT: Any, RA0: Any, D34: Any, R_P: int) -> None:
    cpu.gpr[RT] = address(cpu, R_P, RA0, D34)


# -- fixed-point loads and stores ------------------------------------------------------------------


@relative("plbz", 34, "MLS")
def plbz(cpu: Any, RT: Any, RA0: Any, D34: Any, R_P: int) -> None:
    cpu.gpr[RT] = cpu.load(address(cpu, R_P, RA0, D34), 1).zext(64)


@relative("plhz", 40, "MLS")
def plhz(cpu: Any, RT: Any, RA0: Any, D34: Any, R_P: int) -> None:
    cpu.gpr[RT] = cpu.load(address(cpu, R_P, RA0, D34), 2).zext(64)


@relative("plha", 42, "MLS")
def plha(cpu: Any, RT: Any, RA0: Any, D34: Any, R_P: int) -> None:
    cpu.gpr[RT] = cpu.load(address(cpu, R_P, RA0, D34), 2).sext(64)


@relative("plwz", 32, "MLS")
def plwz(cpu: Any, RT: Any, RA0: Any, D34: Any, R_P: int) -> None:
    cpu.gpr[RT] = cpu.load(address(cpu, R_P, RA0, D34), 4).zext(64)


@relative("plwa", 41, "8LS")
def plwa(cpu: Any, RT: Any, RA0: Any, D34: Any, R_P: int) -> None:
    cpu.gpr[RT] = cpu.load(address(cpu, R_P, RA0, D34), 4).sext(64)


@relative("pld", 57, "8LS")
def pld(cpu: Any, RT: Any, RA0: Any, D34: Any, R_P: int) -> None:
    cpu.gpr[RT] = cpu.load(address(cpu, R_P, RA0, D34), 8)


@relative("pstb", 38, "MLS")
def pstb(cpu: Any, RS: Any, RA0: Any, D34: Any, R_P: int) -> None:
    cpu.store(address(cpu, R_P, RA0, D34), cpu.gpr[RS].trunc(8))


@relative("psth", 44, "MLS")
def psth(cpu: Any, RS: Any, RA0: Any, D34: Any, R_P: int) -> None:
    cpu.store(address(cpu, R_P, RA0, D34), cpu.gpr[RS].trunc(16))


@relative("pstw", 36, "MLS")
def pstw(cpu: Any, RS: Any, RA0: Any, D34: Any, R_P: int) -> None:
    cpu.store(address(cpu, R_P, RA0, D34), cpu.gpr[RS].trunc(32))


@relative("pstd", 61, "8LS")
def pstd(cpu: Any, RS: Any, RA0: Any, D34: Any, R_P: int) -> None:
    cpu.store(address(cpu, R_P, RA0, D34), cpu.gpr[RS])


@relative("plq", 56, "8LS", fixed={(10, 10): 0})
def plq(cpu: Any, RTe: Any, RTo: Any, RA0: Any, D34: Any, R_P: int) -> None:
    """Unlike lq, RTp has the doubleword at the lower address in both byte orders."""
    high, low = lanes(cpu.load(address(cpu, R_P, RA0, D34), 16), 64)
    cpu.gpr[RTe] = select(cpu.le, low, high)
    cpu.gpr[RTo] = select(cpu.le, high, low)


@relative("pstq", 60, "8LS", fixed={(10, 10): 0})
def pstq(cpu: Any, RTe: Any, RTo: Any, RA0: Any, D34: Any, R_P: int) -> None:
    first, second = cpu.gpr[RTe], cpu.gpr[RTo]
    value = concat(select(cpu.le, second, first), select(cpu.le, first, second))
    cpu.store(address(cpu, R_P, RA0, D34), value)


# -- floating-point loads and stores ---------------------------------------------------------------


@relative("plfs", 48, "MLS", needs="FP")
def plfs(cpu: Any, FRT: Any, RA0: Any, D34: Any, R_P: int) -> None:
    cpu.fpr[FRT] = widen(cpu.load(address(cpu, R_P, RA0, D34), 4))


@relative("plfd", 50, "MLS", needs="FP")
def plfd(cpu: Any, FRT: Any, RA0: Any, D34: Any, R_P: int) -> None:
    cpu.fpr[FRT] = cpu.load(address(cpu, R_P, RA0, D34), 8)


@relative("pstfs", 52, "MLS", needs="FP")
def pstfs(cpu: Any, FRS: Any, RA0: Any, D34: Any, R_P: int) -> None:
    cpu.store(address(cpu, R_P, RA0, D34), narrow(cpu.fpr[FRS]))


@relative("pstfd", 54, "MLS", needs="FP")
def pstfd(cpu: Any, FRS: Any, RA0: Any, D34: Any, R_P: int) -> None:
    cpu.store(address(cpu, R_P, RA0, D34), cpu.fpr[FRS])


@relative("plxsd", 42, "8LS", needs="VEC")
def plxsd(cpu: Any, VRT: Any, RA0: Any, D34: Any, R_P: int) -> None:
    cpu.vr[VRT] = concat(cpu.load(address(cpu, R_P, RA0, D34), 8), cpu.const(0, 64))


@relative("plxssp", 43, "8LS", needs="VEC")
def plxssp(cpu: Any, VRT: Any, RA0: Any, D34: Any, R_P: int) -> None:
    cpu.vr[VRT] = concat(widen(cpu.load(address(cpu, R_P, RA0, D34), 4)), cpu.const(0, 64))


@relative("pstxsd", 46, "8LS", needs="VEC")
def pstxsd(cpu: Any, VRS: Any, RA0: Any, D34: Any, R_P: int) -> None:
    cpu.store(address(cpu, R_P, RA0, D34), cpu.vr[VRS].bits(64, 64))


@relative("pstxssp", 47, "8LS", needs="VEC")
def pstxssp(cpu: Any, VRS: Any, RA0: Any, D34: Any, R_P: int) -> None:
    cpu.store(address(cpu, R_P, RA0, D34), narrow(cpu.vr[VRS].bits(64, 64)))
