# SPDX-License-Identifier: GPL-2.0-only
"""Floating-point moves, merges and the FPSCR instructions (Book I, sections 4.6.5 and 4.6.9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lpar.isa.fpscr import ENABLES, FX, raise_exceptions, record_cr1, replace, trap_if_enabled
from lpar.isa.registry import instruction
from lpar.isa.softfloat_core import EXCEPTIONS, MAGNITUDE, SIGN

CONTROL = 7 << 32 | 0xFF  #: DRN, the enables, NI and RN
STATUS = 0x7F000  #: FR, FI and FPRF


# -- moves: the sign only, no exceptions -----------------------------------------------------------


def _move(name: str, xo: int, operation: Callable[[Any], Any]) -> None:
    @instruction(name + "{.}", 63, xo, form="X", needs="FP")
    def body(cpu: Any, FRT: Any, FRB: Any, Rc: int) -> None:
        cpu.fpr[FRT] = operation(cpu.fpr[FRB])
        record_cr1(cpu, Rc)


_move("fneg", 40, lambda b: b ^ SIGN)
_move("fmr", 72, lambda b: b)
_move("fnabs", 136, lambda b: b | SIGN)
_move("fabs", 264, lambda b: b & MAGNITUDE)


@instruction("fcpsgn{.}", 63, 8, form="X", needs="FP")
def fcpsgn(cpu: Any, FRT: Any, FRA: Any, FRB: Any, Rc: int) -> None:
    cpu.fpr[FRT] = (cpu.fpr[FRA] & SIGN) | (cpu.fpr[FRB] & MAGNITUDE)
    record_cr1(cpu, Rc)


@instruction("fmrgew", 63, 966, form="X", needs="FP")
def fmrgew(cpu: Any, FRT: Any, FRA: Any, FRB: Any) -> None:
    cpu.fpr[FRT] = (cpu.fpr[FRA] >> 32 << 32) | (cpu.fpr[FRB] >> 32)


@instruction("fmrgow", 63, 838, form="X", needs="FP")
def fmrgow(cpu: Any, FRT: Any, FRA: Any, FRB: Any) -> None:
    cpu.fpr[FRT] = (cpu.fpr[FRA] << 32) | (cpu.fpr[FRB] & 0xFFFFFFFF)


# -- Move From FPSCR -------------------------------------------------------------------------------


@instruction("mffs{.}", 63, 583, form="X", needs="FP")  # before ISA 3.0 bits 11:15 are reserved, thus ignored
def mffs(cpu: Any, FRT: Any, Rc: int) -> None:
    cpu.fpr[FRT] = cpu.fpscr
    record_cr1(cpu, Rc)


@instruction("mffsce", 63, 583, form="X", needs="FP", since="3.0", fixed={(11, 15): 1, (31, 31): 0})
def mffsce(cpu: Any, FRT: Any) -> None:
    old = cpu.fpscr
    replace(cpu, old & 0, cpu.const(ENABLES))
    cpu.fpr[FRT] = old


def _swap_control(cpu: Any, FRT: Any, value: Any, mask: int) -> None:
    """Give the control bits and change those of ``mask``."""
    old = cpu.fpscr
    replace(cpu, value, cpu.const(mask))
    cpu.fpr[FRT] = old & CONTROL


@instruction("mffscdrn", 63, 583, form="X", needs="FP", since="3.0", fixed={(11, 15): 20, (31, 31): 0})
def mffscdrn(cpu: Any, FRT: Any, FRB: Any) -> None:
    _swap_control(cpu, FRT, cpu.fpr[FRB], 7 << 32)


@instruction("mffscdrni", 63, 583, form="X", needs="FP", since="3.0", fixed={(11, 15): 21, (31, 31): 0})
def mffscdrni(cpu: Any, FRT: Any, DRM: Any) -> None:
    _swap_control(cpu, FRT, DRM << 32, 7 << 32)


@instruction("mffscrn", 63, 583, form="X", needs="FP", since="3.0", fixed={(11, 15): 22, (31, 31): 0})
def mffscrn(cpu: Any, FRT: Any, FRB: Any) -> None:
    _swap_control(cpu, FRT, cpu.fpr[FRB], 3)


@instruction("mffscrni", 63, 583, form="X", needs="FP", since="3.0", fixed={(11, 15): 23, (31, 31): 0})
def mffscrni(cpu: Any, FRT: Any, RM2: Any) -> None:
    _swap_control(cpu, FRT, RM2, 3)


@instruction("mffsl", 63, 583, form="X", needs="FP", since="3.0", fixed={(11, 15): 24, (31, 31): 0})
def mffsl(cpu: Any, FRT: Any) -> None:
    cpu.fpr[FRT] = cpu.fpscr & (CONTROL | STATUS)


# -- Move To FPSCR ---------------------------------------------------------------------------------


def nibbles(selection: Any) -> Any:
    """A mask of 32 bits, four for each bit of the 8-bit ``selection``."""
    spread = (selection | (selection << 12)) & 0x000F000F
    spread = (spread | (spread << 6)) & 0x03030303
    spread = (spread | (spread << 3)) & 0x11111111
    return spread * 15


@instruction("mtfsf{.}", 63, 711, form="XFL", needs="FP")
def mtfsf(cpu: Any, FLM: Any, FRB: Any, LFLM: int, WFLM: int, Rc: int) -> None:
    mask = cpu.const(-1) if LFLM else nibbles(FLM) << (32 * WFLM)
    replace(cpu, cpu.fpr[FRB], mask)
    record_cr1(cpu, Rc)
    trap_if_enabled(cpu)


@instruction("mtfsfi{.}", 63, 134, form="X", needs="FP")
def mtfsfi(cpu: Any, BF_I: Any, U: Any, W: int, Rc: int) -> None:
    shift = 28 + 32 * W - (BF_I << 2)
    replace(cpu, U << shift, cpu.const(15) << shift)
    record_cr1(cpu, Rc)
    trap_if_enabled(cpu)


@instruction("mtfsb0{.}", 63, 70, form="X", needs="FP")
def mtfsb0(cpu: Any, BT_I: Any, Rc: int) -> None:
    replace(cpu, cpu.const(0), cpu.const(1) << (31 - BT_I))
    record_cr1(cpu, Rc)
    trap_if_enabled(cpu)


@instruction("mtfsb1{.}", 63, 38, form="X", needs="FP")
def mtfsb1(cpu: Any, BT_I: Any, Rc: int) -> None:
    raise_exceptions(cpu, cpu.const(1) << (31 - BT_I))
    record_cr1(cpu, Rc)
    trap_if_enabled(cpu)


@instruction("mcrfs", 63, 64, form="X", needs="FP")
def mcrfs(cpu: Any, BF: Any, BFA_I: Any) -> None:
    shift = 28 - (BFA_I << 2)
    cpu.cr[BF] = ((cpu.fpscr >> shift) & 15).trunc(8)
    replace(cpu, cpu.const(0), (cpu.const(15) << shift) & (FX | EXCEPTIONS))
