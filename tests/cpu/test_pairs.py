# SPDX-License-Identifier: GPL-2.0-only
"""Pairs of accesses as one stencil (lpar.cpu.pair): what the interpreter does, they do."""

from __future__ import annotations

import random

import pytest
from tests.cpu.differential import differing
from tests.cpu.runner import CODE, HAS_UNITS, LE, ME, ROOM, SF, Bench, assembled, run_engine
from tests.isa.harness import BUFFER, Case, assemble, random_state

from lpar.cpu.pair import LOADS, SIZES, STORES

pytestmark = pytest.mark.skipif(not HAS_UNITS, reason="stencils are for x86-64 hosts")
KERNEL = SF | ME | LE
UNITS = ROOM  #: of the bench


def access(rng: random.Random, kind: int) -> str:
    """A load or store of r6 to r9 by r4, or of r4 by itself, within a page's length of r4."""
    name = rng.choice(list(SIZES[kind]))
    register = rng.choice((4, 6, 7, 8, 9) if kind == LOADS else (4, 6, 7))
    near = rng.choice((8, 32, 2048, 30000))
    return f"{name} {register}, {rng.randrange(-near, near) & ~3}(4)"


def program(rng: random.Random) -> Case:
    """Some accesses in a row; r4 is anywhere in two pages or just outside."""
    kinds = [rng.choice((LOADS, STORES)) for _ in range(2)]
    lines = [access(rng, kinds[n // 3 % 2]) for n in range(6)]
    state = random_state(rng, memory=0x2000)
    anywhere, boundary = rng.randrange(0x2000), rng.randrange(0xF00, 0x1100)
    state.gpr[4] = BUFFER + rng.choice((0x1000, anywhere, boundary, -8, 0x1FF8))
    return Case(assemble(lines), state)


def test_random_accesses() -> None:
    """Also where one of two faults, where two pages have them, where the first loads the second's base."""
    rng = random.Random(5)
    cases = [program(rng) for _ in range(600)]
    wrong = differing("units", cases, run_engine(cases), run_engine(cases, tier="units"), ())
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n{wrong[0]}"


@pytest.mark.parametrize("lines", [["ld 6, 0(4)", "ld 7, 8(4)"], ["cmpwi 3, 5", "beq .+8"]])
def test_who_jumps_at_the_second(bench: Bench, lines: list[str]) -> None:
    """It runs alone, and from then on has code of its own."""
    bench.memory.write(0x8000, bytes(range(1, 17)))
    code = ["ld 10, 32(4)", "li 10, 0", *lines, "addi 5, 5, 1", "addi 5, 5, 2", "ba 0x100"]
    regs = {"r3": 5, "r4": 0x8000, "r5": 0, "r6": 0, "r7": 0, "cr": 0}
    bench.put_code(0x100, assembled("sc 1"), little=True)
    bench.execute(code, msr=KERNEL, at=0x5000, **regs)
    alone = bench.record(0x500C) >> 32
    assert bench.engine.code.base + alone == bench.engine.code.address("lp_alone")
    for _ in range(2):
        for name, value in {**regs, "pc": 0x500C, "msr": KERNEL}.items():
            bench.cpu.set_reg(name, value)
        bench.go()
        assert (bench["r5"], bench["r6"]) == (3, 0)
        assert bench["r7"] == (0x100F0E0D0C0B0A09 if lines[0].startswith("ld") else 0)
        assert bench.record(0x500C) >> 32 != alone


def test_a_store_to_the_second(bench: Bench) -> None:
    """The pair is forgotten with it."""
    bench.memory.write(0x8000, bytes(range(1, 17)))
    code = ["ld 6, 0(4)", "ld 7, 8(4)", "blr"]
    bench.put_code(0x6000, assembled(*code), little=True)
    call = ["mtctr 30", "bctrl"]
    bench.execute(call, msr=KERNEL, at=CODE, r4=0x8000, r30=0x6000)
    assert bench["r7"] == 0x100F0E0D0C0B0A09
    changed = assembled("ld 7, 0(4)")[0]
    bench.execute(["stw 8, 4(30)", "isync", *call], msr=KERNEL, at=CODE, r4=0x8000, r8=changed, r30=0x6000)
    assert bench["r7"] == 0x0807060504030201
