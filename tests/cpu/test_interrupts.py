# SPDX-License-Identifier: GPL-2.0-only
"""Interrupts, modes and privileged state of the interpreter (Power ISA 3.0B, Book III, chapters 3 to 6)."""

from __future__ import annotations

import itertools
import random

import pytest
from tests.cpu.runner import (
    DR,
    EE,
    FP,
    IR,
    LE,
    ME,
    PAGE_R,
    PAGE_W,
    PAGE_X,
    PR,
    RI,
    SC1,
    SF,
    TABLES,
    VEC,
    VSX,
    Bench,
    Radix,
)  # fmt: skip
from tests.isa.harness import CODE, assemble, random_word

from lpar.isa import system
from lpar.isa.registry import INSTRUCTIONS

LPCR_ILE, LPCR_AIL3, LPCR_AIL2 = 1 << 25, 3 << 23, 2 << 23
ILLEGAL, PRIVILEGED, TRAP = 1 << 19, 1 << 18, 1 << 17
ALL = SF | VEC | VSX | FP | ME | RI | LE
HIGH = 0xC000000000000000


def mapped(bench: Bench) -> Radix:
    """A tree in which CODE is mapped to itself for problem state, and 1 MiB at HIGH for privileged state."""
    radix = Radix(bench.memory, TABLES)
    for page in range(0, 0x20000, 0x1000):  # process 0 has one tree for both
        radix.map(HIGH + page, page, PAGE_R | PAGE_W | PAGE_X | 8)
    radix.map(CODE, CODE, PAGE_R | PAGE_W | PAGE_X)
    radix.use(bench.cpu)
    return radix


# -- what each interrupt leaves ---------------------------------------------------------------------

SYNCHRONOUS = [
    ("nop; .long 0", ALL, 0x700, ILLEGAL),
    ("nop; .long 0x58000000", ALL, 0x700, ILLEGAL),
    ("nop; tw 31,0,0", ALL, 0x700, TRAP),
    ("nop; tdi 31,0,0", ALL, 0x700, TRAP),
    ("nop; mfmsr 3", ALL | PR, 0x700, PRIVILEGED),
    ("nop; rfid", ALL | PR, 0x700, PRIVILEGED),
    ("nop; hrfid", ALL, 0x700, PRIVILEGED),
    ("nop; fadd 1,1,1", ALL & ~FP, 0x800, 0),
    ("nop; lfd 1,0(0)", ALL & ~FP, 0x800, 0),
    ("nop; vaddubm 1,1,1", ALL & ~VEC, 0xF20, 0),
    ("nop; xxlxor 1,1,1", ALL & ~VSX, 0xF40, 0),
    ("nop; mfspr 3,3", ALL | PR, 0xF60, 0),
    ("nop; scv 0", ALL, 0xF60, 0),
    ("nop; lwarx 3,0,4", ALL, 0x600, 0),
    ("nop; ldarx 3,0,4", ALL, 0x600, 0),
    ("nop; stdcx. 3,0,4", ALL, 0x600, 0),
    ("nop; ldat 6,4,0", ALL, 0x600, 0),
]


@pytest.mark.parametrize("little", [True, False], ids=["LE", "BE"])
@pytest.mark.parametrize("wide", [True, False], ids=["64", "32"])
@pytest.mark.parametrize(("text", "msr", "vector", "srr1"), SYNCHRONOUS)
def test_synchronous_interrupts(
    bench: Bench, text: str, msr: int, vector: int, srr1: int, little: bool, wide: bool
) -> None:
    msr = msr & ~(0 if little else LE) & ~(0 if wide else SF)
    assert bench.execute(text.split(";"), msr=msr, r4=0x4001) == vector
    assert bench["srr0"] == CODE + 4
    assert bench["srr1"] == msr & ~0x783F0000 | srr1
    assert bench["msr"] == SF | ME
    if vector == 0x600:
        assert bench["dar"] == 0x4001


def test_facility_unavailable_tells_which(bench: Bench) -> None:
    bench.execute(["mfspr 3,3"], msr=ALL | PR)
    assert bench["fscr"] >> 56 == 2
    bench.execute(["scv 0"])
    assert bench["fscr"] >> 56 == 12
    assert bench.execute(["mfspr 3,3"], msr=ALL | PR, fscr=4, dscr=7) == 0xC00
    assert bench["r3"] == 7


