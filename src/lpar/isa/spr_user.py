# SPDX-License-Identifier: GPL-2.0-only
"""Special purpose registers of problem state (Book I, section 3.3.18; Book II, chapters 3 and 6)."""

from __future__ import annotations

from typing import Any

from lpar.isa.common import need_tar
from lpar.isa.registry import instruction
from lpar.isa.values import concat, select

#: XER's bits that are kept apart (SO OV CA OV32 CA32)
XER_FLAGS = 0xE00C0000
_U32 = 0xFFFFFFFF


def xer(cpu: Any) -> Any:
    """XER as 64 bits."""
    flags = (cpu.so, cpu.ov, cpu.ca, cpu.const(0, 9), cpu.ov32, cpu.ca32, cpu.const(0, 18))
    return (concat(*flags) | cpu.xer_low).zext(64)


def set_xer(cpu: Any, value: Any) -> None:
    """Write XER."""
    cpu.so = value.bit(31)
    cpu.ov = value.bit(30)
    cpu.ca = value.bit(29)
    cpu.ov32 = value.bit(19)
    cpu.ca32 = value.bit(18)
    cpu.xer_low = value.trunc(32) & (_U32 ^ XER_FLAGS)


@instruction("mfspr", 31, 339, form="XFX", static={"SPR": (1,)})
def mfxer(cpu: Any, RT: Any, SPR: int) -> None:
    cpu.gpr[RT] = xer(cpu)


@instruction("mtspr", 31, 467, form="XFX", static={"SPR": (1,)})
def mtxer(cpu: Any, RS: Any, SPR: int) -> None:
    set_xer(cpu, cpu.gpr[RS])


@instruction("mfspr", 31, 339, form="XFX", static={"SPR": (8,)})
def mflr(cpu: Any, RT: Any, SPR: int) -> None:
    cpu.gpr[RT] = cpu.lr


@instruction("mtspr", 31, 467, form="XFX", static={"SPR": (8,)})
def mtlr(cpu: Any, RS: Any, SPR: int) -> None:
    cpu.lr = cpu.gpr[RS]


@instruction("mfspr", 31, 339, form="XFX", static={"SPR": (9,)})
def mfctr(cpu: Any, RT: Any, SPR: int) -> None:
    cpu.gpr[RT] = cpu.ctr


@instruction("mtspr", 31, 467, form="XFX", static={"SPR": (9,)})
def mtctr(cpu: Any, RS: Any, SPR: int) -> None:
    cpu.ctr = cpu.gpr[RS]


def need_dscr(cpu: Any) -> None:
    """Facility unavailable interrupt unless FSCR offers DSCR to problem state."""
    if cpu.msr.bit(14) & ~cpu.fscr.bit(2):
        cpu.facility(2)


@instruction("mfspr", 31, 339, form="XFX", static={"SPR": (3,)})
def mfdscr(cpu: Any, RT: Any, SPR: int) -> None:
    need_dscr(cpu)
    cpu.gpr[RT] = cpu.dscr


@instruction("mtspr", 31, 467, form="XFX", static={"SPR": (3,)})
def mtdscr(cpu: Any, RS: Any, SPR: int) -> None:
    need_dscr(cpu)
    cpu.dscr = cpu.gpr[RS]


@instruction("mfspr", 31, 339, form="XFX", static={"SPR": (13,)})
def mfamr(cpu: Any, RT: Any, SPR: int) -> None:
    cpu.gpr[RT] = cpu.amr


def unmasked(old: Any, new: Any, mask: Any) -> Any:
    """``old`` with the bits of ``new`` where ``mask`` has ones."""
    return (old & ~mask) | (new & mask)


@instruction("mtspr", 31, 467, form="XFX", static={"SPR": (13,)})
def mtamr(cpu: Any, RS: Any, SPR: int) -> None:
    """Problem state writes only the bits that UAMOR allows (Book III, section 5.7.9.1)."""
    new = cpu.gpr[RS]
    problem = cpu.msr.bit(14)
    cpu.write_access(29, select(problem, unmasked(cpu.amr, new, cpu.uamor), new))
    cpu.context_changed()


