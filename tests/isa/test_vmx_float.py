# SPDX-License-Identifier: GPL-2.0-only
"""Vector floating point against qemu: exact, except the estimates, which keep the ISA's bounds."""

from __future__ import annotations

import math
import random
import struct

import pytest
from tests.isa.harness import Case, check, check_encodings, overlaps, random_state, random_word, run_oracle

from lpar.isa import vmx_float
from lpar.isa.registry import INSTRUCTIONS, Instruction

VSCR_NJ = 1 << 16
ESTIMATES = ("vrefp", "vrsqrtefp", "vexptefp", "vlogefp")
SPECIAL = (
    0, 0x80000000, 0x3F800000, 0xBF800000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC12345,
    0x7F812345, 0xFFA00001, 1, 0x80000001, 0x007FFFFF, 0x807FFFFF, 0x00800000, 0x80800000,
    0x00800001, 0x7F7FFFFF, 0xFF7FFFFF, 0x3F000000, 0x4F000000, 0xCF000000, 0x4F800000, 0xCF800000,
    0x4EFFFFFF, 0x3F7FFFFF, 0xBF000000, 0x40200000, 0x00FFFFFF,
)  # fmt: skip


def number(rng: random.Random) -> int:
    """A binary32: special, near one, a denormal or tiny one, or any."""
    kind = rng.randrange(5)
    if kind == 0:
        return rng.choice(SPECIAL)
    if kind == 1:
        return rng.getrandbits(1) << 31 | (127 + rng.randrange(-30, 40)) << 23 | rng.getrandbits(23)
    if kind == 2:
        return rng.getrandbits(1) << 31 | rng.getrandbits(25)
    if kind == 3:
        return (
            rng.getrandbits(1) << 31 | (127 + rng.randrange(-2, 3)) << 23 | rng.choice((0, 1, (1 << 23) - 1))
        )
    return rng.getrandbits(32)


def vector(elements: list[int]) -> int:
    """Four words as a register."""
    return int.from_bytes(struct.pack(">4I", *elements), "big")


def words(register: int) -> tuple[int, ...]:
    """The words of a register."""
    return struct.unpack(">4I", register.to_bytes(16, "big"))


def definitions() -> list[Instruction]:
    """All definitions of the file."""
    return [i for i in INSTRUCTIONS if i.body.__module__ == vmx_float.__name__]


def case(found: Instruction, rng: random.Random) -> Case:
    """Random fields and numbers; some registers alike."""
    state = random_state(rng)
    pool = [number(rng) for _ in range(6)]
    state.vsr = [0] * 32
    for _ in range(32):
        state.vsr.append(
            vector([rng.choice(pool) if rng.randrange(3) == 0 else number(rng) for _ in range(4)])
        )
    state.vscr = rng.choice((0, VSCR_NJ))
    return Case((random_word(found, rng),), state, found.name)


@pytest.mark.parametrize("found", [i for i in definitions() if i.name not in ESTIMATES], ids=lambda i: i.name)
def test_exact(found: Instruction) -> None:
    rng = random.Random(found.name)
    check([case(found, rng) for _ in range(250)])


def test_encodings() -> None:
    check_encodings(definitions())


def test_no_overlaps() -> None:
    assert overlaps(definitions()) == []


# -- estimates ---------------------------------------------------------------------------------------------


def as_float(x: int) -> float:
    """A binary32's value."""
    return struct.unpack(">f", struct.pack(">I", x))[0]


def estimate(name: str, x: int) -> int:
    """The first element of the estimate of ``x``, on the oracle."""
    found = next(i for i in definitions() if i.name == name)
    before = random_state(random.Random(1))
    before.vsr[32 + 3] = vector([x] * 4)
    return words(run_oracle(Case((found.value | 2 << 21 | 3 << 11,), before)).vsr[32 + 2])[0]


def positives(count: int) -> list[int]:
    """Positive normal numbers, small and large."""
    rng = random.Random(7)
    return [rng.randrange(1 << 23, 0xFF << 23) for _ in range(count)]


@pytest.mark.parametrize("x", positives(40))
def test_reciprocals(x: int) -> None:
    value = as_float(x)
    if 2.0**-126 < value < 2.0**126:
        assert as_float(estimate("vrefp", x)) == pytest.approx(1 / value, rel=1 / 4096)
    assert as_float(estimate("vrsqrtefp", x)) == pytest.approx(1 / math.sqrt(value), rel=1 / 4096)


@pytest.mark.parametrize("x", positives(40))
def test_logarithm(x: int) -> None:
    assert as_float(estimate("vlogefp", x)) == pytest.approx(math.log2(as_float(x)), abs=1 / 32)


def test_exponent() -> None:
    rng = random.Random(8)
    for _ in range(60):
        x = struct.unpack(">I", struct.pack(">f", rng.uniform(-126, 127)))[0]
        assert as_float(estimate("vexptefp", x)) == pytest.approx(2.0 ** as_float(x), rel=1 / 16)


@pytest.mark.parametrize("n", [-149, -140, -126, -1, 0, 1, 24, 127])
def test_whole_powers_are_exact(n: int) -> None:
    power = struct.unpack(">I", struct.pack(">f", 2.0**n))[0]
    whole = struct.unpack(">I", struct.pack(">f", float(n)))[0]
    assert estimate("vexptefp", whole) == power
    assert estimate("vlogefp", power) == whole


INF, MINUS_INF, MINUS_ZERO, NAN, SNAN, QUIETED = (
    0x7F800000,
    0xFF800000,
    1 << 31,
    0x7FC00000,
    0x7F800001,
    0x7FC00001,
)
ONE, MINUS_ONE = 0x3F800000, 0xBF800000
BIG, MINUS_BIG = 0x43000000, 0xC3170000  # 128 and -151
SPECIAL_ESTIMATES = {
    "vrefp": {0: INF, MINUS_ZERO: MINUS_INF, INF: 0, MINUS_INF: MINUS_ZERO, SNAN: QUIETED},
    "vrsqrtefp": {0: INF, MINUS_ZERO: MINUS_INF, INF: 0, MINUS_ONE: NAN, SNAN: QUIETED},
    "vexptefp": {
        0: ONE,
        MINUS_ZERO: ONE,
        INF: INF,
        MINUS_INF: 0,
        SNAN: QUIETED,
        BIG: INF,
        MINUS_BIG: 0,
        1: ONE,
    },
    "vlogefp": {0: MINUS_INF, MINUS_ZERO: MINUS_INF, INF: INF, MINUS_ONE: NAN, MINUS_INF: NAN, SNAN: QUIETED},
}


@pytest.mark.parametrize("name", ESTIMATES)
def test_special_estimates(name: str) -> None:
    assert {x: estimate(name, x) for x in SPECIAL_ESTIMATES[name]} == SPECIAL_ESTIMATES[name]
