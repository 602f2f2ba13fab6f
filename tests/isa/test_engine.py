# SPDX-License-Identifier: GPL-2.0-only
"""Every problem-state definition on the engine: random cases leave the state that the oracle leaves.

Left out: branches (their cases are in ``test_branch``), system and prefixed instructions, and what reads a
clock or a random number.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from tests.cpu.runner import run_engine
from tests.isa.harness import BUFFER, Case, State, compare, disassemble, random_state, random_word, run_oracle
from tests.isa.test_vsx_float import vector

from lpar.isa import coverage
from lpar.isa.registry import INSTRUCTIONS, Instruction

coverage.import_definitions()

#: these have cases of their own
SKIPPED_FILES = ("system", "branch", "vsx_memory", "accelerator", "event_branch", "refused")
SKIPPED = ("darn", "mftb", "mfspr", "mtspr", "wait", "sc")
MEMORY_FILES = (
    "fixed_load", "fixed_store", "fixed_string", "storage", "storage_atomic",
    "float_memory", "vmx_memory", "vsx_scalar_memory",
)  # fmt: skip
MASK64 = (1 << 64) - 1


def file_of(found: Instruction) -> str:
    """The file of a definition."""
    return found.body.__module__.rsplit(".", 1)[1]


FILES = sorted({file_of(i) for i in INSTRUCTIONS if not i.prefix} - set(SKIPPED_FILES))


def state_for(found: Instruction, rng: random.Random) -> State:
    """A random state with operands that suit the definition's file."""
    file, state = file_of(found), random_state(rng, vsr=True, memory=1024)
    if "float" in file or "scalar" in file or file in ("vsx_arithmetic", "vsx_half"):
        single = 0.8 if file == "vmx_float" else 0.3
        state.vsr = [vector(rng, rng.random() < single) for _ in range(64)]
        state.fpscr = rng.getrandbits(2)
    if file.startswith("vmx"):
        state.vscr = rng.choice((0, 1, 0x10000))
    return state


def aim(found: Instruction, word: int, state: State, rng: random.Random) -> bool:
    """Set the address registers so that the access lies in the buffer; False if that cannot be."""
    values = {f.name: f.extract(word) for f in found.fields}
    target = BUFFER + rng.randrange(256, 512) & ~(15 if file_of(found).startswith("storage") else 0)
    ra = values.get("RA0", values.get("RA"))
    if ra is None:
        return False
    offset = next((values[n] for n in ("D", "DS", "DQ") if n in values), 0)
    if "RB" not in values:
        state.gpr[ra] = target - offset & MASK64
        return ra != 0
    rb = values["RB"]
    if ra == rb:
        state.gpr[rb] = target // 2 if ra or "RA0" not in values else target
    elif ra == 0 and "RA0" in values:
        state.gpr[rb] = target
    else:
        state.gpr[rb] = rng.randrange(-100, 100) & MASK64
        state.gpr[ra] = target - state.gpr[rb] & MASK64
    return True


def cases(found: Instruction, number: int, count: int) -> Iterator[Case]:
    """Random cases of one definition."""
    rng = random.Random(f"{found.name}{number}")
    for _ in range(count):
        word, state = random_word(found, rng), state_for(found, rng)
        if file_of(found) in MEMORY_FILES and not aim(found, word, state, rng):
            continue
        yield Case((word,), state, found.name)


@pytest.mark.parametrize("little", [True, False])
@pytest.mark.parametrize("file", FILES)
def test_against_the_oracle(file: str, little: bool) -> None:
    for number, found in enumerate(INSTRUCTIONS):
        if file_of(found) != file or found.prefix or found.name in SKIPPED:
            continue
        for case in cases(found, number, 12):
            differences = compare(run_oracle(case, little=little), run_engine([case], little=little)[0])
            assert not differences, f"{case!r}\n{disassemble(case.words)}\n" + "\n".join(differences)
