# SPDX-License-Identifier: GPL-2.0-only
"""Soft float against exact rational arithmetic: results, OX UX XX FR FI, all modes, both precisions.

This judges what qemu does not model (FR, single rounding of single results, negation after rounding).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from fractions import Fraction

import pytest
from tests.isa.float_cases import SIGN, double

from lpar.isa import softfloat as sf
from lpar.isa.fpscr import record, settle
from lpar.isa.oracle import Oracle
from lpar.isa.values import Bits

INF = 0x7FF << 52
FORMATS = {"f64": (53, -1022, 1023), "r32": (24, -126, 127)}
Values = tuple[Fraction, ...]


def value(x: int) -> Fraction:
    """The number that a finite binary64 is."""
    exp, fraction = x >> 52 & 0x7FF, x & (1 << 52) - 1
    magnitude = Fraction(fraction | (bool(exp) << 52)) * Fraction(2) ** (max(exp, 1) - 1075)
    return -magnitude if x >> 63 else magnitude


def exponent_of(magnitude: Fraction, emin: int) -> int:
    """The exponent of its leading bit, at least ``emin``."""
    exp = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    return max(exp - (magnitude < Fraction(2) ** exp), emin)


def encode(magnitude: Fraction) -> int:
    """The binary64 of a representable magnitude."""
    if magnitude == 0:
        return 0
    exp = exponent_of(magnitude, -1022)
    scaled = magnitude / Fraction(2) ** (exp - 52)
    assert scaled.denominator == 1
    return int(scaled) + (exp + 1022 << 52)


def expected(exact: Fraction, negative: bool, mode: int, name: str) -> tuple[int, int]:
    """The rounded result and its flags, traps disabled."""
    precision, emin, emax = FORMATS[name]
    magnitude = abs(exact)
    exp = exponent_of(magnitude, emin)
    unit = Fraction(2) ** (exp - precision + 1)
    low = math.floor(magnitude / unit)
    rest = magnitude / unit - low
    nearest = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and low & 1)
    up = bool(rest) and (nearest, False, not negative, negative)[mode]
    rounded = (low + up) * unit
    sign = SIGN if negative else 0
    if rounded >= Fraction(2) ** (emax + 1):
        away = (True, False, not negative, negative)[mode]
        largest = (Fraction(2) ** precision - 1) * Fraction(2) ** (emax - precision + 1)
        return sign | (INF if away else encode(largest)), sf.OX | sf.XX | sf.FI
    flags = (sf.XX | sf.FI if rest else 0) | (sf.FR if up else 0)
    tiny = 0 < magnitude < Fraction(2) ** emin
    return sign | encode(rounded), flags | (sf.UX if tiny and rest else 0)


def finite(rng: random.Random, single: bool) -> int:
    """A finite non-zero binary64, representable as single if ``single``."""
    while True:
        x = double(rng)
        if single:
            x &= ~0x1FFFFFFF
        if x & ~SIGN and x & INF != INF:
            return x


OPERATIONS: dict[str, tuple[int, Callable[[Values], Fraction]]] = {
    "add": (2, lambda v: v[0] + v[1]),
    "sub": (2, lambda v: v[0] - v[1]),
    "mul": (2, lambda v: v[0] * v[1]),
    "div": (2, lambda v: v[0] / v[1]),
    "madd": (3, lambda v: v[0] * v[1] + v[2]),
    "msub": (3, lambda v: v[0] * v[1] - v[2]),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_rounding(name: str, operation: str) -> None:
    rng = random.Random(f"{name}{operation}")
    count, exactly = OPERATIONS[operation]
    routine = getattr(sf, f"{name}_{operation}")
    cpu = Oracle()
    for n in range(500):
        operands = [finite(rng, name == "r32" and n % 2 == 0) for _ in range(count)]
        exact = exactly(tuple(value(x) for x in operands))
        if exact == 0:
            continue
        mode = rng.randrange(4)
        result, flags = routine(cpu, *(Bits(x, 64) for x in operands), Bits(mode, 32))
        assert (result.v, flags.v) == expected(exact, exact < 0, mode, name), [hex(x) for x in operands]


@pytest.mark.parametrize("name", FORMATS)
def test_square_root(name: str) -> None:
    """The root lies between the neighbours that the rounding mode allows."""
    rng = random.Random(name)
    cpu = Oracle()
    for _ in range(300):
        x = finite(rng, name == "r32") & ~SIGN
        mode = rng.randrange(4)
        result, flags = getattr(sf, f"{name}_sqrt")(cpu, Bits(x, 64), Bits(mode, 32))
        scaled = value(x) * Fraction(4) ** 600
        approximation = Fraction(math.isqrt(math.floor(scaled * 4**60)), 2**660)  # cut far below a unit
        exactly = approximation * approximation == value(x)
        cut = approximation if exactly else approximation + Fraction(1, 2**661)
        assert (result.v, flags.v) == expected(cut, False, mode, name), hex(x)


@pytest.mark.parametrize("name", FORMATS)
def test_round_single(name: str) -> None:
    rng = random.Random(name)
    cpu = Oracle()
    for _ in range(500):
        x, mode = finite(rng, False), rng.randrange(4)
        result, flags = sf.f64_round_single(cpu, Bits(x, 64), Bits(mode, 32))
        assert (result.v, flags.v) == expected(value(x), bool(x >> 63), mode, "r32"), hex(x)


@pytest.mark.parametrize("operation", ["nmadd", "nmsub"])
def test_negation_comes_after_rounding(operation: str) -> None:
    rng = random.Random(operation)
    cpu = Oracle()
    for _ in range(300):
        operands = [Bits(finite(rng, False), 64) for _ in range(3)]
        mode = Bits(rng.randrange(4), 32)
        plain, flags = getattr(sf, f"f64_{operation[1:]}")(cpu, *operands, mode)
        result, same = getattr(sf, f"f64_{operation}")(cpu, *operands, mode)
        assert (result.v ^ SIGN, same.v) == (plain.v, flags.v)


def test_fx_is_set_by_new_exceptions_only() -> None:
    cpu = Oracle()
    cpu.fpscr = sf.XX
    settle(cpu, Bits(sf.XX | sf.FI, 32), Bits(0x4000, 32))
    assert cpu.fpscr.v == sf.XX | sf.FI | 0x4000
    record(cpu, Bits(sf.UX, 32))
    assert cpu.fpscr.v == 1 << 31 | sf.UX | sf.XX | sf.FI | 0x4000


def test_denormal_singles_have_their_class() -> None:
    smallest, normal = 874 << 52, 897 << 52
    values = (smallest, normal, SIGN | smallest)
    assert [sf.r32_class(Bits(x, 64)).v for x in values] == [0x14000, 0x4000, 0x18000]
    assert sf.f64_class(Bits(smallest, 64)).v == 0x4000
