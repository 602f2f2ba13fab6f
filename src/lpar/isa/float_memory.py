# SPDX-License-Identifier: GPL-2.0-only
"""Floating-point loads and stores (Book I, sections 4.6.2 to 4.6.4).

Singles are kept in binary64 format; loading and storing them converts without exceptions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lpar.isa.registry import instruction
from lpar.isa.softfloat_core import narrow, widen

Load = Callable[[Any, Any], Any]
Store = Callable[[Any, Any, Any], None]


def load_single(cpu: Any, ea: Any) -> Any:
    """A binary32 from memory, as binary64."""
    return widen(cpu.load(ea, 4))


def load_double(cpu: Any, ea: Any) -> Any:
    """A binary64 from memory."""
    return cpu.load(ea, 8)


def store_single(cpu: Any, ea: Any, value: Any) -> None:
    """Store a binary64 as binary32."""
    cpu.store(ea, narrow(value))


def store_double(cpu: Any, ea: Any, value: Any) -> None:
    """Store a binary64."""
    cpu.store(ea, value)


def _load_family(name: str, opcd: int, xo: int, load: Load) -> None:
    """The D-form, its update form (opcode + 1), the indexed form and its update form (xo + 32)."""

    @instruction(name, opcd, needs="FP")
    def plain(cpu: Any, FRT: Any, D: Any, RA0: Any) -> None:
        cpu.fpr[FRT] = load(cpu, cpu.base(RA0) + D)

    @instruction(name + "u", opcd + 1, needs="FP")
    def update(cpu: Any, FRT: Any, D: Any, RA: Any) -> None:
        ea = cpu.gpr[RA] + D
        cpu.fpr[FRT] = load(cpu, ea)
        cpu.gpr[RA] = ea

    @instruction(name + "x", 31, xo, form="X", needs="FP")
    def indexed(cpu: Any, FRT: Any, RA0: Any, RB: Any) -> None:
        cpu.fpr[FRT] = load(cpu, cpu.base(RA0) + cpu.gpr[RB])

    @instruction(name + "ux", 31, xo + 32, form="X", needs="FP")
    def indexed_update(cpu: Any, FRT: Any, RA: Any, RB: Any) -> None:
        ea = cpu.gpr[RA] + cpu.gpr[RB]
        cpu.fpr[FRT] = load(cpu, ea)
        cpu.gpr[RA] = ea


def _store_family(name: str, opcd: int, xo: int, store: Store) -> None:
    """The four stores that correspond to :func:`_load_family`'s loads."""

    @instruction(name, opcd, needs="FP")
    def plain(cpu: Any, FRS: Any, D: Any, RA0: Any) -> None:
        store(cpu, cpu.base(RA0) + D, cpu.fpr[FRS])

    @instruction(name + "u", opcd + 1, needs="FP")
    def update(cpu: Any, FRS: Any, D: Any, RA: Any) -> None:
        ea = cpu.gpr[RA] + D
        store(cpu, ea, cpu.fpr[FRS])
        cpu.gpr[RA] = ea

    @instruction(name + "x", 31, xo, form="X", needs="FP")
    def indexed(cpu: Any, FRS: Any, RA0: Any, RB: Any) -> None:
        store(cpu, cpu.base(RA0) + cpu.gpr[RB], cpu.fpr[FRS])

    @instruction(name + "ux", 31, xo + 32, form="X", needs="FP")
    def indexed_update(cpu: Any, FRS: Any, RA: Any, RB: Any) -> None:
        ea = cpu.gpr[RA] + cpu.gpr[RB]
        store(cpu, ea, cpu.fpr[FRS])
        cpu.gpr[RA] = ea


_load_family("lfs", 48, 535, load_single)
_load_family("lfd", 50, 599, load_double)
_store_family("stfs", 52, 663, store_single)
_store_family("stfd", 54, 727, store_double)


# -- integer words ---------------------------------------------------------------------------------


@instruction("lfiwax", 31, 855, form="X", needs="FP")
def lfiwax(cpu: Any, FRT: Any, RA0: Any, RB: Any) -> None:
    cpu.fpr[FRT] = cpu.load(cpu.base(RA0) + cpu.gpr[RB], 4).sext(64)


@instruction("lfiwzx", 31, 887, form="X", needs="FP")
def lfiwzx(cpu: Any, FRT: Any, RA0: Any, RB: Any) -> None:
    cpu.fpr[FRT] = cpu.load(cpu.base(RA0) + cpu.gpr[RB], 4).zext(64)


@instruction("stfiwx", 31, 983, form="X", needs="FP")
def stfiwx(cpu: Any, FRS: Any, RA0: Any, RB: Any) -> None:
    cpu.store(cpu.base(RA0) + cpu.gpr[RB], cpu.fpr[FRS].trunc(32))


# -- pairs: the even register is the high half of the quadword ----------------------------------------


def _load_pair(cpu: Any, n: int, ea: Any) -> None:
    value = cpu.load(ea, 16)
    cpu.fpr[2 * n] = value.bits(64, 64)
    cpu.fpr[2 * n + 1] = value.trunc(64)


def _store_pair(cpu: Any, n: int, ea: Any) -> None:
    cpu.store(ea, (cpu.fpr[2 * n].zext(128) << 64) | cpu.fpr[2 * n + 1].zext(128))


@instruction("lfdp", 57, 0, form="DS", needs="FP", fixed={(10, 10): 0})
def lfdp(cpu: Any, FRTp_S: int, DS: Any, RA0: Any) -> None:
    _load_pair(cpu, FRTp_S, cpu.base(RA0) + DS)


@instruction("lfdpx", 31, 791, form="X", needs="FP", fixed={(10, 10): 0})
def lfdpx(cpu: Any, FRTp_S: int, RA0: Any, RB: Any) -> None:
    _load_pair(cpu, FRTp_S, cpu.base(RA0) + cpu.gpr[RB])


@instruction("stfdp", 61, 0, form="DS", needs="FP", fixed={(10, 10): 0})
def stfdp(cpu: Any, FRSp_S: int, DS: Any, RA0: Any) -> None:
    _store_pair(cpu, FRSp_S, cpu.base(RA0) + DS)


@instruction("stfdpx", 31, 919, form="X", needs="FP", fixed={(10, 10): 0})
def stfdpx(cpu: Any, FRSp_S: int, RA0: Any, RB: Any) -> None:
    _store_pair(cpu, FRSp_S, cpu.base(RA0) + cpu.gpr[RB])
