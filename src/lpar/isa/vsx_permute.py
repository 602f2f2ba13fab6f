# SPDX-License-Identifier: GPL-2.0-only
"""VSX permute, merge, splat, shift and byte-reverse instructions (Book I, sections 7.6.1.9 to 7.6.1.11)."""

from __future__ import annotations

from typing import Any

from lpar.isa.registry import instruction
from lpar.isa.values import concat, lanes, map_lanes, select, shuffle
from lpar.isa.vsx_memory import either, splat


@instruction("xxpermdi", 60, None, form="D", needs="VSX", fixed={(21, 21): 0, (24, 28): 10})
def xxpermdi(cpu: Any, XT: Any, XA: Any, XB: Any, DM: int) -> None:
    a, b = lanes(cpu.vsr[XA], 64), lanes(cpu.vsr[XB], 64)
    cpu.vsr[XT] = concat(a[DM >> 1], b[DM & 1])


@instruction("xxsldwi", 60, None, form="D", needs="VSX", fixed={(21, 21): 0, (24, 28): 2})
def xxsldwi(cpu: Any, XT: Any, XA: Any, XB: Any, SHW: int) -> None:
    words = lanes(cpu.vsr[XA], 32) + lanes(cpu.vsr[XB], 32)
    cpu.vsr[XT] = concat(*words[SHW : SHW + 4])


