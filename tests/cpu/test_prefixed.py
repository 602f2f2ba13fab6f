# SPDX-License-Identifier: GPL-2.0-only
"""Prefixed instructions on the interpreter: interrupts, boundaries, code that changes.  What they compute is
compared with the oracle and qemu in ``tests.isa.test_vsx_prefixed``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from tests.cpu.runner import FP, FSCR, LE, LPCR_HR, PR, SC1, SF, Bench

from lpar.cpu import layout

CODE, DATA, RAM = 0x10000, 0x20000, 1 << 20
PREFIXED, BOUNDARY, ILLEGAL = 1 << 29, 1 << 28, 1 << 19
MLS, LS8 = 0x06000000, 0x04000000
PLI_3 = (MLS, 0x38600000)  #: pli 3, 0; both words take a part of the immediate
PNOP = (0x07000000, 0)
BOTH_ORDERS = pytest.mark.parametrize("little", [True, False])


def pli_3(value: int) -> tuple[int, int]:
    """``pli 3, value``."""
    return PLI_3[0] | value >> 16 & 0x3FFFF, PLI_3[1] | value & 0xFFFF


@pytest.fixture(params=["POWER10"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(RAM, request.param)
    made.fill_vectors()
    made.thread.state.set("fscr", FSCR)
    yield made
    made.close()


def run(
    bench: Bench, words: Sequence[int], *, at: int = CODE, little: bool = True, msr: int = SF | PR
) -> int:
    """Run ``words`` and then ``sc 1``, in real mode; gives the interrupt's vector (0xC00: the end)."""
    bench.put_code(at, [*words, SC1], little=little)
    return go_on(bench, at, msr | LE * little)


def go_on(bench: Bench, at: int, msr: int = SF | PR | LE) -> int:
    """Run from ``at`` to the next interrupt; gives its vector."""
    bench.thread.state.set("msr", msr)
    bench.thread.state.set("pc", at)
    assert bench.run() == layout.EXIT_HCALL
    return bench.thread.state.get("pc") - 4


def gpr3(bench: Bench) -> int:
    return bench.thread.state.get("gpr", 3)


def cause(bench: Bench) -> tuple[int, int]:
    """SRR0, and SRR1[33:36 42:47]."""
    return bench.thread.state.get("srr0"), bench.thread.state.get("srr1") & 0x783F0000


@BOTH_ORDERS
def test_runs_and_goes_on_behind_the_suffix(bench: Bench, little: bool) -> None:
    assert run(bench, [*pli_3(0x123456789), *PNOP, 0x38630001], little=little) == 0xC00
    assert gpr3(bench) == 0x12345678A
    assert bench.thread.state.get("srr0") == CODE + 24


@BOTH_ORDERS
def test_the_last_word_of_a_block_is_an_alignment_interrupt(bench: Bench, little: bool) -> None:
    at = CODE + 60
    assert run(bench, pli_3(1), at=at, little=little) == 0x600
    assert cause(bench) == (at, PREFIXED | BOUNDARY)
    assert bench.thread.state.get("dar") == at


def test_the_last_word_of_memory(bench: Bench) -> None:
    """Nothing behind it is looked at."""
    bench.put_code(RAM - 4, [MLS], little=True)
    assert go_on(bench, RAM - 4) == 0x600


@pytest.mark.parametrize("at", [CODE + 56, CODE + 0x1000 - 8])
def test_the_last_pair_of_a_block_and_of_a_page(bench: Bench, at: int) -> None:
    assert run(bench, [*pli_3(77), 0x38630001], at=at) == 0xC00
    assert gpr3(bench) == 78


def test_fscr_refuses_problem_state(bench: Bench) -> None:
    state = bench.thread.state
    state.set("fscr", 1 << 8)
    assert run(bench, pli_3(5)) == 0xF60
    assert cause(bench) == (CODE, PREFIXED)
    assert state.get("fscr") == 13 << 56 | 1 << 8
    assert run(bench, pli_3(6), msr=SF) == CODE + 8, "privileged: sc 1 is a hypercall"
    assert gpr3(bench) == 6


@pytest.mark.parametrize("bench", ["POWER8", "POWER9"], indirect=True)
def test_older_processors_know_none(bench: Bench) -> None:
    assert run(bench, pli_3(5)) == 0x700
    assert cause(bench) == (CODE, ILLEGAL)


@pytest.mark.parametrize(
    "words",
    [(0x04000000, 0), (0x06100000, 0x38640001), (0x07800000, 0), (MLS, 0x60000000), (0x05000000, 0x38600000)],
)
def test_undefined_pairs_are_illegal(bench: Bench, words: tuple[int, int]) -> None:
    """Suffix of zeros, R=1 with RA, reserved types, no such suffix."""
    assert run(bench, words) == 0x700
    assert cause(bench) == (CODE, ILLEGAL | PREFIXED)
    assert bench.thread.state.get("last_illegal") == words[0]


def test_interrupts_tell_that_a_prefixed_instruction_caused_them(bench: Bench) -> None:
    plfd = (MLS | DATA >> 16, 0xC8200000)
    assert run(bench, plfd) == 0x800
    assert cause(bench) == (CODE, PREFIXED)
    assert run(bench, plfd, msr=SF | PR | FP) == 0xC00
    assert cause(bench) == (CODE + 12, 0)


