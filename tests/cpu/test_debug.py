# SPDX-License-Identifier: GPL-2.0-only
"""Trace interrupts (MSR[SE], MSR[BE], CIABR) and watchpoints (DAWR0, DAWR1), beside the fast tiers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.cpu.runner import (
    DR,
    FP,
    HAS_UNITS,
    IR,
    LE,
    ME,
    PAGE_PRIV,
    PAGE_R,
    PAGE_W,
    PAGE_X,
    PR,
    RI,
    ROOM,
    SC1,
    SF,
    TABLES,
    VEC,
    VSX,
    Bench,
    Radix,
    assembled,
)

SE, BE = 0x400, 0x200
PLAIN = SF | ME | RI | LE | FP | VEC | VSX
CODE = 0x5000
DATA = 0x9000
TRACE, MATCHED, PREFIXED = 1 << 30, 1 << 20, 1 << 29
WATCHED, STORE = 0x00400000, 0x02000000
USER, KERNEL, WTI, WT, READ, WRITE = 1, 2, 8, 16, 32, 64
LINES = ("nop", "li 3,1", "b .+8", "nop", "li 4,2", "pli 5,77", "cmpdi 5,77", "bne .+8", "bl .+4", "mflr 6")


@pytest.fixture(params=[0, ROOM], ids=["interpreter", "units"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param and not HAS_UNITS:
        pytest.skip("no units here")
    made = Bench(units=request.param)
    made.fill_vectors()
    yield made
    made.close()


def steps(bench: Bench, lines: tuple[str, ...], msr: int) -> list[tuple[int, int, int]]:
    """(traced instruction, next one, SRR1's cause) of each trace interrupt until the code's end."""
    bench.put_code(CODE, [*assembled(*lines), SC1], little=True)
    bench.execute(["rfid"], srr0=CODE, srr1=PLAIN)  # so that the tier has it
    for n in (3, 4, 5, 6):
        bench.cpu.set_reg(f"r{n}", 0)
    seen, pc = [], CODE
    while bench.execute(["rfid"], srr0=pc, srr1=msr) == 0xD00:
        pc = bench["srr0"]
        seen.append((bench["siar"] - CODE, pc - CODE, bench["srr1"] & 0x783F0000))
        assert bench["srr1"] & ~0x783F0000 == msr
        assert len(seen) < 100
    return seen


def test_single_step(bench: Bench) -> None:
    seen = steps(bench, LINES, PLAIN | SE)
    there = [0, 4, 8, 16, 20, 28, 32, 36, 40]
    prefixed = {20: PREFIXED}
    assert seen == [(a, b, TRACE | prefixed.get(a, 0)) for a, b in zip(there, [*there[1:], 44], strict=True)]
    assert [bench[f"r{n}"] for n in (3, 4, 5, 6)] == [1, 2, 77, CODE + 40]


def test_branch_trace(bench: Bench) -> None:
    """Branches, taken or not."""
    assert steps(bench, LINES, PLAIN | BE) == [(8, 16, TRACE), (32, 36, TRACE), (36, 40, TRACE)]


def test_instruction_breakpoint(bench: Bench) -> None:
    bench.cpu.set_reg("ciabr", CODE + 32 | 2)
    assert steps(bench, LINES, PLAIN) == [(32, 36, TRACE | MATCHED)]
    bench.cpu.set_reg("ciabr", CODE + 32 | 1)  # problem state only
    assert steps(bench, LINES, PLAIN) == []
    bench.cpu.set_reg("ciabr", 0)


def test_what_is_not_traced(bench: Bench) -> None:
    """An instruction that is interrupted; system calls; rfid."""
    bench.put_code(CODE, [*assembled("trap"), SC1], little=True)
    end = bench.execute(["rfid"], srr0=CODE, srr1=PLAIN | SE)
    assert (end, bench["srr0"]) == (0x700, CODE)
    bench.put_code(CODE, [*assembled("sc"), SC1], little=True)
    assert bench.execute(["rfid"], srr0=CODE, srr1=PLAIN | SE) == 0xC00
    bench.put_code(CODE, [*assembled("nop"), SC1], little=True)
    assert bench.execute(["rfid"], msr=PLAIN | SE, srr0=CODE, srr1=PLAIN | SE) == 0xD00
    assert (bench["siar"], bench["srr0"]) == (CODE, CODE + 4)


def test_mtmsrd_is_traced_by_the_bit_it_began_with(bench: Bench) -> None:
    end = bench.execute(["mtmsrd 7", "nop"], msr=PLAIN, r7=PLAIN | SE)
    assert (end, bench["srr0"]) == (0xD00, 0x3008)
    bench.put_code(CODE, [*assembled("mtmsrd 7", "nop"), SC1], little=True)
    assert bench.execute(["rfid"], srr0=CODE, srr1=PLAIN | SE, r7=PLAIN) == 0xD00
    assert (bench["srr0"], bench["srr1"]) == (CODE + 4, PLAIN | TRACE)


def watch(bench: Bench, start: int, control: int, number: int = 0) -> None:
    bench.cpu.set_reg(f"dawr{number}", start)
    bench.cpu.set_reg(f"dawrx{number}", control)


@pytest.mark.parametrize(
    ("line", "dsisr"),
    [
        ("ld 3,0(7)", WATCHED),
        ("std 3,0(7)", WATCHED | STORE),
        ("lwz 3,-2(7)", WATCHED),
        ("lxvd2x 3,0,7", WATCHED),
        ("dcbz 0,7", WATCHED | STORE),
        ("stdcx. 3,0,7", WATCHED | STORE),
        ("std 3,8(7)", 0),
        ("lbz 3,-1(7)", 0),
    ],
)
def test_watchpoint(bench: Bench, line: str, dsisr: int) -> None:
    bench.execute([line], msr=PLAIN, r7=DATA)  # tags are there
    watch(bench, DATA, READ | WRITE | KERNEL | WTI)
    end = bench.execute([line], msr=PLAIN, r7=DATA, r3=5, dar=0, dsisr=0)
    assert (end, bench["dar"], bench["dsisr"]) == ((0x300, DATA, dsisr) if dsisr else (0x3004, 0, 0))
    watch(bench, DATA, 0)
    assert bench.execute([line], msr=PLAIN, r7=DATA) == 0x3004


def test_watchpoint_asks_for_kind_length_and_translation(bench: Bench) -> None:
    def hit(line: str, at: int, msr: int = PLAIN) -> bool:
        return bench.execute([line], msr=msr, r7=at) == 0x300

    watch(bench, DATA, READ | KERNEL | WTI | 3 << 10)
    assert [hit("lbz 3,0(7)", DATA + n) for n in (-1, 0, 31, 32)] == [False, True, True, False]
    assert not hit("stb 3,0(7)", DATA)
    watch(bench, DATA, READ | USER | WTI)
    assert not hit("lbz 3,0(7)", DATA)
    watch(bench, DATA, READ | KERNEL | WT)
    assert not hit("lbz 3,0(7)", DATA)
    watch(bench, DATA, READ | KERNEL)
    assert hit("lbz 3,0(7)", DATA)
    watch(bench, DATA, 0)
    watch(bench, DATA + 0xFF8, WRITE | KERNEL | WTI, number=1)
    assert hit("std 3,0(7)", DATA + 0xFFC)
    assert not hit("std 3,0(7)", DATA + 0x1000)


def test_watchpoint_in_problem_state_across_a_page(bench: Bench) -> None:
    """Translated; the second page of a store is watched, and nothing is stored."""
    radix = Radix(bench.memory, TABLES)
    radix.map(CODE, CODE, PAGE_R | PAGE_X)
    radix.map(DATA, DATA, PAGE_R | PAGE_W)
    radix.map(DATA + 0x1000, 0xB000, PAGE_R | PAGE_W)
    radix.map(0x3000, 0x3000, PAGE_R | PAGE_X | PAGE_PRIV)
    radix.use(bench.cpu)
    watch(bench, DATA + 0x1000, WRITE | USER | WT)
    bench.put_code(CODE, [*assembled("std 3,-4(7)", "std 3,-8(7)", "sc"), SC1], little=True)
    regs = {"r3": 0x1122334455667788, "r7": DATA + 0x1000}
    user = PLAIN | PR | IR | DR | 1 << 15
    assert bench.execute(["rfid"], srr0=CODE, srr1=user, **regs) == 0x300
    assert (bench["srr0"], bench["dar"], bench["dsisr"]) == (CODE, DATA + 0x1000, WATCHED | STORE)
    assert bench.memory.read_u64(DATA + 0xFF8) == 0
    assert bench.execute(["rfid"], srr0=CODE + 4, srr1=user, **regs) == 0xC00
    assert bench.memory.read_u64(DATA + 0xFF8) != 0
