# SPDX-License-Identifier: GPL-2.0-only
"""Event-based branches and the branch history buffer (ISA 2.07 Book II, chapter 7; Book III-S, chapter 9).

Nothing here makes events, and the history is empty; the registers hold what a program puts into them, and
returning with an event pending in BESCR branches again.
"""

from __future__ import annotations

from typing import Any

from lpar.isa.registry import instruction
from lpar.isa.values import select

FSCR_EBB, MMCR0_BHRBA = 7, 21  #: bit numbers from the least significant end
BHRB_CAUSE, EBB_CAUSE = 4, 7  #: for FSCR[IC]
PR = 14
GE = 1 << 63
#: BESCR: enables of external and performance monitor events, and the events themselves
ENABLE_SHIFT, EVENTS = 32, 3
WRITABLE = GE | EVENTS << ENABLE_SHIFT | EVENTS


def need_event_branches(cpu: Any) -> None:
    """Facility unavailable interrupt unless FSCR offers event-based branches to problem state."""
    if cpu.msr.bit(PR) & ~cpu.fscr.bit(FSCR_EBB):
        cpu.facility(EBB_CAUSE)


def need_history(cpu: Any) -> None:
    """Facility unavailable interrupt unless MMCR0 offers the branch history to problem state."""
    if cpu.msr.bit(PR) & ~cpu.mmcr0.bit(MMCR0_BHRBA):
        cpu.facility(BHRB_CAUSE)


@instruction("rfebb", 19, 146, form="XL")
def rfebb(cpu: Any, S20: Any) -> None:
    need_event_branches(cpu)
    bescr = (cpu.bescr & ~GE) | select(S20 != 0, cpu.const(GE), 0)
    pending = ((bescr >> ENABLE_SHIFT) & bescr & EVENTS) != 0
    again = pending & cpu.msr.bit(PR) & (S20 != 0)
    cpu.bescr = select(again, bescr & ~GE, bescr)
    cpu.branch(select(again, cpu.ebbhr, cpu.ebbrr))


@instruction("mfbhrbe", 31, 302, form="XFX")
def mfbhrbe(cpu: Any, RT: Any) -> None:
    """Entries beyond the last are 0."""
    need_history(cpu)
    cpu.gpr[RT] = cpu.const(0)


@instruction("clrbhrb", 31, 430, form="X")
def clrbhrb(cpu: Any) -> None:
    need_history(cpu)


# -- registers: BESCR by setting, by clearing (also its upper half), whole; handler and return address -------


def _register(number: int, name: str) -> None:
    @instruction("mfspr", 31, 339, form="XFX", static={"SPR": (number,)})
    def mfspr(cpu: Any, RT: Any, SPR: int) -> None:
        need_event_branches(cpu)
        cpu.gpr[RT] = getattr(cpu, name)

    @instruction("mtspr", 31, 467, form="XFX", static={"SPR": (number,)})
    def mtspr(cpu: Any, RS: Any, SPR: int) -> None:
        need_event_branches(cpu)
        setattr(cpu, name, cpu.gpr[RS])


_register(804, "ebbhr")
_register(805, "ebbrr")
_register(806, "bescr")


@instruction("mfspr", 31, 339, form="XFX", static={"SPR": (800, 802)})
def mfbescr(cpu: Any, RT: Any, SPR: int) -> None:
    need_event_branches(cpu)
    cpu.gpr[RT] = cpu.bescr


@instruction("mfspr", 31, 339, form="XFX", static={"SPR": (801, 803)})
def mfbescr_upper(cpu: Any, RT: Any, SPR: int) -> None:
    need_event_branches(cpu)
    cpu.gpr[RT] = cpu.bescr >> 32


@instruction("mtspr", 31, 467, form="XFX", static={"SPR": (800, 801)})
def mtbescr_set(cpu: Any, RS: Any, SPR: int) -> None:
    need_event_branches(cpu)
    bits = cpu.gpr[RS] if SPR == 800 else cpu.gpr[RS] << 32
    cpu.bescr = cpu.bescr | (bits & WRITABLE)


@instruction("mtspr", 31, 467, form="XFX", static={"SPR": (802, 803)})
def mtbescr_reset(cpu: Any, RS: Any, SPR: int) -> None:
    need_event_branches(cpu)
    bits = cpu.gpr[RS] if SPR == 802 else cpu.gpr[RS] << 32
    cpu.bescr = cpu.bescr & ~bits