def test_a_storage_interrupt_tells_it_too(bench: Bench) -> None:
    bench.thread.state.set("prtb_size", 0)
    bench.thread.state.set("lpcr", bench.thread.state.get("lpcr") | LPCR_HR)  # no table: every access faults
    assert run(bench, (LS8, 0xE4640000 | 8), msr=SF | PR | 1 << 4) == 0x300
    assert cause(bench) == (CODE, PREFIXED)
    assert run(bench, (0xE8640008,), msr=SF | PR | 1 << 4) == 0x300
    assert cause(bench) == (CODE, 0)


def test_outside_memory_the_machine_answers(bench: Bench) -> None:
    words = (LS8 | 0x10000, 0xE4640000)  # pld 3, 0x100000000(4)
    bench.thread.state.set("gpr", 0x3F00 << 32, 4)
    bench.put_code(CODE, [*words, SC1], little=True)
    bench.thread.state.set("msr", SF | PR | LE)
    bench.thread.state.set("pc", CODE)
    assert bench.run() == layout.EXIT_MMIO_READ
    assert bench.thread.state.get("exit_addr") == 0x3F01 << 32
    bench.thread.state.set("mmio_value", 0x0102030405060708)
    bench.thread.state.set("mmio_ready", 1)
    assert bench.run() == layout.EXIT_HCALL
    assert (gpr3(bench), bench.thread.state.get("srr0")) == (0x0807060504030201, CODE + 12)


def test_who_jumps_at_the_suffix_runs_it_alone(bench: Bench) -> None:
    assert run(bench, pli_3(0x30004)) == 0xC00
    assert gpr3(bench) == 0x30004
    assert go_on(bench, CODE + 4) == 0xC00
    assert gpr3(bench) == 4
    assert go_on(bench, CODE) == 0xC00
    assert gpr3(bench) == 0x30004


@pytest.mark.parametrize("offset", [0, 4])
@pytest.mark.parametrize("between", [0, 4])
def test_code_that_changes_itself(bench: Bench, offset: int, between: int) -> None:
    """``stw 5, offset(4)`` over a pair that ran, of which perhaps the suffix ran alone as well."""
    state = bench.thread.state
    store = DATA
    bench.put_code(store, [0x90A40000 | offset, SC1], little=True)
    assert run(bench, pli_3(0x10002)) == 0xC00
    go_on(bench, CODE + between)
    state.set("gpr", CODE, 4)
    state.set("gpr", pli_3(0x50006)[offset // 4], 5)
    assert go_on(bench, store) == 0xC00
    assert go_on(bench, CODE) == 0xC00
    assert gpr3(bench) == (0x10006 if offset else 0x50002)


def test_a_new_suffix_that_ran_alone_first(bench: Bench) -> None:
    """Its record holds the new word by then; the pair's handler must be found anew all the same."""
    state = bench.thread.state
    bench.put_code(DATA, [0x90A40004, SC1], little=True)
    assert run(bench, pli_3(0x10002)) == 0xC00
    state.set("gpr", CODE, 4)
    state.set("gpr", 0x38640003, 5)  # the suffix of paddi 3, 4, 0x10003, and addi 3, 4, 3
    assert go_on(bench, DATA) == 0xC00
    assert go_on(bench, CODE + 4) == 0xC00
    assert gpr3(bench) == CODE + 3
    assert go_on(bench, CODE) == 0xC00
    assert gpr3(bench) == CODE + 0x10003


def test_code_that_changes_all_the_time(bench: Bench) -> None:
    """More stores to a page than it takes to be held for data: its records are wiped as a whole."""
    state = bench.thread.state
    bench.put_code(DATA, [0x90A40004, SC1], little=True)
    assert run(bench, pli_3(0)) == 0xC00
    state.set("gpr", CODE, 4)
    for n in range(100):
        state.set("gpr", pli_3(n)[1], 5)
        assert go_on(bench, DATA) == 0xC00
        assert go_on(bench, CODE) == 0xC00
        assert gpr3(bench) == n


def test_in_compiled_code(bench: Bench) -> None:
    """A loop over every kind of access is compiled, goes on there, and leaves it for MMIO."""
    if not bench.start_jit():
        pytest.skip("no compiled tier on this host")
    state = bench.thread.state
    count = 30_000
    loop = [*pli_3(0x30007), 0x7C633214]  # pli 3, 0x30007; add 3, 3, 6
    loop += [LS8 | 1, 0xF4640000, LS8 | 1, 0xE4C40000]  # pstd 3, 0x10000(4); pld 6, 0x10000(4)
    loop += [0x42000000 | -4 * len(loop) & 0xFFFC]  # bdnz
    state.set("gpr", DATA - 0x10000, 4)
    state.set("gpr", 0, 6)
    state.set("ctr", count // 2)
    assert run(bench, loop) == 0xC00
    assert bench.compile(CODE)
    state.set("ctr", count - count // 2)
    assert go_on(bench, CODE) == 0xC00
    total = count * 0x30007
    assert (state.get("gpr", 6), bench.memory.read(DATA, 8)) == (total, total.to_bytes(8, "little"))
    state.set("gpr", RAM - 0x10000, 4)  # as MMIO this leaves in the middle of the loop
    state.set("ctr", 2)
    state.set("msr", SF | PR | LE)
    state.set("pc", CODE)
    assert bench.run() == layout.EXIT_MMIO_WRITE
    assert (state.get("exit_addr"), state.get("pc")) == (RAM, CODE + 12)
