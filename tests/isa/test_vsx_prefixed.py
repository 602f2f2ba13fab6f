# SPDX-License-Identifier: GPL-2.0-only
"""Prefixed instructions against qemu and binutils."""

from __future__ import annotations

import random

import pytest
from tests.cpu.differential import differing
from tests.cpu.runner import run_engine
from tests.isa.harness import (
    BUFFER,
    CODE,
    Case,
    check,
    disassemble,
    random_state,
    random_word,
    run_oracle,
)
from tests.isa.test_vsx_float import float32

from lpar.isa import prefixed, vsx_prefixed
from lpar.isa.registry import INSTRUCTIONS, Instruction

MODULES = {prefixed.__name__, vsx_prefixed.__name__}
DEFINED = [i for i in INSTRUCTIONS if i.body.__module__ in MODULES]
MASK64 = (1 << 64) - 1


def random_words(found: Instruction, rng: random.Random, **given: int) -> tuple[int, int]:
    """Prefix and suffix with random fields."""
    assert found.prefix is not None
    both = random_word(found, rng, **given) | found.prefix[1] << 32
    return both >> 32, both & 0xFFFFFFFF


def case_of(found: Instruction, rng: random.Random) -> Case:
    """Random fields; memory accesses lie in the buffer."""
    names = {f.name for f in found.fields}
    state = random_state(rng, memory=512, vsr=True)
    given = {}
    if "D34" in names and found.name != "paddi":
        target = BUFFER + rng.randrange(64, 448)
        if found.static_values["R_P"] == (1,):
            given["D34"] = target - CODE
        else:
            given["RA0"] = rng.randrange(1, 32)
            given["D34"] = rng.randrange(-1 << 33, 1 << 33)
            state.gpr[given["RA0"]] = target - given["D34"] & MASK64
    if found.name == "xxspltidp":  # a denormal operand is an invalid form
        given["IMM32"] = next(v for v in iter(lambda: float32(rng), None) if v >> 23 & 255)
    return Case(random_words(found, rng, **given), state, found.name)


@pytest.mark.parametrize("little", [True, False])
def test_against_qemu(little: bool) -> None:
    rng = random.Random(5)
    known = [found for found in DEFINED if found.name not in ("plq", "pstq")]  # absent from qemu 7.2
    check([case_of(found, rng) for found in known for _ in range(40)], little=little)


@pytest.mark.parametrize("little", [True, False])
def test_quadwords_keep_the_order_of_memory(little: bool) -> None:
    """plq is two ld in either byte order."""
    state = random_state(random.Random(9), memory=64)
    state.gpr[5] = BUFFER + 16
    order = "little" if little else "big"
    load, store = 0xE0C50000, 0xF0C50010  # plq 6, 0(5); pstq 6, 16(5)
    after = run_oracle(Case((0x04000000, load, 0x04000000, store), state), little=little)
    assert after.gpr[6:8] == [int.from_bytes(state.memory[n : n + 8], order) for n in (16, 24)]
    assert after.memory[32:48] == state.memory[16:32]


@pytest.mark.parametrize("little", [True, False])
@pytest.mark.parametrize("wide", [True, False])
def test_engine_against_the_oracle(little: bool, wide: bool) -> None:
    """Also what qemu does not know; relative to the prefix as well as to a base."""
    rng = random.Random(10)
    cases = [case_of(found, rng) for found in DEFINED for _ in range(12)]
    expected = [run_oracle(c, little=little, wide=wide) for c in cases]
    problems = differing("engine", cases, expected, run_engine(cases, little=little, wide=wide), ())
    assert not problems, "\n".join(problems[:4])


def test_encodings() -> None:
    rng = random.Random(6)
    for found in DEFINED:
        given = {"RA0": 0} if found.static_values.get("R_P") == (1,) else {}
        for _ in range(3):
            words = random_words(found, rng, **given)
            [text] = disassemble(words)
            assert text.split()[0] == found.name, f"{words[0]:08x} {words[1]:08x} is {text}"


def test_relative_with_a_base_is_illegal() -> None:
    state = random_state(random.Random(7))
    assert run_oracle(Case((0x06100000, 0x38640001), state)).fault == "SIGILL"
