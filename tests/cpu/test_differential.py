# SPDX-License-Identifier: GPL-2.0-only
"""The differential machinery itself: it runs what it says, and a wrong engine would be noticed."""

from __future__ import annotations

import dataclasses

import pytest
from tests.cpu import differential, runner
from tests.isa.harness import BUFFER, CODE, Case, State, assemble, compare, registers, run_oracle

MODES = [(little, wide) for little in (True, False) for wide in (True, False)]
IN_ALL_MODES = pytest.mark.parametrize(("little", "wide"), MODES)


@IN_ALL_MODES
def test_a_case_runs_in_each_mode(little: bool, wide: bool) -> None:
    words = assemble(["add 3, 4, 5", "stw 3, 0(6)", "mtlr 6", "fadd 1, 2, 2", "bl .+4", "mflr 7"])
    before = State(gpr=registers({4: 0xFFFFFFFF, 5: 0x22, 6: BUFFER}), memory=bytes(8))
    before.vsr[2] = 0x3FF0000000000000 << 64
    [after] = runner.run_engine([Case(words, before)], little=little, wide=wide)
    assert after.gpr[3] == 0x100000021
    assert after.memory == (0x21).to_bytes(4, "little" if little else "big") + bytes(4)
    assert after.vsr[1] >> 64 == 0x4000000000000000
    assert (after.gpr[7], after.fault) == (CODE + 20, "")
    assert compare(run_oracle(Case(words, before), little=little, wide=wide), after) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [("tw 31,3,3", "SIGTRAP"), (".long 0", "SIGILL"), ("mfmsr 3", "SIGILL"), ("lwz 3,0(0)", "SIGSEGV"),
     ("lwarx 3,0,4", "SIGBUS"), ("blr", "SIGSEGV")],
)  # fmt: skip
def test_interrupts_become_signals(line: str, fault: str) -> None:
    before = State(gpr=registers({4: BUFFER + 1}), lr=0x9000, memory=bytes(8))
    [after] = runner.run_engine([Case(assemble([line]), before)])
    assert after.fault == fault


def test_every_field_of_the_state_arrives_and_returns() -> None:
    before = State(
        gpr=list(range(1, 33)),
        vsr=[n << 64 | n + 1 for n in range(64)],
        cr=0x12345678,
        xer=0xE00C0055,
        lr=5,
        ctr=6,
        fpscr=0x3,
        vscr=0x10001,
        tar=9,
        memory=bytes(range(256)) * 20,
    )
    [after] = runner.run_engine([Case([0x60000000], before)])
    assert compare(before, after) == []


def test_an_endless_loop_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "WATCHDOG", 0.2)
    with pytest.raises(RuntimeError, match="exit"):
        runner.run_engine([Case(assemble(["b ."]), State())])


def test_a_wrong_engine_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One flipped bit in any register, in any mode, gives a report that holds the case."""
    case = Case(assemble(["add 3, 4, 5"]), State())
    right = runner.Cases.save

    def wrong(self: runner.Cases, which: Case) -> State:
        return dataclasses.replace(right(self, which), cr=1)

    monkeypatch.setattr(runner.Cases, "save", wrong)
    problems = differential.engine_problems(
        [case], [State()], little=True, cpu="power10", ignore=(), adjust=lambda s: s
    )
    modes = [p.split(": ")[0].removeprefix("interpreter, ") for p in problems]
    assert modes == ["LE", *(["units"] * runner.HAS_UNITS), "BE", "LE 32-bit", "BE 32-bit"]
    assert all("Case((0x7c642a14,), State(), '')" in p for p in problems)
