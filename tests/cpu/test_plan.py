# SPDX-License-Identifier: GPL-2.0-only
"""What a region is made of."""

from __future__ import annotations

import pytest
from tests.cpu.runner import LE, ME, SF, Bench
from tests.isa.harness import assemble

from lpar.cpu import plan
from lpar.cpu.decoder import Decoder
from lpar.cpu.plan import Plan, cases_of, discover, worthwhile

CODE = 0x8000


def planned(*lines: str, entry: int = 0) -> Plan:
    """The plan for a program all of whose instructions were executed."""
    words = dict(enumerate(assemble(list(lines))))
    return discover(entry, words.get, Decoder(300))


def test_a_loop_is_kept_without_its_ways_out() -> None:
    made = planned("addi 3, 3, 1", "cmpdi 3, 9", "beq .+12", "bdnz .-12", "nop", "addi 4, 4, 1", "blr")
    assert sorted(made.code) == [0, 1, 2, 3]
    assert worthwhile(made)


def test_a_call_inside_a_loop_is_kept() -> None:
    made = planned("bl .+16", "bdnz .-4", "nop", "b .-4", "addi 3, 3, 1", "blr")
    assert sorted(made.code) == [0, 1, 4, 5]


def test_straight_code_is_kept_whole() -> None:
    made = planned(*["addi 3, 3, 1"] * 40, "blr")
    assert len(made.code) == 41
    assert worthwhile(made)


#: r5: a string of numbers of cases, each case's address in the table at r6
INTERPRETER = (
    "lbz 7, 0(5)", "addi 5, 5, 1", "sldi 7, 7, 3", "ldx 7, 6, 7", "mtctr 7", "bctr",
    "addi 3, 3, 1", "b .-28", "sldi 3, 3, 1", "b .-36", "xori 3, 3, 5", "b .-44",
)  # fmt: skip
DONE = 12


def test_a_jump_by_ctr_leads_to_what_begins_behind_jumps() -> None:
    made = planned(*INTERPRETER)
    assert set(made.cases[5]) == {6, 8, 10}
    words = dict(enumerate(assemble(list(INTERPRETER))))
    del words[7], words[8]  # a table, or what aligns
    assert cases_of(5, words.get) == (6, 9, 10)
    assert sorted(made.code) == list(range(12))
    assert worthwhile(made)


def test_cases_are_few_and_near() -> None:
    cases = cases_of(500, dict(enumerate(assemble(["bctr"] * 1000))).get)
    assert len(cases) == plan.MAX_CASES
    assert all(abs(at - 500) <= plan.MAX_CASES for at in cases)


@pytest.mark.parametrize("wild", [False, True], ids=["inside", "and out"])
def test_an_interpreter_as_a_region(wild: bool) -> None:
    """The same sums as decoded; a case that no one had seen, or elsewhere, leaves and comes back."""
    bench = Bench()
    try:
        bench.fill_vectors()
        if not bench.start_jit():
            pytest.skip("no compiled tier here")
        elsewhere = assemble(["mulli 3, 3, 3", f"ba {CODE:#x}"])
        bench.put_code(0xA000, elsewhere, little=True)
        targets = [CODE + 4 * n for n in (6, 8, 10, DONE)] + [0xA000]
        for n, target in enumerate(targets):
            bench.memory.write(0x90000 + 8 * n, target.to_bytes(8, "little"))
        steps = [n * n % 7 % (3 if not wild else 5) for n in range(400)]
        steps = [4 if step == 3 else step for step in steps]
        expected = 7
        for step in steps:
            expected = {0: expected + 1, 1: expected * 2, 2: expected ^ 5, 4: expected * 3}[step] % 2**64
        for attempt in range(3):
            bench.memory.write(0x91000, bytes([*([0, 1, 2, 3] if attempt == 0 else [*steps, 3])]))
            regs = {"r3": 7, "r5": 0x91000, "r6": 0x90000}
            if attempt == 0:
                bench.start(list(INTERPRETER), msr=SF | ME | LE, at=CODE)
            for name, value in {"pc": CODE, "msr": SF | ME | LE, **regs}.items():
                bench.cpu.set_reg(name, value)
            bench.go()
            if attempt == 0:
                assert bench.compile(CODE)
            else:
                assert bench["r3"] == expected
    finally:
        bench.close()