def test_system_call(bench: Bench) -> None:
    assert bench.execute(["sc"], msr=ALL) == 0xC00
    assert (bench["srr0"], bench["srr1"]) == (CODE + 4, ALL)


def test_hypercall_from_problem_state_is_a_system_call(bench: Bench) -> None:
    assert bench.execute([], msr=ALL | PR) == 0xC00
    assert bench["srr1"] == ALL | PR


@pytest.mark.parametrize("ile", [0, LPCR_ILE])
@pytest.mark.parametrize(("ail", "base"), [(0, 0), (LPCR_AIL2, 0x18000), (LPCR_AIL3, HIGH + 0x4000)])
def test_alternate_location_and_byte_order(bench: Bench, ile: int, ail: int, base: int) -> None:
    """AIL moves vectors only of interrupts taken with IR=DR=1, and keeps translation on then."""
    radix = mapped(bench)
    radix.map(0x18000, 0x18000, PAGE_R | PAGE_X | 8)
    for page in (0, 0x4000, 0x18000):
        bench.put_code(page, [SC1] * 1024, little=bool(ile))
    lpcr = bench["lpcr"] & ~(LPCR_ILE | LPCR_AIL3) | ile | ail
    new = SF | ME | (LE if ile else 0)
    assert bench.execute(["sc"], msr=ALL, lpcr=lpcr) == 0xC00
    assert bench["msr"] == new
    assert bench.execute(["sc"], msr=ALL | PR | EE | IR | DR, lpcr=lpcr) == base + 0xC00
    assert bench["msr"] == new | (IR | DR if ail else 0)
    assert bench.execute(["lwz 3,0(4)"], msr=ALL | IR | DR | PR | EE, lpcr=lpcr, r4=0x9000) == base + 0x300


@pytest.mark.parametrize("translated", [False, True])
def test_system_call_vectored_and_back(bench: Bench, translated: bool) -> None:
    mapped(bench).map(at := 0x5000, at, PAGE_R | PAGE_X)
    for page in (0x3000, 0x4000):
        bench.put_code(page, [SC1] * 1024, little=False)
    lpcr = bench["lpcr"] | (LPCR_AIL3 if translated else 0)
    msr = ALL | EE | (PR | IR | DR if translated else 0)
    vector = (0x3000 if translated else 0x17000) + 5 * 0x20
    base = HIGH if translated else 0
    regs = {"lpcr": lpcr, "fscr": 1 << 12, "r3": 1, "srr0": 11, "srr1": 12}
    assert bench.execute(["scv 5", "addi 3, 3, 1"], msr=msr, at=at, **regs) == base + vector
    assert (bench["lr"], bench["ctr"]) == (at + 4, msr)
    assert bench["msr"] == SF | ME | EE | RI | (IR | DR if translated else 0)
    assert (bench["srr0"], bench["srr1"]) == (11, 12)
    bench.put_code(vector, assemble(["rfscv"]), little=False)
    bench.cpu.set_reg("pc", base + vector)
    bench.go()
    assert bench["r3"] == 2


# -- privileged instructions ------------------------------------------------------------------------

PRIVILEGED_ONES = [i for i in INSTRUCTIONS if "PRIV" in i.needs]


def test_every_privileged_instruction_is_refused_in_problem_state(bench: Bench) -> None:
    assert len(PRIVILEGED_ONES) > 50
    rng = random.Random(1)
    for found in PRIVILEGED_ONES:
        word = random_word(found, rng)
        bench.start([f".long {word:#x}"], msr=ALL | PR, at=CODE)
        bench.put_code(CODE, [word], little=True)
        bench.go()
        assert (bench["pc"] - 4, bench["srr1"] & 0x1F0000) == (0x700, PRIVILEGED), found.name


@pytest.mark.parametrize("number", sorted(system.STORED))
def test_registers_keep_what_is_written(bench: Bench, number: int) -> None:
    lines = [f"mtspr {number}, 4", f"mfspr 5, {number}"]
    assert bench.execute(lines, r4=0x123456789ABCDEF0, r5=0) == CODE + 8
    assert bench["r5"] in (0x123456789ABCDEF0, 0x9ABCDEF0)