@instruction("mfspr", 31, 339, form="XFX", static={"SPR": (136,)})
def mfctrl(cpu: Any, RT: Any, SPR: int) -> None:
    cpu.gpr[RT] = cpu.ctrl & _U32


@instruction("mfspr", 31, 339, form="XFX", static={"SPR": (256,)})
def mfvrsave(cpu: Any, RT: Any, SPR: int) -> None:
    cpu.gpr[RT] = cpu.vrsave


@instruction("mtspr", 31, 467, form="XFX", static={"SPR": (256,)})
def mtvrsave(cpu: Any, RS: Any, SPR: int) -> None:
    cpu.vrsave = cpu.gpr[RS] & _U32


@instruction("mfspr", 31, 339, form="XFX", static={"SPR": (815,)})
def mftar(cpu: Any, RT: Any, SPR: int) -> None:
    need_tar(cpu)
    cpu.gpr[RT] = cpu.tar


@instruction("mtspr", 31, 467, form="XFX", static={"SPR": (815,)})
def mttar(cpu: Any, RS: Any, SPR: int) -> None:
    need_tar(cpu)
    cpu.tar = cpu.gpr[RS]


# PPR holds the program's priority in bits 11:13; PPR32 (SPR 898) is its upper half

PPR_PRI = 0x001C000000000000


@instruction("mfspr", 31, 339, form="XFX", static={"SPR": (896,)})
def mfppr(cpu: Any, RT: Any, SPR: int) -> None:
    cpu.gpr[RT] = cpu.ppr


@instruction("mtspr", 31, 467, form="XFX", static={"SPR": (896,)})
def mtppr(cpu: Any, RS: Any, SPR: int) -> None:
    cpu.ppr = cpu.gpr[RS] & PPR_PRI


@instruction("mfspr", 31, 339, form="XFX", static={"SPR": (898,)})
def mfppr32(cpu: Any, RT: Any, SPR: int) -> None:
    cpu.gpr[RT] = cpu.ppr >> 32


@instruction("mtspr", 31, 467, form="XFX", static={"SPR": (898,)})
def mtppr32(cpu: Any, RS: Any, SPR: int) -> None:
    cpu.ppr = (cpu.gpr[RS] << 32) & PPR_PRI


# -- time and random numbers --------------------------------------------------------------------------


@instruction("mfspr", 31, 339, form="XFX", static={"SPR": (268,)})
def mfspr_tb(cpu: Any, RT: Any, SPR: int) -> None:
    cpu.gpr[RT] = cpu.timebase()


@instruction("mfspr", 31, 339, form="XFX", static={"SPR": (269,)})
def mfspr_tbu(cpu: Any, RT: Any, SPR: int) -> None:
    cpu.gpr[RT] = cpu.timebase() >> 32


@instruction("mftb", 31, 371, form="XFX", static={"TBR": (268,)})
def mftb(cpu: Any, RT: Any, TBR: int) -> None:
    cpu.gpr[RT] = cpu.timebase()


@instruction("mftb", 31, 371, form="XFX", static={"TBR": (269,)})
def mftbu(cpu: Any, RT: Any, TBR: int) -> None:
    cpu.gpr[RT] = cpu.timebase() >> 32


@instruction("darn", 31, 755, form="X", since="3.0", static={"L14": (0, 1, 2)})
def darn(cpu: Any, RT: Any, L14: int) -> None:
    """A random number of 32 bits (L = 0) or 64."""
    number = cpu.random()
    cpu.gpr[RT] = number if L14 else number & _U32


@instruction("darn", 31, 755, form="X", since="3.0", static={"L14": (3,)})
def darn_reserved(cpu: Any, RT: Any, L14: int) -> None:
    """The reserved L gives the error value."""
    cpu.gpr[RT] = cpu.const(-1)
