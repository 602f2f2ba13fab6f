# SPDX-License-Identifier: GPL-2.0-only
"""Steps that many instructions share (Book I, chapters 2 and 3)."""

from __future__ import annotations

from typing import Any

from lpar.isa.values import select

FSCR_TAR, TAR_CAUSE = 8, 8  #: bit number from the least significant end; for FSCR[IC]


def need_tar(cpu: Any) -> None:
    """Facility unavailable interrupt unless FSCR offers TAR to problem state."""
    if cpu.msr.bit(14) & ~cpu.fscr.bit(FSCR_TAR):
        cpu.facility(TAR_CAUSE)


LT, GT, EQ, SO = 8, 4, 2, 1


def compare_signed(cpu: Any, a: Any, b: Any) -> Any:
    """The CR field value (8 bits: LT GT EQ SO) for a signed comparison."""
    if cpu.keeps_order:
        return cpu.order(a, b, "scmp")
    return cr_field(cpu, a.slt(b), a.sgt(b))


def compare_unsigned(cpu: Any, a: Any, b: Any) -> Any:
    """The CR field value (8 bits: LT GT EQ SO) for an unsigned comparison."""
    if cpu.keeps_order:
        return cpu.order(a, b, "ucmp")
    return cr_field(cpu, a < b, a > b)


def cr_field(cpu: Any, less: Any, greater: Any) -> Any:
    """The CR field value: a choice, which is shorter than its bits would be."""
    return select(less, cpu.const(LT, 8), select(greater, cpu.const(GT, 8), EQ)) | cpu.so.zext(8)


def record(cpu: Any, result: Any) -> None:
    """Set CR0 from a 64-bit result compared with zero; only its low half counts in 32-bit mode."""
    wide = select(cpu.sf, result, result.trunc(32).sext(64))
    cpu.cr[0] = compare_signed(cpu, wide, 0)


def finish(cpu: Any, RT: Any, result: Any, Rc: int) -> None:
    """Write ``result`` to RT and record it if Rc."""
    cpu.gpr[RT] = result
    if Rc:
        record(cpu, result)