@instruction("xxmrghw", 60, 18, form="XX3", needs="VSX")
def xxmrghw(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
    a, b = lanes(cpu.vsr[XA], 32), lanes(cpu.vsr[XB], 32)
    cpu.vsr[XT] = concat(a[0], b[0], a[1], b[1])


@instruction("xxmrglw", 60, 50, form="XX3", needs="VSX")
def xxmrglw(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
    a, b = lanes(cpu.vsr[XA], 32), lanes(cpu.vsr[XB], 32)
    cpu.vsr[XT] = concat(a[2], b[2], a[3], b[3])


@instruction("xxspltw", 60, 164, form="XX2", needs="VSX")
def xxspltw(cpu: Any, XT: Any, XB: Any, UIM2: Any) -> None:
    cpu.vsr[XT] = splat(cpu.vsr[XB].rotl((UIM2 + 1) << 5).trunc(32))


@either("xxspltib", 60, 360, "XX1", fixed={(11, 12): 0})
def xxspltib(cpu: Any, XT: Any, IMM8: Any) -> None:
    cpu.vsr[XT] = splat(IMM8.trunc(8))


# -- ISA 3.0 ---------------------------------------------------------------------------------------


@instruction("xxextractuw", 60, 165, form="XX2", needs="VSX", since="3.0")
def xxextractuw(cpu: Any, XT: Any, XB: Any, UIM4: Any) -> None:
    word = cpu.vsr[XB].rotl((UIM4 + 4) << 3).trunc(32)
    cpu.vsr[XT] = concat(cpu.const(0, 32), word, cpu.const(0, 64))


@instruction("xxinsertw", 60, 181, form="XX2", needs="VSX", since="3.0")
def xxinsertw(cpu: Any, XT: Any, XB: Any, UIM4: Any) -> None:
    word = concat(cpu.vsr[XB].bits(64, 32), cpu.const(0, 96))
    mask = cpu.const(0xFFFFFFFF << 96, 128) >> (UIM4 << 3)
    cpu.vsr[XT] = cpu.vsr[XT] & ~mask | word >> (UIM4 << 3)


@instruction("xxbrh", 60, 475, form="XX2", needs="VSX", since="3.0", fixed={(11, 15): 7})
def xxbrh(cpu: Any, XT: Any, XB: Any) -> None:
    cpu.vsr[XT] = map_lanes(16, lambda b: b.bswap(), cpu.vsr[XB])


@instruction("xxbrw", 60, 475, form="XX2", needs="VSX", since="3.0", fixed={(11, 15): 15})
def xxbrw(cpu: Any, XT: Any, XB: Any) -> None:
    cpu.vsr[XT] = map_lanes(32, lambda b: b.bswap(), cpu.vsr[XB])


@instruction("xxbrd", 60, 475, form="XX2", needs="VSX", since="3.0", fixed={(11, 15): 23})
def xxbrd(cpu: Any, XT: Any, XB: Any) -> None:
    cpu.vsr[XT] = map_lanes(64, lambda b: b.bswap(), cpu.vsr[XB])


@instruction("xxbrq", 60, 475, form="XX2", needs="VSX", since="3.0", fixed={(11, 15): 31})
def xxbrq(cpu: Any, XT: Any, XB: Any) -> None:
    cpu.vsr[XT] = cpu.vsr[XB].bswap()


def permute(first: Any, second: Any, index: Any) -> Any:
    """Bytes of ``first`` (0 to 15) and ``second`` (16 to 31), as the low five bits of each index byte say."""
    return shuffle(concat(first, second), index)


@instruction("xxperm", 60, 26, form="XX3", needs="VSX", since="3.0")
def xxperm(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
    cpu.vsr[XT] = permute(cpu.vsr[XA], cpu.vsr[XT], cpu.vsr[XB])


@instruction("xxpermr", 60, 58, form="XX3", needs="VSX", since="3.0")
def xxpermr(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
    cpu.vsr[XT] = permute(cpu.vsr[XA], cpu.vsr[XT], ~cpu.vsr[XB])


# -- ISA 3.1 ---------------------------------------------------------------------------------------

#: the upper halfword (or two) of the quad-precision constants of lxvkq, by UIM
QUAD_CONSTANTS = {
    1: 0x3FFF_0000,  # +1.0
    2: 0x4000_0000,  # +2.0
    3: 0x4000_8000,  # +3.0
    4: 0x4001_0000,  # +4.0
    5: 0x4001_4000,  # +5.0
    6: 0x4001_8000,  # +6.0
    7: 0x4001_C000,  # +7.0
    8: 0x7FFF_0000,  # +infinity
    9: 0x7FFF_8000,  # default quiet NaN
    16: 0x8000_0000,  # -0.0
    17: 0xBFFF_0000,
    18: 0xC000_0000,
    19: 0xC000_8000,
    20: 0xC001_0000,
    21: 0xC001_4000,
    22: 0xC001_8000,
    23: 0xC001_C000,
    24: 0xFFFF_0000,
}


_QUAD = {"NB_S": QUAD_CONSTANTS}


@instruction("lxvkq", 60, 360, form="XX1", needs="VSX", since="3.1", fixed={(11, 15): 31}, static=_QUAD)
def lxvkq(cpu: Any, XT: Any, NB_S: int) -> None:
    cpu.vsr[XT] = cpu.const(QUAD_CONSTANTS[NB_S] << 96, 128)


def _numbers(first: int, size: int) -> int:
    """The byte numbers ``first``, ``first + 1``... as one element of ``size`` bytes."""
    return int.from_bytes(bytes(range(first, first + size)), "big")


def _expand(cpu: Any, width: int, chosen: list[Any]) -> Any:
    """Control that spreads consecutive elements over the chosen places; the others keep their own."""
    size = width // 8
    step = int.from_bytes(bytes([size] * size), "big")
    following = cpu.const(_numbers(0, size), width)
    result = []
    for place, wanted in enumerate(chosen):
        result.append(select(wanted, following, cpu.const(_numbers(16 + size * place, size), width)))
        following = following + select(wanted, cpu.const(step, width), cpu.const(0, width))
    return concat(*result)


def _compress(cpu: Any, width: int, chosen: list[Any]) -> Any:
    """Control that gathers the chosen elements at the start; the rest is zero."""
    size = width // 8
    zero = cpu.const(0, 128)
    result, at = zero, cpu.const(128 - width, 128)
    for place, wanted in enumerate(chosen):
        element = cpu.const(_numbers(size * place, size), 128)
        result = result | select(wanted, element, zero) << at
        at = at - select(wanted, cpu.const(width, 128), zero)
    return result


def _generate(cpu: Any, width: int, how: int, XT: Any, VRB: Any) -> None:
    """``how``: bit 0 compression instead of expansion, bit 1 elements and bytes counted from the right."""
    chosen = [e.bit(width - 1) for e in lanes(cpu.vr[VRB], width)]
    if how & 2:
        chosen.reverse()
    result = _compress(cpu, width, chosen) if how & 1 else _expand(cpu, width, chosen)
    cpu.vsr[XT] = result.bswap() if how & 2 else result


_HOW = {"UIM5_S": range(4)}


@instruction("xxgenpcvbm", 60, 916, form="XX1", needs="VSX", since="3.1", static=_HOW)
def xxgenpcvbm(cpu: Any, XT: Any, VRB: Any, UIM5_S: int) -> None:
    _generate(cpu, 8, UIM5_S, XT, VRB)


@instruction("xxgenpcvhm", 60, 917, form="XX1", needs="VSX", since="3.1", static=_HOW)
def xxgenpcvhm(cpu: Any, XT: Any, VRB: Any, UIM5_S: int) -> None:
    _generate(cpu, 16, UIM5_S, XT, VRB)


@instruction("xxgenpcvwm", 60, 948, form="XX1", needs="VSX", since="3.1", static=_HOW)
def xxgenpcvwm(cpu: Any, XT: Any, VRB: Any, UIM5_S: int) -> None:
    _generate(cpu, 32, UIM5_S, XT, VRB)


@instruction("xxgenpcvdm", 60, 949, form="XX1", needs="VSX", since="3.1", static=_HOW)
def xxgenpcvdm(cpu: Any, XT: Any, VRB: Any, UIM5_S: int) -> None:
    _generate(cpu, 64, UIM5_S, XT, VRB)
