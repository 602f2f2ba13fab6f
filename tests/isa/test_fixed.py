# SPDX-License-Identifier: GPL-2.0-only
"""Fixed-point instructions against qemu: random fields, special values, both XER and CR compared."""

from __future__ import annotations

import inspect
from dataclasses import replace

import pytest
from tests.isa.harness import Case, State, check, fuzz, run_oracle, with_gpr

from lpar.isa import (
    condition,
    fixed_arithmetic,
    fixed_bits,
    fixed_compare,
    fixed_decimal,
    fixed_logical,
    fixed_multiply,
    fixed_rotate,
)
from lpar.isa.registry import INSTRUCTIONS

MODULES = (
    condition,
    fixed_arithmetic,
    fixed_bits,
    fixed_compare,
    fixed_decimal,
    fixed_logical,
    fixed_multiply,
    fixed_rotate,
)
NAMES = [i.name for i in INSTRUCTIONS if inspect.getmodule(i.body) in MODULES]
#: RT is undefined when the quotient does not exist or does not fit, and CR0 with it
DIVISIONS = [n for n in NAMES if n.startswith("div")]


def one_field(case: Case) -> Case:
    """With one CR field selected, as mfocrf and mtocrf want it."""
    [word] = case.words
    return replace(case, words=((word & ~(0xFF << 12)) | 1 << (12 + word % 8),))


def decimal(case: Case) -> Case:
    """With decimal digits in r3, its only operand."""
    digits = int("".join(str(int(d, 16) % 10) for d in f"{case.before.gpr[3]:016x}"), 16)
    return with_gpr(case, {3: digits})


def test_random_cases() -> None:
    cases = []
    for name in NAMES:
        if name not in (*DIVISIONS, "cbcdtd"):
            made = fuzz(name, 120)
            cases += map(one_field, made) if "ocrf" in name else made
    check(cases)


def test_decimal_digits_to_declets() -> None:
    check([decimal(c) for c in fuzz("cbcdtd", 600, RS=3)])


def without_undefined(after: State) -> State:
    """A division that overflowed leaves RT and all of CR0 but SO undefined; OV tells."""
    if after.xer >> 30 & 1:
        return replace(after, gpr=[*after.gpr[:3], 0, *after.gpr[4:]], cr=after.cr & 0x1FFFFFFF)
    return after


def signed(x: int) -> int:
    """A doubleword as a signed number."""
    return x - (1 << 64) if x >> 63 else x


def fits_divde(case: Case) -> bool:
    """Whether a quotient of divde fits; qemu 7.2 misses some that do not."""
    [word] = case.words
    a, b = (signed(case.before.gpr[word >> at & 31]) for at in (16, 11))
    quotient = abs(a << 64) // abs(b) if b else 1 << 64
    return quotient < 1 << 63 or (quotient == 1 << 63 and (a < 0) != (b < 0))


@pytest.mark.parametrize("name", DIVISIONS)
def test_divisions(name: str) -> None:
    cases = fuzz(name, 400, RT=3, OE=1)
    for case in cases:
        case.before.xer &= ~(1 << 30)
    check([c for c in cases if name != "divde{o}{.}" or fits_divde(c)], adjust=without_undefined)


def test_divde_tells_overflow() -> None:
    cases = [c for c in fuzz("divde{o}{.}", 300, RT=3, OE=1) if not fits_divde(c)]
    assert len(cases) > 50
    for case in cases:
        assert run_oracle(case).xer & 0xC0080000 == 0xC0080000


@pytest.mark.parametrize("name", DIVISIONS)
def test_divisions_without_overflow_leave_it_alone(name: str) -> None:
    cases = [replace(c, before=replace(c.before, xer=0)) for c in fuzz(name, 100, RT=3, OE=0)]
    check(cases, ignore=["gpr", "cr"])
