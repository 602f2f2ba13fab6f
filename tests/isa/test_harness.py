# SPDX-License-Identifier: GPL-2.0-only
"""The harness itself: what goes in comes out, and every register belongs to the case."""

from __future__ import annotations

import random

import pytest
from tests.isa.harness import BUFFER, CODE, NOP, Case, assemble, compare, disassemble, random_state, run_qemu


@pytest.mark.parametrize("little", [True, False])
def test_state_survives_a_nop(little: bool) -> None:
    rng = random.Random(1)
    cases = [Case((NOP,), random_state(rng, memory=4096, vsr=True)) for _ in range(50)]
    for case in cases:
        case.before.vscr = 0x10001
        case.before.fpscr = 0xF2
        case.before.tar = 0x1234567890
    for case, after in zip(cases, run_qemu(cases, little=little), strict=True):
        assert compare(case.before, after) == []


def test_faults_are_told_and_do_not_end_the_run() -> None:
    state = random_state(random.Random(2), memory=16)
    words = [*assemble(["trap", ".long 0", "ld 3, 0(5)", "lwarx 3, 0, 4"]), NOP]
    state.gpr[4], state.gpr[5] = BUFFER + 1, 0x10000000
    after = run_qemu([Case((w,), state) for w in words])
    assert [s.fault for s in after] == ["SIGTRAP", "SIGILL", "SIGSEGV", "SIGBUS", ""]
    for s in after:
        assert compare(state, s, ignore=["fault"]) == []


def test_code_lies_where_it_is_said_to() -> None:
    before = random_state(random.Random(3))
    [after] = run_qemu([Case(assemble(["bl .+4", "mflr 3"]), before)])
    assert after.lr == after.gpr[3] == CODE + 4


def test_assemble_and_disassemble() -> None:
    assert assemble(["add 3, 4, 5"]) == [0x7C642A14]
    assert disassemble([0x7C642A14, NOP]) == ["add     r3,r4,r5", "ori     r0,r0,0"]
