# SPDX-License-Identifier: GPL-2.0-only
"""Data address watchpoints: DAWR0 and DAWR1 (Book III, 9.4).

A page that an armed DAWR reaches into gets no TLB tags, so each access to it comes to the slow path, which
looks.  Arming flushes the vCPU's translations (``lpar.accel.soft``).  Unarmed, nothing is slower.
"""

from __future__ import annotations

from typing import Any

from lpar.cpu.native_mmu import DSISR_STORE, FAULT_INTERRUPT, MSR_DR, MSR_PR, STORE
from lpar.isa.routine import routine
from lpar.isa.values import select

DSISR_WATCH = 0x00400000
PROBLEM, SUPERVISOR, WTI, WT, READ, WRITE = 1, 2, 8, 16, 32, 64  #: bits of DAWRX


def armed(cpu: Any) -> Any:
    """Whether any DAWR looks at loads or stores."""
    return ((cpu.dawrx0 | cpu.dawrx1) & (READ | WRITE)) != 0


def last_byte(start: Any, control: Any) -> Any:
    """Where a range ends: DAWRX[MRD] is its length in doublewords less one."""
    return (start & ~7) + (((control >> 10) & 63) << 3) + 7


def reaches(start: Any, control: Any, page: Any) -> Any:
    """Whether a DAWR is armed and its range touches a page."""
    touches = (start >> 12 == page) | (last_byte(start, control) >> 12 == page)
    return ((control & (READ | WRITE)) != 0) & touches


@routine(args=(64,), returns=1)
def watched_page(cpu: Any, ea: Any) -> Any:
    """Whether an armed DAWR reaches into the page of ``ea``."""
    return reaches(cpu.dawr0, cpu.dawrx0, ea >> 12) | reaches(cpu.dawr1, cpu.dawrx1, ea >> 12)


@routine(args=(64, 64, 64), returns=1)
def watch(cpu: Any, ea: Any, size: Any, access: Any) -> Any:
    """Whether a DAWR matches an access; then the data storage interrupt is set up."""
    store = access == STORE
    kind = select(store, cpu.const(WRITE), READ)
    first = matches(cpu, cpu.dawr0, cpu.dawrx0, ea, size, kind)
    hit = first | matches(cpu, cpu.dawr1, cpu.dawrx1, ea, size, kind)
    if hit:
        start = select(first, cpu.dawr0, cpu.dawr1) & ~7
        cpu.dar = select(ea > start, ea, start)
        cpu.fault = FAULT_INTERRUPT
        cpu.exc_vector = 0x300
        cpu.exc_srr1 = 0
        cpu.dsisr = DSISR_WATCH | select(store, cpu.const(DSISR_STORE), 0)
    return hit


def matches(cpu: Any, start: Any, control: Any, ea: Any, size: Any, kind: Any) -> Any:
    """Whether one DAWR asks for an access: its kind, the privilege, the translation, the bytes."""
    msr = cpu.msr
    privilege = select((msr & MSR_PR) != 0, cpu.const(PROBLEM), SUPERVISOR)
    translated = ((control & WTI) != 0) | (((control & WT) != 0) == ((msr & MSR_DR) != 0))
    asked = ((control & privilege) != 0) & ((control & kind) != 0) & translated
    return asked & (ea <= last_byte(start, control)) & (ea + (size - 1) >= (start & ~7))
