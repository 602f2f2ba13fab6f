# SPDX-License-Identifier: GPL-2.0-only
"""Fixed-point logical, sign extension and counting instructions (Book I, section 3.3.13)."""

from __future__ import annotations

from typing import Any

from lpar.isa.common import finish
from lpar.isa.registry import instruction
from lpar.isa.values import map_lanes


@instruction("andi.", 28)
def andi_record(cpu: Any, RS: Any, RA: Any, UI: Any) -> None:
    finish(cpu, RA, cpu.gpr[RS] & UI, 1)


@instruction("andis.", 29)
def andis_record(cpu: Any, RS: Any, RA: Any, UI: Any) -> None:
    finish(cpu, RA, cpu.gpr[RS] & (UI << 16), 1)


@instruction("ori", 24)
def ori(cpu: Any, RS: Any, RA: Any, UI: Any) -> None:
    cpu.gpr[RA] = cpu.gpr[RS] | UI


@instruction("oris", 25)
def oris(cpu: Any, RS: Any, RA: Any, UI: Any) -> None:
    cpu.gpr[RA] = cpu.gpr[RS] | (UI << 16)


@instruction("xori", 26)
def xori(cpu: Any, RS: Any, RA: Any, UI: Any) -> None:
    cpu.gpr[RA] = cpu.gpr[RS] ^ UI


@instruction("xoris", 27)
def xoris(cpu: Any, RS: Any, RA: Any, UI: Any) -> None:
    cpu.gpr[RA] = cpu.gpr[RS] ^ (UI << 16)


@instruction("and{.}", 31, 28, form="X")
def and_(cpu: Any, RS: Any, RA: Any, RB: Any, Rc: int) -> None:
    finish(cpu, RA, cpu.gpr[RS] & cpu.gpr[RB], Rc)


@instruction("andc{.}", 31, 60, form="X")
def andc(cpu: Any, RS: Any, RA: Any, RB: Any, Rc: int) -> None:
    finish(cpu, RA, cpu.gpr[RS] & ~cpu.gpr[RB], Rc)


@instruction("nand{.}", 31, 476, form="X")
def nand(cpu: Any, RS: Any, RA: Any, RB: Any, Rc: int) -> None:
    finish(cpu, RA, ~(cpu.gpr[RS] & cpu.gpr[RB]), Rc)


@instruction("or{.}", 31, 444, form="X")
def or_(cpu: Any, RS: Any, RA: Any, RB: Any, Rc: int) -> None:
    finish(cpu, RA, cpu.gpr[RS] | cpu.gpr[RB], Rc)


@instruction("orc{.}", 31, 412, form="X")
def orc(cpu: Any, RS: Any, RA: Any, RB: Any, Rc: int) -> None:
    finish(cpu, RA, cpu.gpr[RS] | ~cpu.gpr[RB], Rc)


@instruction("nor{.}", 31, 124, form="X")
def nor(cpu: Any, RS: Any, RA: Any, RB: Any, Rc: int) -> None:
    finish(cpu, RA, ~(cpu.gpr[RS] | cpu.gpr[RB]), Rc)


@instruction("xor{.}", 31, 316, form="X")
def xor(cpu: Any, RS: Any, RA: Any, RB: Any, Rc: int) -> None:
    finish(cpu, RA, cpu.gpr[RS] ^ cpu.gpr[RB], Rc)


@instruction("eqv{.}", 31, 284, form="X")
def eqv(cpu: Any, RS: Any, RA: Any, RB: Any, Rc: int) -> None:
    finish(cpu, RA, ~(cpu.gpr[RS] ^ cpu.gpr[RB]), Rc)


# -- sign extension -----------------------------------------------------------------------------------


@instruction("extsb{.}", 31, 954, form="X")
def extsb(cpu: Any, RS: Any, RA: Any, Rc: int) -> None:
    finish(cpu, RA, cpu.gpr[RS].trunc(8).sext(64), Rc)


@instruction("extsh{.}", 31, 922, form="X")
def extsh(cpu: Any, RS: Any, RA: Any, Rc: int) -> None:
    finish(cpu, RA, cpu.gpr[RS].trunc(16).sext(64), Rc)


@instruction("extsw{.}", 31, 986, form="X")
def extsw(cpu: Any, RS: Any, RA: Any, Rc: int) -> None:
    finish(cpu, RA, cpu.gpr[RS].trunc(32).sext(64), Rc)


# -- counting -----------------------------------------------------------------------------------------


@instruction("cntlzw{.}", 31, 26, form="X")
def cntlzw(cpu: Any, RS: Any, RA: Any, Rc: int) -> None:
    finish(cpu, RA, cpu.gpr[RS].trunc(32).clz().zext(64), Rc)


@instruction("cnttzw{.}", 31, 538, form="X", since="3.0")
def cnttzw(cpu: Any, RS: Any, RA: Any, Rc: int) -> None:
    finish(cpu, RA, cpu.gpr[RS].trunc(32).ctz().zext(64), Rc)


@instruction("cntlzd{.}", 31, 58, form="X")
def cntlzd(cpu: Any, RS: Any, RA: Any, Rc: int) -> None:
    finish(cpu, RA, cpu.gpr[RS].clz(), Rc)


@instruction("cnttzd{.}", 31, 570, form="X", since="3.0")
def cnttzd(cpu: Any, RS: Any, RA: Any, Rc: int) -> None:
    finish(cpu, RA, cpu.gpr[RS].ctz(), Rc)


@instruction("popcntb", 31, 122, form="X")
def popcntb(cpu: Any, RS: Any, RA: Any) -> None:
    cpu.gpr[RA] = map_lanes(8, lambda b: b.popcount(), cpu.gpr[RS])


@instruction("popcntw", 31, 378, form="X")
def popcntw(cpu: Any, RS: Any, RA: Any) -> None:
    cpu.gpr[RA] = map_lanes(32, lambda w: w.popcount(), cpu.gpr[RS])


@instruction("popcntd", 31, 506, form="X")
def popcntd(cpu: Any, RS: Any, RA: Any) -> None:
    cpu.gpr[RA] = cpu.gpr[RS].popcount()


@instruction("prtyw", 31, 154, form="X")
def prtyw(cpu: Any, RS: Any, RA: Any) -> None:
    cpu.gpr[RA] = map_lanes(32, lambda w: (w & 0x01010101).popcount() & 1, cpu.gpr[RS])


@instruction("prtyd", 31, 186, form="X")
def prtyd(cpu: Any, RS: Any, RA: Any) -> None:
    cpu.gpr[RA] = (cpu.gpr[RS] & 0x0101010101010101).popcount() & 1


@instruction("cmpb", 31, 508, form="X")
def cmpb(cpu: Any, RS: Any, RA: Any, RB: Any) -> None:
    """All ones in each byte of RA where RS and RB have equal bytes."""
    cpu.gpr[RA] = map_lanes(8, lambda a, b: a == b, cpu.gpr[RS], cpu.gpr[RB])
