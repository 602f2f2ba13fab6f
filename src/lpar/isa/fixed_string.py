# SPDX-License-Identifier: GPL-2.0-only
"""Load and store multiple and string (Book I, sections 3.3.5 and 3.3.6): big-endian mode only.

Register numbers are computed here (``RT_I`` arrives as a value).  The registers are written as memory
is read: an interrupt in the middle restarts the instruction, whose address registers, in a valid form, are
not among those loaded.
"""

from __future__ import annotations

from typing import Any

from lpar.isa.fixed_load import indexed
from lpar.isa.registry import instruction
from lpar.isa.values import select


def big_endian_only(cpu: Any, ea: Any) -> None:
    """Alignment interrupt in little-endian mode."""
    if cpu.le:
        cpu.alignment(ea)


@instruction("lmw", 46)
def lmw(cpu: Any, RT_I: Any, RA0: Any, D: Any) -> None:
    ea = cpu.base(RA0) + D
    big_endian_only(cpu, ea)
    n = RT_I
    while n < 32:
        cpu.gpr[n] = cpu.load(ea, 4).zext(64)
        ea = ea + 4
        n = n + 1


@instruction("stmw", 47)
def stmw(cpu: Any, RT_I: Any, RA0: Any, D: Any) -> None:
    ea = cpu.base(RA0) + D
    big_endian_only(cpu, ea)
    n = RT_I
    while n < 32:
        cpu.store(ea, cpu.gpr[n].trunc(32))
        ea = ea + 4
        n = n + 1


def load_string(cpu: Any, first: Any, ea: Any, count: Any) -> None:
    """Bytes at ``ea`` into the low words of registers from ``first`` on, four in each, r0 after r31."""
    big_endian_only(cpu, ea)
    at = cpu.const(0)
    while at < count:
        n = (first + (at >> 2)) & 31
        byte = cpu.load(ea + at, 1).zext(64) << (24 - ((at & 3) << 3))
        cpu.gpr[n] = select(at & 3 == 0, byte, cpu.gpr[n] | byte)
        at = at + 1


def store_string(cpu: Any, first: Any, ea: Any, count: Any) -> None:
    """The inverse of ``load_string``."""
    big_endian_only(cpu, ea)
    at = cpu.const(0)
    while at < count:
        word = cpu.gpr[(first + (at >> 2)) & 31]
        cpu.store(ea + at, (word >> (24 - ((at & 3) << 3))).trunc(8))
        at = at + 1


@instruction("lswi", 31, 597, form="X")
def lswi(cpu: Any, RT_I: Any, RA0: Any, NB: Any) -> None:
    load_string(cpu, RT_I, cpu.base(RA0), select(NB == 0, 32, NB))


@instruction("lswx", 31, 533, form="X")
def lswx(cpu: Any, RT_I: Any, RA0: Any, RB: Any) -> None:
    load_string(cpu, RT_I, indexed(cpu, RA0, RB), (cpu.xer_low & 127).zext(64))


@instruction("stswi", 31, 725, form="X")
def stswi(cpu: Any, RT_I: Any, RA0: Any, NB: Any) -> None:
    store_string(cpu, RT_I, cpu.base(RA0), select(NB == 0, 32, NB))


@instruction("stswx", 31, 661, form="X")
def stswx(cpu: Any, RT_I: Any, RA0: Any, RB: Any) -> None:
    store_string(cpu, RT_I, indexed(cpu, RA0, RB), (cpu.xer_low & 127).zext(64))
