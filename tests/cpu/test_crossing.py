# SPDX-License-Identifier: GPL-2.0-only
"""Accesses that cross pages, whole or into nothing, in every mode: the interpreter against the oracle.

The buffer's pages are apart in real memory, so that an access which forgets to translate its second part
shows; where the second page is missing the interrupt must name it.
"""

from __future__ import annotations

import random

import pytest
from tests.cpu.differential import differing
from tests.cpu.runner import cases_on, run_engine
from tests.isa.harness import BUFFER, Case, compare, random_state, random_word, run_oracle

from lpar.isa.registry import INSTRUCTIONS, Instruction

MODES = [(little, wide) for little in (True, False) for wide in (True, False)]
IN_ALL_MODES = pytest.mark.parametrize(("little", "wide"), MODES)
FILES = (
    "fixed_load", "fixed_store", "float_memory", "vmx_memory", "vsx_memory", "vsx_scalar_memory", "storage",
)  # fmt: skip
EDGE = BUFFER + 0x1000
DSISR_NOPTE, DSISR_STORE = 0x40000000, 0x02000000


def file_of(found: Instruction) -> str:
    """The file of a definition."""
    return found.body.__module__.rsplit(".", 1)[1]


def has_address(found: Instruction) -> bool:
    """Whether an access's address comes from RA (and RB or a displacement)."""
    return bool({"RA", "RA0"} & {f.name for f in found.fields})


ACCESSES = [i for i in INSTRUCTIONS if file_of(i) in FILES and not i.prefix and has_address(i)]


def access(found: Instruction, rng: random.Random, below: int, size: int) -> Case:
    """An access ``below`` bytes before the page's end: base r4, index or length r5, data from r6 on."""
    state = random_state(rng, memory=size, vsr=True)
    names = {f.name for f in found.fields}
    given = {"RT": 6, "RS": 6, "RTe": 6, "RTo": 7, "RT1": 7, "VRT": 3, "VRS": 3}
    given |= {"RA": 4, "RA0": 4, "RB": 5, "D": 0, "DS": 0, "DQ": 0}
    word = random_word(found, rng, **{n: v for n, v in given.items() if n in names})
    state.gpr[4], state.gpr[5] = EDGE - below, 0
    if found.name.endswith(("vl", "vll")):
        state.gpr[5] = rng.randrange(18) << 56
    return Case((word,), state, found.name)


def made(size: int) -> list[Case]:
    """Each access at some distances of up to 33 bytes from the edge."""
    rng = random.Random(size)
    return [access(i, rng, n, size) for i in ACCESSES for n in (0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 33)]


@IN_ALL_MODES
def test_across_two_pages(little: bool, wide: bool) -> None:
    cases = made(0x1100)
    expected = [run_oracle(c, little=little, wide=wide) for c in cases]
    problems = differing("crossing", cases, expected, run_engine(cases, little=little, wide=wide), ())
    assert not problems, f"{len(problems)}\n" + "\n".join(problems[:4])


@IN_ALL_MODES
def test_into_a_missing_page(little: bool, wide: bool) -> None:
    """Nothing has changed, and the interrupt names an address in the missing page."""
    bench = cases_on("POWER10")
    problems, faults = [], 0
    for case in made(0x1000):
        after = bench.run(case, little=little, wide=wide)
        expected = run_oracle(case, little=little, wide=wide)
        if expected.fault != "SIGSEGV":
            continue
        faults += 1
        problems += [f"{case.name}: {d}" for d in compare(expected, after)]
        dar, dsisr = bench.state.get("dar"), bench.state.get("dsisr")
        if after.fault == "SIGSEGV" and (dar >> 12, dsisr & ~DSISR_STORE) != (EDGE >> 12, DSISR_NOPTE):
            problems.append(f"{case.name}: DAR {dar:#x} DSISR {dsisr:#x}")
    assert not problems, f"{len(problems)}\n" + "\n".join(problems[:20])
    assert faults > 3 * len(ACCESSES)