@pytest.mark.parametrize("number", [0, 4, 5, 6])
def test_some_register_numbers_are_illegal_even_to_the_kernel(bench: Bench, number: int) -> None:
    assert bench.execute([f"mfspr 3, {number}"]) == 0x700
    assert bench["srr1"] & ILLEGAL


@pytest.mark.parametrize(("number", "cause"), [(1000, ILLEGAL), (1008, PRIVILEGED), (318, PRIVILEGED)])
def test_unknown_registers(bench: Bench, number: int, cause: int) -> None:
    """No operation to the kernel; to a program illegal, or privileged where the number says so."""
    assert bench.execute([f"mfspr 3, {number}"], r3=5) == CODE + 4
    assert bench["r3"] == 5
    assert bench.execute([f"mtspr {number}, 3"], msr=ALL | PR) == 0x700
    assert bench["srr1"] & 0x1F0000 == cause


# -- modes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wide", "little", "problem"), [*itertools.product([0, SF], [0, LE], [0, PR])])
@pytest.mark.parametrize("source", [LE | SF, SF, LE, 0])
def test_rfid_to_every_mode(bench: Bench, source: int, wide: int, little: int, problem: int) -> None:
    """Its target runs in the new mode: byte order of code and data, width of addresses."""
    radix, target, data = mapped(bench), 0x4000, 0x5000
    for page in (target, data):
        radix.map(page, page, PAGE_R | PAGE_W | PAGE_X)
    code = assemble(["lwz 6, 0(5)", "add. 7, 8, 8"])
    bench.put_code(target, [*code, SC1], little=bool(little))
    bench.memory.write(data, bytes([1, 2, 3, 4]))
    srr1 = ME | RI | wide | little | problem
    regs = {"r5": data | (0 if wide else 7 << 32), "r8": 0x40000000, "srr1": srr1}
    bench.start(["rfid"], msr=source | ME, srr0=target | 3 | (0 if wide else 9 << 32), **regs)
    bench.go()
    assert bench["r6"] == int.from_bytes(bytes([1, 2, 3, 4]), "little" if little else "big")
    assert bench["r7"] == 0x80000000
    assert bench["cr"] >> 28 == (4 if wide else 8)
    if problem:
        assert bench["pc"] - 4 == 0xC00
        assert (bench["srr0"], bench["srr1"]) == (target + 12, srr1 | EE | IR | DR)
    else:
        assert (bench["pc"], bench["msr"]) == (target + 12, srr1)


def test_mtmsrd_changes_neither_byte_order_nor_machine_check(bench: Bench) -> None:
    bench.execute(["mtmsrd 3"], msr=SF | LE | ME, r3=SF | FP)
    assert bench["msr"] == SF | LE | ME | FP


def test_mtmsrd_with_l_changes_ee_and_ri_only(bench: Bench) -> None:
    bench.execute(["mtmsrd 3, 1"], msr=SF | LE | ME, r3=(1 << 64) - 1)
    assert bench["msr"] == SF | LE | ME | EE | RI


def test_mtmsr_keeps_the_high_half(bench: Bench) -> None:
    bench.execute(["mtmsr 3"], msr=SF | LE | ME, r3=FP | VEC)
    assert bench["msr"] == SF | LE | ME | FP | VEC


def test_hypervisor_state_cannot_be_reached(bench: Bench) -> None:
    hv = 1 << 60
    bench.execute(["mtmsrd 3", "mfmsr 4"], r3=hv | SF)
    assert not bench["r4"] & hv
    bench.start(["rfid"], msr=SF | LE, srr0=CODE + 4, srr1=hv | SF | LE)
    bench.go()
    assert not bench["msr"] & hv


# -- asynchronous interrupts ------------------------------------------------------------------------

SPIN = ["addi 3, 3, 1", "b .-4"]
ENABLE = {
    "mtmsrd": ["mtmsrd 4", "b ."],
    "mtmsrd_l": ["mtmsrd 4, 1", "b ."],
    "rfid": ["rfid", "b ."],
    "straight": ["mtmsrd 4, 1", *["nop"] * 60],
}


