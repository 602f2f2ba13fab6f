# SPDX-License-Identifier: GPL-2.0-only
"""VSX logical and select instructions (Book I, section 7.6.1.8)."""

from __future__ import annotations

from typing import Any

from lpar.isa.registry import instruction
from lpar.isa.values import concat, map_lanes, select


@instruction("xxland", 60, 130, form="XX3", needs="VSX")
def xxland(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
    cpu.vsr[XT] = cpu.vsr[XA] & cpu.vsr[XB]


@instruction("xxlandc", 60, 138, form="XX3", needs="VSX")
def xxlandc(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
    cpu.vsr[XT] = cpu.vsr[XA] & ~cpu.vsr[XB]


@instruction("xxlor", 60, 146, form="XX3", needs="VSX")
def xxlor(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
    cpu.vsr[XT] = cpu.vsr[XA] | cpu.vsr[XB]


@instruction("xxlxor", 60, 154, form="XX3", needs="VSX")
def xxlxor(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
    cpu.vsr[XT] = cpu.vsr[XA] ^ cpu.vsr[XB]


@instruction("xxlnor", 60, 162, form="XX3", needs="VSX")
def xxlnor(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
    cpu.vsr[XT] = ~(cpu.vsr[XA] | cpu.vsr[XB])


@instruction("xxlorc", 60, 170, form="XX3", needs="VSX")
def xxlorc(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
    cpu.vsr[XT] = cpu.vsr[XA] | ~cpu.vsr[XB]


@instruction("xxlnand", 60, 178, form="XX3", needs="VSX")
def xxlnand(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
    cpu.vsr[XT] = ~(cpu.vsr[XA] & cpu.vsr[XB])


@instruction("xxleqv", 60, 186, form="XX3", needs="VSX")
def xxleqv(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
    cpu.vsr[XT] = ~(cpu.vsr[XA] ^ cpu.vsr[XB])


@instruction("xxsel", 60, 3, form="XX4", needs="VSX")
def xxsel(cpu: Any, XT: Any, XA: Any, XB: Any, XC: Any) -> None:
    a = cpu.vsr[XA]
    cpu.vsr[XT] = a ^ ((a ^ cpu.vsr[XB]) & cpu.vsr[XC])


# -- sign operations on elements -------------------------------------------------------------------


def _sign(width: int) -> int:
    return 1 << (width - 1)


@instruction("xvabsdp", 60, 473, form="XX2", needs="VSX")
def xvabsdp(cpu: Any, XT: Any, XB: Any) -> None:
    cpu.vsr[XT] = map_lanes(64, lambda b: b & ~_sign(64), cpu.vsr[XB])


@instruction("xvabssp", 60, 409, form="XX2", needs="VSX")
def xvabssp(cpu: Any, XT: Any, XB: Any) -> None:
    cpu.vsr[XT] = map_lanes(32, lambda b: b & ~_sign(32), cpu.vsr[XB])


@instruction("xvnabsdp", 60, 489, form="XX2", needs="VSX")
def xvnabsdp(cpu: Any, XT: Any, XB: Any) -> None:
    cpu.vsr[XT] = map_lanes(64, lambda b: b | _sign(64), cpu.vsr[XB])


@instruction("xvnabssp", 60, 425, form="XX2", needs="VSX")
def xvnabssp(cpu: Any, XT: Any, XB: Any) -> None:
    cpu.vsr[XT] = map_lanes(32, lambda b: b | _sign(32), cpu.vsr[XB])


@instruction("xvnegdp", 60, 505, form="XX2", needs="VSX")
def xvnegdp(cpu: Any, XT: Any, XB: Any) -> None:
    cpu.vsr[XT] = map_lanes(64, lambda b: b ^ _sign(64), cpu.vsr[XB])


@instruction("xvnegsp", 60, 441, form="XX2", needs="VSX")
def xvnegsp(cpu: Any, XT: Any, XB: Any) -> None:
    cpu.vsr[XT] = map_lanes(32, lambda b: b ^ _sign(32), cpu.vsr[XB])


@instruction("xvcpsgndp", 60, 240, form="XX3", needs="VSX")
def xvcpsgndp(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
    cpu.vsr[XT] = map_lanes(64, lambda a, b: a & _sign(64) | b & ~_sign(64), cpu.vsr[XA], cpu.vsr[XB])


@instruction("xvcpsgnsp", 60, 208, form="XX3", needs="VSX")
def xvcpsgnsp(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
    cpu.vsr[XT] = map_lanes(32, lambda a, b: a & _sign(32) | b & ~_sign(32), cpu.vsr[XA], cpu.vsr[XB])


# -- exponent and significand (ISA 3.0) ------------------------------------------------------------


def _significand(width: int, fraction: int, b: Any) -> Any:
    """The fraction with its implied bit; only the stored bits for zeros, subnormals, infinities and NaNs."""
    exponent = b << 1 >> (fraction + 1)
    top = (1 << (width - 1 - fraction)) - 1
    stored = b & ((1 << fraction) - 1)
    return select((exponent == 0) | (exponent == top), stored, stored | 1 << fraction)


@instruction("xvxexpdp", 60, 475, form="XX2", needs="VSX", since="3.0", fixed={(11, 15): 0})
def xvxexpdp(cpu: Any, XT: Any, XB: Any) -> None:
    cpu.vsr[XT] = map_lanes(64, lambda b: b << 1 >> 53, cpu.vsr[XB])


@instruction("xvxexpsp", 60, 475, form="XX2", needs="VSX", since="3.0", fixed={(11, 15): 8})
def xvxexpsp(cpu: Any, XT: Any, XB: Any) -> None:
    cpu.vsr[XT] = map_lanes(32, lambda b: b << 1 >> 24, cpu.vsr[XB])


@instruction("xvxsigdp", 60, 475, form="XX2", needs="VSX", since="3.0", fixed={(11, 15): 1})
def xvxsigdp(cpu: Any, XT: Any, XB: Any) -> None:
    cpu.vsr[XT] = map_lanes(64, lambda b: _significand(64, 52, b), cpu.vsr[XB])


@instruction("xvxsigsp", 60, 475, form="XX2", needs="VSX", since="3.0", fixed={(11, 15): 9})
def xvxsigsp(cpu: Any, XT: Any, XB: Any) -> None:
    cpu.vsr[XT] = map_lanes(32, lambda b: _significand(32, 23, b), cpu.vsr[XB])


def _insert_exponent(width: int, fraction: int, a: Any, b: Any) -> Any:
    keep = 1 << (width - 1) | (1 << fraction) - 1
    return a & keep | (b << fraction) & ~keep


@instruction("xviexpdp", 60, 248, form="XX3", needs="VSX", since="3.0")
def xviexpdp(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
    cpu.vsr[XT] = map_lanes(64, lambda a, b: _insert_exponent(64, 52, a, b), cpu.vsr[XA], cpu.vsr[XB])


@instruction("xviexpsp", 60, 216, form="XX3", needs="VSX", since="3.0")
def xviexpsp(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
    cpu.vsr[XT] = map_lanes(32, lambda a, b: _insert_exponent(32, 23, a, b), cpu.vsr[XA], cpu.vsr[XB])


# -- test of the data class (ISA 3.0) --------------------------------------------------------------


def _in_class(width: int, fraction: int, dcmx: Any, b: Any) -> Any:
    """Whether ``b`` is of a class in ``dcmx`` (width of ``b``).

    From bit 6 down: NaN, +infinity, -infinity, +0, -0, +subnormal, -subnormal.
    """
    negative = b.bit(width - 1)
    magnitude = b << 1 >> 1
    infinity = ((1 << (width - 1 - fraction)) - 1) << fraction
    nan = magnitude > infinity
    signs = (
        (magnitude == infinity, 5, 4),
        (magnitude == 0, 3, 2),
        ((magnitude != 0) & (magnitude < 1 << fraction), 1, 0),
    )
    found = nan & dcmx.bit(6)
    for member, positive_bit, negative_bit in signs:
        found = found | member & select(negative, dcmx.bit(negative_bit), dcmx.bit(positive_bit))
    return found


def _test_class(cpu: Any, width: int, fraction: int, dcmx: Any, value: Any) -> Any:
    mask = dcmx.trunc(width)
    every = mask.zext(128)
    for _ in range(128 // width - 1):
        every = every << width | mask.zext(128)
    return map_lanes(width, lambda d, b: _in_class(width, fraction, d, b), every, value)


@instruction("xvtstdcdp", 60, None, form="D", needs="VSX", since="3.0", fixed={(21, 24): 15, (26, 28): 5})
def xvtstdcdp(cpu: Any, XT: Any, XB: Any, DCMX7: Any) -> None:
    cpu.vsr[XT] = _test_class(cpu, 64, 52, DCMX7, cpu.vsr[XB])


@instruction("xvtstdcsp", 60, None, form="D", needs="VSX", since="3.0", fixed={(21, 24): 13, (26, 28): 5})
def xvtstdcsp(cpu: Any, XT: Any, XB: Any, DCMX7: Any) -> None:
    cpu.vsr[XT] = _test_class(cpu, 32, 23, DCMX7, cpu.vsr[XB])


@instruction("xvtlsbb", 60, 475, form="XX2", needs="VSX", since="3.1", fixed={(11, 15): 2})
def xvtlsbb(cpu: Any, BF: Any, XB: Any) -> None:
    ones = int("01" * 16, 16)
    low = cpu.vsr[XB] & ones
    cpu.cr[BF] = concat(cpu.const(0, 4), low == ones, cpu.const(0, 1), low == 0, cpu.const(0, 1))
