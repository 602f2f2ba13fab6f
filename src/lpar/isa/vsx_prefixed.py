# SPDX-License-Identifier: GPL-2.0-only
"""Prefixed VSX instructions: loads, stores, immediates, blend, permute, evaluate (ISA 3.1)."""

from __future__ import annotations

from typing import Any

from lpar.isa.prefixed import address, relative
from lpar.isa.registry import instruction
from lpar.isa.softfloat import widen
from lpar.isa.values import concat, lanes, map_lanes
from lpar.isa.vsx_memory import load_pair, splat, store_pair
from lpar.isa.vsx_permute import permute

# -- loads and stores ------------------------------------------------------------------------------


def _plxv(cpu: Any, XT8: Any, RA0: Any, D34: Any, R_P: int) -> None:
    cpu.vsr[XT8] = cpu.load(address(cpu, R_P, RA0, D34), 16)


def _pstxv(cpu: Any, XS8: Any, RA0: Any, D34: Any, R_P: int) -> None:
    cpu.store(address(cpu, R_P, RA0, D34), cpu.vsr[XS8])


for _half, _needs in enumerate(("VSX", "VEC")):
    relative("plxv", 50 | _half, "8LS", needs=_needs)(_plxv)
    relative("pstxv", 54 | _half, "8LS", needs=_needs)(_pstxv)


@relative("plxvp", 58, "8LS", needs="VSX")
def plxvp(cpu: Any, XPe: Any, XPo: Any, RA0: Any, D34: Any, R_P: int) -> None:
    load_pair(cpu, XPe, XPo, address(cpu, R_P, RA0, D34))


@relative("pstxvp", 62, "8LS", needs="VSX")
def pstxvp(cpu: Any, XPe: Any, XPo: Any, RA0: Any, D34: Any, R_P: int) -> None:
    store_pair(cpu, XPe, XPo, address(cpu, R_P, RA0, D34))


# -- immediates ------------------------------------------------------------------------------------


@instruction("xxspltiw", 32, prefix="8RR", needs="VSX", since="3.1", fixed={(11, 14): 3})
def xxspltiw(cpu: Any, XT15: Any, IMM32: Any) -> None:
    cpu.vsr[XT15] = splat(IMM32.trunc(32))


@instruction("xxspltidp", 32, prefix="8RR", needs="VSX", since="3.1", fixed={(11, 14): 2})
def xxspltidp(cpu: Any, XT15: Any, IMM32: Any) -> None:
    cpu.vsr[XT15] = splat(widen(IMM32.trunc(32)))


@instruction("xxsplti32dx", 32, prefix="8RR", needs="VSX", since="3.1", fixed={(11, 13): 0})
def xxsplti32dx(cpu: Any, XT15: Any, IX: int, IMM32: Any) -> None:
    words = lanes(cpu.vsr[XT15], 32)
    words[IX] = words[IX + 2] = IMM32.trunc(32)
    cpu.vsr[XT15] = concat(*words)


# -- on registers ----------------------------------------------------------------------------------


def _define_blend(name: str, xo: int, width: int) -> None:
    @instruction(name, 33, xo, form="XX4", prefix="8RR", needs="VSX", since="3.1")
    def blend(cpu: Any, XT: Any, XA: Any, XB: Any, XC: Any) -> None:
        a = cpu.vsr[XA]
        second = map_lanes(width, lambda c: c.sar(width - 1), cpu.vsr[XC])
        cpu.vsr[XT] = a ^ ((a ^ cpu.vsr[XB]) & second)


for _xo, _letter in enumerate("bhwd"):
    _define_blend(f"xxblendv{_letter}", _xo, 8 << _xo)


@instruction("xxpermx", 34, 0, form="XX4", prefix="8RR", needs="VSX", since="3.1")
def xxpermx(cpu: Any, XT: Any, XA: Any, XB: Any, XC: Any, UIM3_P: Any) -> None:
    control = cpu.vsr[XC]
    mine = map_lanes(8, lambda c, section: (c >> 5) == section, control, splat(UIM3_P.trunc(8)))
    cpu.vsr[XT] = permute(cpu.vsr[XA], cpu.vsr[XB], control) & mine


@instruction("xxeval", 34, 1, form="XX4", prefix="8RR", needs="VSX", since="3.1")
def xxeval(cpu: Any, XT: Any, XA: Any, XB: Any, XC: Any, IMM8_P: Any) -> None:
    terms = [IMM8_P.bit(7 - n).sext(128) for n in range(8)]
    for operand in (cpu.vsr[XC], cpu.vsr[XB], cpu.vsr[XA]):
        terms = [zero ^ ((zero ^ one) & operand) for zero, one in zip(terms[::2], terms[1::2], strict=True)]
    cpu.vsr[XT] = terms[0]