def test_decrementer_ends_a_loop(bench: Bench) -> None:
    assert bench.execute(["mtdec 4", *SPIN], msr=ALL | EE, r4=512 * 2000) == 0x900
    assert bench["srr0"] in (CODE + 4, CODE + 8)
    assert bench["srr1"] == ALL | EE


@pytest.mark.parametrize("how", ENABLE)
def test_a_masked_decrementer_waits_for_ee(bench: Bench, how: str) -> None:
    """It is delivered before the instruction behind the one that enables it."""
    lines = ["li 5, -1", "mtdec 5", "nop", *ENABLE[how]]
    srr0 = CODE + 16
    at = bench.execute(lines, msr=ALL, r4=ALL | EE, srr0=srr0, srr1=ALL | EE)
    assert (at, bench["srr0"]) == (0x900, srr0)


def test_writing_a_positive_decrementer_takes_the_exception_back(bench: Bench) -> None:
    lines = ["li 5, -1", "mtdec 5", "lis 5, 0x7fff", "mtdec 5", "mtmsrd 4, 1", "nop"]
    assert bench.execute(lines, msr=ALL, r4=EE | RI) == CODE + 24


def test_decrementer_counts_down_and_large_one_is_wide(bench: Bench) -> None:
    bench.execute(["mtdec 4", "mfdec 5", "mfdec 6"], r4=1 << 40)
    assert (1 << 40) > bench["r5"] >= bench["r6"] > (1 << 40) - 512_000_000
    bench.execute(["mtdec 4", "mfdec 5"], r4=5 << 32 | 1 << 30, lpcr=bench["lpcr"] & ~(1 << 17))
    assert (1 << 30) - 512_000_000 < bench["r5"] <= 1 << 30


@pytest.mark.parametrize("how", ENABLE)
def test_external_interrupt_waits_for_ee_and_is_a_level(bench: Bench, how: str) -> None:
    bench.cpu.set_external_interrupt(True)
    lines, regs = ["nop", "nop", "nop", *ENABLE[how]], {"srr0": CODE + 16, "srr1": ALL | EE}
    for _ in range(2):
        at = bench.execute(lines, msr=ALL, r4=ALL | EE, **regs)
        assert (at, bench["srr0"]) == (0x500, CODE + 16)
    bench.cpu.set_external_interrupt(False)
    assert bench.execute(["mtmsrd 4, 1", "nop"], msr=ALL, r4=EE | RI) == CODE + 8


def test_system_reset_needs_no_ee_and_comes_once(bench: Bench) -> None:
    bench.cpu.raise_system_reset()
    assert bench.execute(SPIN, msr=ALL) == 0x100
    assert bench["srr1"] & ALL == ALL
    assert bench.execute(["nop"], msr=ALL) == CODE + 4


def test_doorbell_to_itself(bench: Bench) -> None:
    lines = ["msgsndp 4", "mtmsrd 5, 1", "nop", "nop"]
    assert bench.execute(lines, msr=ALL, r4=5 << 27, r5=EE | RI) == 0xA00
    assert bench.execute(["mtmsrd 5, 1", "nop"], msr=ALL, r5=EE | RI) == CODE + 8


def test_a_doorbell_stays_in_its_core(bench: Bench) -> None:
    """The next vCPU is thread 0 of another core: it is no thread 1 of this one."""
    other = bench.engine.add_thread(1, 0)
    bench.execute(["msgsndp 4"], r4=5 << 27 | 1)
    assert other.state.get("pending") == 0


def test_a_cleared_doorbell_does_not_come(bench: Bench) -> None:
    lines = ["msgsndp 4", "msgclrp 4", "mtmsrd 5, 1", "nop", "nop"]
    assert bench.execute(lines, msr=ALL, r4=5 << 27, r5=EE | RI) == CODE + 20


def test_external_comes_before_the_decrementer(bench: Bench) -> None:
    bench.cpu.set_external_interrupt(True)
    lines = ["li 5, -1", "mtdec 5", "mtmsrd 4, 1", "b ."]
    assert bench.execute(lines, msr=ALL, r4=EE | RI) == 0x500
