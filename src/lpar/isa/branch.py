# SPDX-License-Identifier: GPL-2.0-only
"""Branch and system call instructions (Book I, sections 2.4 and 2.7).

``BOC`` is BO without its last bit, a hint: 8 = ignore the condition, 4 = its wanted value,
2 = leave CTR alone, 1 = branch when CTR has become zero.
"""

from __future__ import annotations

from typing import Any

from lpar.isa.common import need_tar
from lpar.isa.registry import instruction
from lpar.isa.values import select

#: BOC values that leave CTR alone
_NO_CTR = (2, 3, 6, 7, 10, 11, 14, 15)


def ctr_ok(cpu: Any, BOC: int) -> Any:
    """Count CTR down, if BOC says so; whether it allows the branch."""
    if BOC & 2:
        return cpu.const(1, 1)
    ctr = cpu.ctr - 1
    cpu.ctr = ctr
    counted = select(cpu.sf, ctr, ctr.trunc(32).zext(64))
    return (counted == 0) if BOC & 1 else (counted != 0)


def cond_ok(cpu: Any, BOC: int, BI: Any) -> Any:
    """Whether the CR bit allows the branch."""
    if BOC & 8:
        return cpu.const(1, 1)
    return cpu.crbit(BI) if BOC & 4 else ~cpu.crbit(BI)


@instruction("b{l}{a}", 18, form="I")
def b(cpu: Any, LI: Any, AA: int, LK: int) -> None:
    if LK:
        cpu.lr = cpu.nia
    if AA:
        cpu.branch(LI)
    else:
        cpu.branch_rel(LI)


@instruction("bc{l}{a}", 16, form="B")
def bc(cpu: Any, BOC: int, BI: Any, BD: Any, AA: int, LK: int) -> None:
    if LK:
        cpu.lr = cpu.nia
    if ctr_ok(cpu, BOC) & cond_ok(cpu, BOC, BI):
        if AA:
            cpu.branch(BD)
        else:
            cpu.branch_rel(BD)


@instruction("bclr{l}", 19, 16, form="XL")
def bclr(cpu: Any, BOC: int, BI: Any, LK: int) -> None:
    target = cpu.lr
    if LK:
        cpu.lr = cpu.nia
    if ctr_ok(cpu, BOC) & cond_ok(cpu, BOC, BI):
        cpu.branch(target)


@instruction("bcctr{l}", 19, 528, form="XL", static={"BOC": _NO_CTR})
def bcctr(cpu: Any, BOC: int, BI: Any, LK: int) -> None:
    """Counting CTR down and branching to it is an invalid form."""
    if LK:
        cpu.lr = cpu.nia
    if cond_ok(cpu, BOC, BI):
        cpu.branch(cpu.ctr)


@instruction("bctar{l}", 19, 560, form="XL")
def bctar(cpu: Any, BOC: int, BI: Any, LK: int) -> None:
    need_tar(cpu)
    if LK:
        cpu.lr = cpu.nia
    if ctr_ok(cpu, BOC) & cond_ok(cpu, BOC, BI):
        cpu.branch(cpu.tar)


@instruction("sc", 17, 2, form="SC", static={"LEV": (0, 1)})
def sc(cpu: Any, LEV: int) -> None:
    cpu.syscall(LEV)
