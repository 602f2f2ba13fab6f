# SPDX-License-Identifier: GPL-2.0-only
"""VSX against qemu: loads and stores, logical, permute, and the encodings of all of them."""

from __future__ import annotations

import random
from types import ModuleType

import pytest
from tests.isa.harness import (
    BUFFER,
    Case,
    check,
    check_encodings,
    overlaps,
    random_state,
    random_word,
    value64,
)

from lpar.isa import vsx_logical, vsx_memory, vsx_permute
from lpar.isa.registry import INSTRUCTIONS, Instruction

BY_LENGTH = ("lxvl", "lxvll", "stxvl", "stxvll")
VSX_MODULES = [vsx_logical, vsx_memory, vsx_permute]


def defined_in(module: ModuleType) -> list[Instruction]:
    """The definitions of one file."""
    return [i for i in INSTRUCTIONS if i.body.__module__ == module.__name__]


def aim(case: Case, found: Instruction, rng: random.Random) -> None:
    """Set the GPRs of a memory access so that it lies in the buffer (64 bytes from its ends)."""
    values = {f.name: f.extract(case.words[-1]) for f in found.fields}
    gpr, ra = case.before.gpr, values["RA0"]
    target = BUFFER + rng.randrange(64, 448)
    if "DQ" in values:
        gpr[ra] = target - values["DQ"] & 0xFFFFFFFFFFFFFFFF
    elif found.name in BY_LENGTH:
        gpr[ra] = target
        if values["RB"] != ra:
            length = rng.choice((0, 1, 2, 3, 7, 8, 12, 15, 16, 17, 255))
            gpr[values["RB"]] = length << 56 | rng.getrandbits(56)
    elif ra in (0, values["RB"]):
        gpr[values["RB"]] = target if ra == 0 else target // 2
    else:
        gpr[values["RB"]] = value64(rng)
        gpr[ra] = target - gpr[values["RB"]] & 0xFFFFFFFFFFFFFFFF


def memory_cases(found: Instruction, count: int) -> list[Case]:
    """Accesses of ``found`` inside the buffer, aligned and not."""
    rng = random.Random(found.name)
    cases = []
    for _ in range(count):
        direct = found.name in BY_LENGTH or "DQ" in (f.name for f in found.fields)
        given = {"RA0": rng.randrange(1, 32)} if direct else {}
        case = Case((random_word(found, rng, **given),), random_state(rng, memory=512, vsr=True), found.name)
        aim(case, found, rng)
        cases.append(case)
    return cases


def register_cases(found: Instruction, count: int) -> list[Case]:
    """Random registers and fields."""
    rng = random.Random(found.name)
    return [Case((random_word(found, rng),), random_state(rng, vsr=True), found.name) for _ in range(count)]


@pytest.mark.parametrize("little", [True, False])
def test_loads_and_stores(little: bool) -> None:
    cases = [c for found in defined_in(vsx_memory) for c in memory_cases(found, 60)]
    check(cases, little=little)


@pytest.mark.parametrize("module", [vsx_logical, vsx_permute])
def test_registers_only(module: ModuleType) -> None:
    check([c for found in defined_in(module) for c in register_cases(found, 80)])


@pytest.mark.parametrize("module", VSX_MODULES)
def test_encodings(module: ModuleType) -> None:
    check_encodings(defined_in(module))


def test_no_overlaps() -> None:
    assert overlaps([i for module in VSX_MODULES for i in defined_in(module)]) == []
