# SPDX-License-Identifier: GPL-2.0-only
"""Fixed-point stores (Book I, sections 3.3.3 and 3.3.4).

The update forms with RA = 0 are invalid; they are executed as the text stands.
"""

from __future__ import annotations

from typing import Any

from lpar.isa.registry import instruction
from lpar.isa.values import concat


def indexed(cpu: Any, RA0: Any, RB: Any) -> Any:
    """The effective address (RA|0) + (RB)."""
    return cpu.base(RA0) + cpu.gpr[RB]


# -- store byte ------------------------------------------------------------------------------------


@instruction("stb", 38)
def stb(cpu: Any, RS: Any, RA0: Any, D: Any) -> None:
    cpu.store(cpu.base(RA0) + D, cpu.gpr[RS].trunc(8))


@instruction("stbx", 31, 215, form="X")
def stbx(cpu: Any, RS: Any, RA0: Any, RB: Any) -> None:
    cpu.store(indexed(cpu, RA0, RB), cpu.gpr[RS].trunc(8))


@instruction("stbu", 39)
def stbu(cpu: Any, RS: Any, RA: Any, D: Any) -> None:
    ea = cpu.gpr[RA] + D
    cpu.store(ea, cpu.gpr[RS].trunc(8))
    cpu.gpr[RA] = ea


@instruction("stbux", 31, 247, form="X")
def stbux(cpu: Any, RS: Any, RA: Any, RB: Any) -> None:
    ea = cpu.gpr[RA] + cpu.gpr[RB]
    cpu.store(ea, cpu.gpr[RS].trunc(8))
    cpu.gpr[RA] = ea


# -- store halfword --------------------------------------------------------------------------------


@instruction("sth", 44)
def sth(cpu: Any, RS: Any, RA0: Any, D: Any) -> None:
    cpu.store(cpu.base(RA0) + D, cpu.gpr[RS].trunc(16))


@instruction("sthx", 31, 407, form="X")
def sthx(cpu: Any, RS: Any, RA0: Any, RB: Any) -> None:
    cpu.store(indexed(cpu, RA0, RB), cpu.gpr[RS].trunc(16))


@instruction("sthu", 45)
def sthu(cpu: Any, RS: Any, RA: Any, D: Any) -> None:
    ea = cpu.gpr[RA] + D
    cpu.store(ea, cpu.gpr[RS].trunc(16))
    cpu.gpr[RA] = ea


@instruction("sthux", 31, 439, form="X")
def sthux(cpu: Any, RS: Any, RA: Any, RB: Any) -> None:
    ea = cpu.gpr[RA] + cpu.gpr[RB]
    cpu.store(ea, cpu.gpr[RS].trunc(16))
    cpu.gpr[RA] = ea


# -- store word ------------------------------------------------------------------------------------


@instruction("stw", 36)
def stw(cpu: Any, RS: Any, RA0: Any, D: Any) -> None:
    cpu.store(cpu.base(RA0) + D, cpu.gpr[RS].trunc(32))


@instruction("stwx", 31, 151, form="X")
def stwx(cpu: Any, RS: Any, RA0: Any, RB: Any) -> None:
    cpu.store(indexed(cpu, RA0, RB), cpu.gpr[RS].trunc(32))


@instruction("stwu", 37)
def stwu(cpu: Any, RS: Any, RA: Any, D: Any) -> None:
    ea = cpu.gpr[RA] + D
    cpu.store(ea, cpu.gpr[RS].trunc(32))
    cpu.gpr[RA] = ea


@instruction("stwux", 31, 183, form="X")
def stwux(cpu: Any, RS: Any, RA: Any, RB: Any) -> None:
    ea = cpu.gpr[RA] + cpu.gpr[RB]
    cpu.store(ea, cpu.gpr[RS].trunc(32))
    cpu.gpr[RA] = ea


# -- store doubleword ------------------------------------------------------------------------------


@instruction("std", 62, 0, form="DS")
def std(cpu: Any, RS: Any, RA0: Any, DS: Any) -> None:
    cpu.store(cpu.base(RA0) + DS, cpu.gpr[RS])


@instruction("stdx", 31, 149, form="X")
def stdx(cpu: Any, RS: Any, RA0: Any, RB: Any) -> None:
    cpu.store(indexed(cpu, RA0, RB), cpu.gpr[RS])


@instruction("stdu", 62, 1, form="DS")
def stdu(cpu: Any, RS: Any, RA: Any, DS: Any) -> None:
    ea = cpu.gpr[RA] + DS
    cpu.store(ea, cpu.gpr[RS])
    cpu.gpr[RA] = ea


@instruction("stdux", 31, 181, form="X")
def stdux(cpu: Any, RS: Any, RA: Any, RB: Any) -> None:
    ea = cpu.gpr[RA] + cpu.gpr[RB]
    cpu.store(ea, cpu.gpr[RS])
    cpu.gpr[RA] = ea


# -- bytes reversed, pairs ---------------------------------------------------------------------------


@instruction("sthbrx", 31, 918, form="X")
def sthbrx(cpu: Any, RS: Any, RA0: Any, RB: Any) -> None:
    cpu.store(indexed(cpu, RA0, RB), cpu.gpr[RS].trunc(16).bswap())


@instruction("stwbrx", 31, 662, form="X")
def stwbrx(cpu: Any, RS: Any, RA0: Any, RB: Any) -> None:
    cpu.store(indexed(cpu, RA0, RB), cpu.gpr[RS].trunc(32).bswap())


@instruction("stdbrx", 31, 660, form="X")
def stdbrx(cpu: Any, RS: Any, RA0: Any, RB: Any) -> None:
    cpu.store(indexed(cpu, RA0, RB), cpu.gpr[RS].bswap())


@instruction("stq", 62, 2, form="DS", fixed={(10, 10): 0})
def stq(cpu: Any, RTe: Any, RTo: Any, RA0: Any, DS: Any) -> None:
    """The odd register is the low half in both byte orders."""
    cpu.store(cpu.base(RA0) + DS, concat(cpu.gpr[RTe], cpu.gpr[RTo]))
