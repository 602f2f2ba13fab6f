# SPDX-License-Identifier: GPL-2.0-only
"""Fixed-point bit gathering and byte reversal of ISA 3.1 (Book I, sections 3.3.13.1 and 3.3.16)."""

from __future__ import annotations

from typing import Any

from lpar.isa.registry import instruction
from lpar.isa.routine import routine
from lpar.isa.values import map_lanes, select


@routine(args=(64, 64), returns=64)
def gather_bits(cpu: Any, source: Any, mask: Any) -> Any:
    """The bits of ``source`` where ``mask`` has ones, packed at the right."""
    result = cpu.const(0)
    place = cpu.const(1)
    while mask != 0:
        lowest = mask & -mask
        result = select(source & lowest != 0, result | place, result)
        place = place << 1
        mask = mask ^ lowest
    return result


@routine(args=(64, 64), returns=64)
def scatter_bits(cpu: Any, source: Any, mask: Any) -> Any:
    """The rightmost bits of ``source`` placed where ``mask`` has ones."""
    result = cpu.const(0)
    while mask != 0:
        lowest = mask & -mask
        result = select(source.bit(0), result | lowest, result)
        source = source >> 1
        mask = mask ^ lowest
    return result


@instruction("pextd", 31, 188, form="X", since="3.1")
def pextd(cpu: Any, RS: Any, RA: Any, RB: Any) -> None:
    cpu.gpr[RA] = gather_bits(cpu, cpu.gpr[RS], cpu.gpr[RB])


@instruction("pdepd", 31, 156, form="X", since="3.1")
def pdepd(cpu: Any, RS: Any, RA: Any, RB: Any) -> None:
    cpu.gpr[RA] = scatter_bits(cpu, cpu.gpr[RS], cpu.gpr[RB])


@instruction("cfuged", 31, 220, form="X", since="3.1")
def cfuged(cpu: Any, RS: Any, RA: Any, RB: Any) -> None:
    """The bits that the mask RB selects go to the right, the others to the left."""
    mask = cpu.gpr[RB]
    right = gather_bits(cpu, cpu.gpr[RS], mask)
    left = gather_bits(cpu, cpu.gpr[RS], ~mask)
    cpu.gpr[RA] = (left << mask.popcount()) | right


@instruction("cntlzdm", 31, 59, form="X", since="3.1")
def cntlzdm(cpu: Any, RS: Any, RA: Any, RB: Any) -> None:
    """How many of the bits under the mask RB precede the first one under it."""
    mask = cpu.gpr[RB]
    first = (cpu.gpr[RS] & mask).clz()
    cpu.gpr[RA] = select(first == 64, mask, mask & ~(cpu.const(-1) >> first)).popcount()


@instruction("cnttzdm", 31, 571, form="X", since="3.1")
def cnttzdm(cpu: Any, RS: Any, RA: Any, RB: Any) -> None:
    """How many of the bits under the mask RB follow the last one under it."""
    mask = cpu.gpr[RB]
    last = (cpu.gpr[RS] & mask).ctz()
    cpu.gpr[RA] = select(last == 64, mask, mask & ~(cpu.const(-1) << last)).popcount()


@instruction("brh", 31, 219, form="X", since="3.1")
def brh(cpu: Any, RS: Any, RA: Any) -> None:
    cpu.gpr[RA] = map_lanes(16, lambda x: x.bswap(), cpu.gpr[RS])


@instruction("brw", 31, 155, form="X", since="3.1")
def brw(cpu: Any, RS: Any, RA: Any) -> None:
    cpu.gpr[RA] = map_lanes(32, lambda x: x.bswap(), cpu.gpr[RS])


@instruction("brd", 31, 187, form="X", since="3.1")
def brd(cpu: Any, RS: Any, RA: Any) -> None:
    cpu.gpr[RA] = cpu.gpr[RS].bswap()
