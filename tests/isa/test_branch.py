# SPDX-License-Identifier: GPL-2.0-only
"""Branches and problem-state SPRs against qemu; where a branch went shows in r31."""

from __future__ import annotations

import itertools
import random

import pytest
from tests.isa.harness import (
    CODE,
    Case,
    State,
    assemble,
    check,
    load_oracle,
    random_state,
    registers,
    save_oracle,
)

from lpar.isa import branch, condition, fixed_arithmetic, fixed_logical, spr_user
from lpar.isa.oracle import MSR_SF, Interrupt, Oracle

assert branch and condition and fixed_arithmetic and fixed_logical and spr_user  # the cases use them

#: the landing: r31 tells how much of it was executed
LANDING = ["addi 31, 31, 1", "addi 31, 31, 2", "addi 31, 31, 4", "addi 31, 31, 8"]
VALID_BO = [0, 2, 4, 6, 7, 8, 10, 12, 14, 15, 16, 18, 20, 25, 27]


def cases(lines: list[str]) -> list[Case]:
    """Each of ``lines`` at word 0, then the landing; LR, CTR and TAR lead into the landing."""
    rng = random.Random(1)
    landing = assemble(LANDING)
    made = []
    for line, word in zip(lines, assemble(lines), strict=True):
        for _ in range(6):
            state = random_state(rng)
            state.lr, state.tar = (CODE + 4 * rng.randrange(1, 6) + rng.randrange(4) for _ in range(2))
            state.ctr = rng.choice([0, 1, 2, 1 << 32, CODE + 8, CODE + 13, CODE + 16])
            made.append(Case([word, *landing], state, line))
    return made


@pytest.mark.parametrize("little", [True, False])
def test_conditional_branches(little: bool) -> None:
    forms = ["bc {},{},.+12", "bcl {},{},.+8", "bclr {},{}", "bclrl {},{}", "bctar {},{}", "bctarl {},{}"]
    lines = [f.format(bo, bi) for f, bo, bi in itertools.product(forms, VALID_BO, (0, 5, 31))]
    lines += [f"bca {bo},2,{CODE + 12:#x}" for bo in VALID_BO] + [
        f"bcla {bo},2,{CODE + 8:#x}" for bo in VALID_BO
    ]
    counted = [bo for bo in VALID_BO if bo & 4]
    lines += [f"{n} {bo},7" for n in ("bcctr", "bcctrl") for bo in counted]
    made = cases(lines)
    for case in made:
        if case.name.startswith("bcctr"):
            case.before.ctr = CODE + 8 + case.before.ctr % 8
    check(made, little=little)


def test_unconditional_branches() -> None:
    check(cases(["b .+12", "bl .+8", f"ba {CODE + 8:#x}", f"bla {CODE + 16:#x}"]))


def test_a_loop_counts_down() -> None:
    words = assemble(["addi 3, 3, 1", "add 4, 4, 3", "bdnz .-8", "mflr 5"])
    check([Case(words, State(ctr=n)) for n in (1, 2, 100)])


def test_counting_and_branching_to_ctr_is_illegal() -> None:
    cpu = Oracle()
    with pytest.raises(Interrupt, match="illegal"):
        cpu.execute(0x4C000420 | 16 << 21)


def test_32_bit_mode() -> None:
    """Only the low half of CTR counts, addresses are cut, CR0 and carries come from the low half."""
    before = State(ctr=0x100000001, lr=0xFFFFFFFF00000100, xer=0)
    before.gpr[3:6] = [0xFFFFFFFF, 1, 0x5_80000000]
    cpu = load_oracle(before)
    cpu.msr = cpu.msr & (MSR_SF ^ ((1 << 64) - 1))
    words = assemble(["bdnz .+8", "addco. 6, 3, 4", "extsh. 7, 5", "or. 7, 5, 5", "blr"])
    for word in words:
        cpu.execute(word)
    after = save_oracle(cpu)
    assert cpu._pc == 0x100
    assert after.xer == 0x20040000  # carry, no overflow
    assert after.gpr[6] == 0x100000000
    assert after.cr >> 28 == 8  # the low half of r5 is negative
    assert after.ctr == 0x100000000


def test_user_sprs() -> None:
    rng = random.Random(3)
    lines = ["mtxer 3; mfxer 4", "mtlr 3; mflr 4", "mtctr 3; mfctr 4", "mtspr 256, 3; mfspr 4, 256"]
    lines += ["mtspr 815, 3; mfspr 4, 815"]
    made = [Case(assemble(line.split(";")), random_state(rng), line) for line in lines for _ in range(10)]
    for case in made:
        case.before.gpr[3] &= 0xE00C007F if "xer" in case.name else 0x1FFFFFF
    check(made)


def test_time_advances_and_random_numbers_differ() -> None:
    cpu = Oracle()
    for word in assemble(
        ["mfspr 3, 268", "mfspr 4, 268", "darn 5, 0", "darn 6, 1", "darn 7, 2", "darn 8, 3"]
    ):
        cpu.execute(word)
    values = [cpu.gpr[n].v for n in range(3, 9)]
    assert values[0] < values[1]
    assert values[2] < 1 << 32
    assert values[3] != values[4]
    assert values[5] == (1 << 64) - 1


@pytest.mark.parametrize("level", [0, 1])
def test_system_calls(level: int) -> None:
    [word] = assemble([f"sc {level}"])
    with pytest.raises(Interrupt, match="system call") as raised:
        Oracle().execute(word)
    assert raised.value.detail == level


def test_dscr_is_a_facility() -> None:
    write, read = assemble(["mtspr 3, 3", "mfspr 4, 3"])
    cpu = load_oracle(State(gpr=registers({3: 5})))
    with pytest.raises(Interrupt, match="facility") as raised:
        cpu.execute(write)
    assert raised.value.detail == 2
    cpu.fscr = 4
    cpu.execute(write)
    cpu.execute(read)
    assert cpu.gpr[4].v == 5


def test_amr_is_written_under_its_mask() -> None:
    cpu = load_oracle(State(gpr=registers({3: 0xFF00})))
    cpu.amr, cpu.uamor = 0x0FF0, 0x0F00
    for word in assemble(["mtspr 13, 3", "mfspr 4, 13"]):
        cpu.execute(word)
    assert cpu.gpr[4].v == 0x0FF0 & ~0x0F00 | 0x0F00
