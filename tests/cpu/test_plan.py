# SPDX-License-Identifier: GPL-2.0-only
"""What a region is made of."""

from __future__ import annotations

import struct

import pytest
from tests.cpu.runner import LE, ME, SF, Bench
from tests.isa.harness import assemble

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


#: r5: a string of numbers of cases; r6: the table of distances behind the jump (its last: far away)
INTERPRETER = (
    "lbz 7, 0(5)", "addi 5, 5, 1", "sldi 7, 7, 2", "lwax 7, 6, 7", "add 7, 6, 7", "mtctr 7", "bctr",
    ".long 20", ".long 28", ".long 36", ".long 44", ".long {last}",
    "addi 3, 3, 1", "b .-52", "sldi 3, 3, 1", "b .-60", "xori 3, 3, 5", "b .-68",
)  # fmt: skip
TABLE, DONE = 7, 18


def program(last: int) -> tuple[dict[int, int], bytes]:
    """What is executed of the interpreter, by number, and its page."""
    words = assemble([line.format(last=last) for line in INTERPRETER])
    executed = {n: word for n, word in enumerate(words) if not TABLE <= n < TABLE + 5}
    return executed, struct.pack(f"<{len(words)}I", *words).ljust(4096, b"\0")


def test_a_jump_by_ctr_stays_inside_where_its_table_does() -> None:
    executed, page = program(0x100)
    made = discover(0, executed.get, Decoder(300), page)
    assert made.cases == {6: (12, 14, 16)}
    assert sorted(made.code) == [*range(7), *range(12, 18)]
    assert worthwhile(made)


def test_a_jump_by_ctr_out_of_the_page_is_an_exit() -> None:
    executed, page = program(0x2000)
    assert cases_of(6, executed.get, page) == ()
    assert not worthwhile(discover(0, executed.get, Decoder(300), page))


def test_code_behind_a_jump_is_no_table() -> None:
    words = dict(enumerate(assemble(["bctr", "addi 3, 3, 1", "b .-8"])))
    assert cases_of(0, words.get, bytes(4096)) == ()


@pytest.mark.parametrize("wild", [False, True], ids=["inside", "and out"])
def test_an_interpreter_as_a_region(wild: bool) -> None:
    """The same sums as decoded; a case that no one had seen leaves the region and comes back."""
    bench = Bench()
    try:
        bench.fill_vectors()
        if not bench.start_jit():
            pytest.skip("no compiled tier here")
        bench.put_code(CODE + 4 * TABLE + 0x100, assemble(["mulli 3, 3, 3", f"ba {CODE:#x}"]), little=True)
        lines = [line.format(last=0x100) for line in INTERPRETER]
        steps = [n * n % 7 % (3 if not wild else 5) for n in range(400)]
        steps = [4 if step == 3 else step for step in steps]
        expected = 7
        for step in steps:
            expected = {0: expected + 1, 1: expected * 2, 2: expected ^ 5, 4: expected * 3}[step] % 2**64
        for attempt in range(3):
            bench.memory.write(0x91000, bytes([*([0, 1, 2, 3] if attempt == 0 else [*steps, 3])]))
            regs = {"r3": 7, "r5": 0x91000, "r6": CODE + 4 * TABLE}
            if attempt == 0:
                bench.start(lines, msr=SF | ME | LE, at=CODE)
            for name, value in {"pc": CODE, "msr": SF | ME | LE, **regs}.items():
                bench.cpu.set_reg(name, value)
            bench.go()
            if attempt == 0:
                assert bench.compile(CODE)
            else:
                assert bench["r3"] == expected
    finally:
        bench.close()
