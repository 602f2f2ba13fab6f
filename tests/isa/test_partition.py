# SPDX-License-Identifier: GPL-2.0-only
"""What a partition has in part: counting atomics, copy and paste, event branches; what it is refused."""

from __future__ import annotations

import functools
import random

import pytest
from tests.isa.float_cases import defined_in
from tests.isa.harness import (
    BUFFER,
    Case,
    State,
    assemble,
    check,
    check_encodings,
    overlaps,
    random_state,
    registers,
    run_oracle,
)

from lpar.isa import accelerator, event_branch, refused, storage_atomic
from lpar.isa.oracle import MSR_PR, Interrupt, Oracle

BOTH = pytest.mark.parametrize("little", [True, False])


# -- atomics with a second value ---------------------------------------------------------------------


def neighbours(line: str, size: int, rng: random.Random, little: bool) -> Case:
    """A case at BUFFER + 16 whose storage and r7 hold few different values."""
    values = (0, 1, 2, (1 << 8 * size - 1), (1 << 8 * size) - 1)
    order = "little" if little else "big"
    cells = b"".join(rng.choice(values).to_bytes(size, order) for _ in range(64 // size))
    state = random_state(rng)
    state.gpr[4], state.gpr[7], state.memory = BUFFER + 16, rng.choice(values), cells
    return Case(assemble([line]), state, line)


@BOTH
def test_swap_not_equal(little: bool) -> None:
    rng = random.Random(1)
    lines = [("lwat 6, 4, 16", 4), ("ldat 6, 4, 16", 8), ("stwat 7, 4, 24", 4), ("stdat 7, 4, 24", 8)]
    check([neighbours(*line, rng, little) for line in lines for _ in range(40)], little=little)


@BOTH
@pytest.mark.parametrize("code", [24, 25])
def test_counting_up(code: int, little: bool) -> None:
    rng = random.Random(code)
    for line, size in (("lwat", 4), ("ldat", 8)):
        cases = [neighbours(f"{line} 6, 4, {code}", size, rng, little) for _ in range(40)]
        check(cases, little=little, adjust=functools.partial(with_result_of, size))


def with_result_of(size: int, state: State) -> State:
    """qemu 7.2 has one most negative number, of 32 bits with its sign extended, for all sizes."""
    if state.gpr[6] == 0xFFFFFFFF80000000:
        state.gpr[6] = 1 << 8 * size - 1
    return state


@pytest.mark.parametrize(
    ("bound", "old", "new", "result"), [(5, 6, 5, 6), (5, 5, 5, 1 << 31), (6, 0, 0xFFFFFFFF, 0)]
)
def test_counting_down_to_the_value_before(bound: int, old: int, new: int, result: int) -> None:
    """qemu 7.2 compares with the value behind."""
    memory = b"".join(x.to_bytes(4, "little") for x in (bound, old, 77))
    state = State(gpr=registers({4: BUFFER + 4}), memory=memory)
    after = run_oracle(Case(assemble(["lwat 6, 4, 28"]), state))
    assert (after.gpr[6], int.from_bytes(after.memory[4:8], "little")) == (result, new)


@pytest.mark.parametrize("line", ["lwat 6, 4, 9", "ldat 6, 4, 31", "stwat 6, 4, 8", "stdat 6, 4, 25"])
def test_no_such_function(line: str) -> None:
    state = State(gpr=registers({4: BUFFER}), memory=bytes(16))
    after = run_oracle(Case(assemble([line]), state))
    assert (after.fault, after.memory) == ("SIGSEGV", bytes(16))


# -- copy and paste ----------------------------------------------------------------------------------


def test_copies_cannot_be_pasted() -> None:
    words = assemble(["copy 0, 4", "paste. 0, 5"])
    state = State(gpr=registers({4: BUFFER, 5: BUFFER + 128}), memory=b"x" * 256)
    assert run_oracle(Case(words[:1], state)) == state
    after = run_oracle(Case(words, state))
    assert (after.fault, after.memory) == ("SIGSEGV", state.memory)
    state.gpr[4] += 8
    assert run_oracle(Case(words, state)).fault == "SIGBUS"


# -- event-based branches ----------------------------------------------------------------------------

GE, PME, PMEO = 1 << 63, 1 << 32, 1
FSCR_EBB = 1 << 7


def problem_state(fscr: int) -> Oracle:
    """An oracle at 0x1000 with an event handler at 0x2000 and a return address of 0x3000."""
    cpu = Oracle()
    cpu.fscr, cpu.ebbhr, cpu.ebbrr, cpu._pc = fscr, 0x2000, 0x3000, 0x1000
    return cpu


@pytest.mark.parametrize(
    ("s", "bescr", "pc", "after"),
    [
        (1, PME, 0x3000, GE | PME),
        (0, GE | PME, 0x3000, PME),
        (1, PME | PMEO, 0x2000, PME | PMEO),
        (0, PME | PMEO, 0x3000, PME | PMEO),
        (1, PMEO, 0x3000, GE | PMEO),
    ],
)
def test_rfebb(s: int, bescr: int, pc: int, after: int) -> None:
    cpu = problem_state(FSCR_EBB)
    cpu.bescr = bescr
    [word] = assemble([f"rfebb {s}"])
    cpu.execute(word)
    assert (cpu._pc, cpu.bescr.v) == (pc, after)


def test_bescr_is_set_and_reset_in_halves() -> None:
    cpu = problem_state(FSCR_EBB)
    cpu.gpr[3], cpu.gpr[4] = 1 << 31 | 1, 1
    steps = [("mtspr 801, 3", GE | PME), ("mtspr 800, 4", GE | PME | PMEO), ("mtspr 803, 4", GE | PMEO)]
    steps.append(("mtspr 802, 4", GE))
    for line, expected in steps:
        cpu.execute(*assemble([line]))
        assert cpu.bescr.v == expected, line
    cpu.execute(*assemble(["mfspr 5, 801"]))
    assert cpu.gpr[5].v == GE >> 32


@pytest.mark.parametrize(
    ("line", "cause"),
    [("rfebb 1", 7), ("mtspr 804, 3", 7), ("mfspr 3, 806", 7), ("mfbhrbe 3, 0", 4), ("clrbhrb", 4)],
)
def test_facilities_are_asked_of_problem_state_only(line: str, cause: int) -> None:
    cpu = problem_state(0)
    with pytest.raises(Interrupt) as found:
        cpu.execute(*assemble([line]))
    assert (found.value.kind, found.value.detail) == ("facility unavailable", cause)
    cpu.msr = cpu.msr & ~MSR_PR
    cpu.execute(*assemble([line]))


# -- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize("found", defined_in(refused), ids=lambda i: i.name)
@pytest.mark.parametrize("problem", [True, False])
def test_refused(found: object, problem: bool) -> None:
    cpu = problem_state(0)
    if not problem:
        cpu.msr = cpu.msr & ~MSR_PR
    with pytest.raises(Interrupt) as raised:
        cpu.execute(found.value)  # type: ignore[attr-defined]
    transactional = found.name[0] == "t"  # type: ignore[attr-defined]
    supervisor_only = found.name[:2] == "tr"  # type: ignore[attr-defined]
    if transactional and not (problem and supervisor_only):
        assert (raised.value.kind, raised.value.detail) == ("facility unavailable", 5)
    else:
        assert raised.value.kind == "program privileged"


OLDER = {"doze", "nap", "sleep", "rvwinkle"}  #: not in POWER10's table
OLDER |= {i.name for i in defined_in(refused) if i.name[0] == "t"}


def test_encodings() -> None:
    known = defined_in(accelerator, event_branch, storage_atomic, refused)
    plain = [i for i in known if i.name not in OLDER and i.body.__name__ != "no_such_function"]
    check_encodings(plain, given={"RT": 3, "RA0": 4, "RB": 5, "RT1": 4, "RT2": 5, "RA": 6})
    assert overlaps([i for i in known if i.body.__name__ != "no_such_function"]) == []
