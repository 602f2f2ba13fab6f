# SPDX-License-Identifier: GPL-2.0-only
"""dcbz zeroes 128 bytes, and makes the host give no memory to what is zero already."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.cpu.runner import CODE, TIERS, Bench

from lpar.testing.shell import resident

RAM, START, SIZE = 32 << 20, 8 << 20, 16 << 20
LOOP = ["mtctr 5", "dcbz 0, 4", "addi 4, 4, 128", "bdnz .-8"]


@pytest.fixture(params=TIERS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """With RAM that nobody has touched, and the loop in the tier."""
    tier = TIERS[request.param]
    made = Bench(RAM, units=tier.units)
    made.fill_vectors()
    if tier.start(made):
        made.execute(LOOP, msr=1 << 63 | 1, r4=START - 256, r5=2)
        if tier.install(made, CODE + 4):
            yield made
            made.close()
            return
    made.close()
    pytest.skip("this host has no such tier")


def test_zeros_stay_untouched(bench: Bench) -> None:
    before = resident(os.getpid())
    bench.execute(LOOP, msr=1 << 63 | 1, r4=START, r5=SIZE // 128)
    assert bench["r4"] == START + SIZE
    assert resident(os.getpid()) - before < SIZE // 8
    assert bench.memory.read(START, SIZE) == bytes(SIZE)


@pytest.mark.parametrize("at", [0, 1, 15, 64, 127])
def test_any_byte_is_cleared(bench: Bench, at: int) -> None:
    """And the blocks beside stay as they are."""
    bench.memory.fill(START - 128, 128 * 4, 0x5A)
    bench.memory.fill(START, 256, 0)
    bench.memory.write(START + 128 + at, b"\1")
    bench.execute(LOOP, msr=1 << 63 | 1, r4=START, r5=2)
    assert bench.memory.read(START - 128, 512) == b"\x5a" * 128 + bytes(256) + b"\x5a" * 128
