# SPDX-License-Identifier: GPL-2.0-only
"""Quad precision against qemu: results and the whole FPSCR; encodings against binutils."""

from __future__ import annotations

import random

import pytest
from tests.isa.float_cases import QUADS, check_instruction, defined_in, quad
from tests.isa.harness import check_encodings, overlaps

from lpar.isa import float_quad
from lpar.isa import softfloat_quad as sfq
from lpar.isa.oracle import Oracle
from lpar.isa.registry import Instruction
from lpar.isa.values import Bits

ALL = defined_in(float_quad)


def _name(found: Instruction) -> str:
    return f"{found.name}"


@pytest.mark.parametrize("found", [i for i in ALL if i.name != "xsnmsubqpo"], ids=_name)
def test_quad(found: Instruction) -> None:
    check_instruction(found, 100)


@pytest.mark.parametrize("name", ["madd", "msub"])
def test_negation_comes_after_rounding(name: str) -> None:
    """Also the judge of xsnmsubqpo, which qemu 7.2 does not round to odd."""
    rng = random.Random(name)
    cpu = Oracle()
    for _ in range(200):
        operands = [Bits(quad(rng), 128) for _ in range(3)]
        mode = Bits(rng.choice((0, 1, 2, 3, sfq.ODD)), 32)
        plain, flags = getattr(sfq, f"f128_{name}")(cpu, *operands, mode)
        result, same = getattr(sfq, f"f128_n{name}")(cpu, *operands, mode)
        flip = 0 if sfq.is_nan(plain) else sfq.SIGN
        assert (result.v ^ flip, same.v) == (plain.v, flags.v)


def test_doubles_survive_the_way_to_quad_and_back() -> None:
    cpu = Oracle()
    for x in (0, 1, (1 << 52) - 1, 1 << 52, (0x7FF << 52) - 1, 0x7FF << 52, 0x3FF123456789ABCD, 1 << 63 | 9):
        wide, flags = sfq.f64_to_f128(cpu, Bits(x, 64))
        back, more = sfq.f128_to_f64(cpu, wide, Bits(0, 32))
        assert (back.v, flags.v, more.v) == (x, 0, 0)


def test_encodings() -> None:
    assert len(QUADS) == len(set(QUADS))
    check_encodings(ALL)
    assert overlaps(ALL) == []
