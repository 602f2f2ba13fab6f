# SPDX-License-Identifier: GPL-2.0-only
"""The compiled tier against the interpreter: random programs, run once decoded and once as a region.

A program is a loop over some instructions with forward branches among them, on few registers, so that values
pass from one to the next; loads and stores go to a buffer by r4 and r5 and may leave it, so that interrupts
come in the middle of a region and must find all registers written back.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from tests.cpu.differential import report
from tests.cpu.runner import Cases
from tests.isa.harness import BUFFER, CODE, Case, assemble, compare, random_state, random_word

from lpar.cpu.decoder import Decoder
from lpar.cpu.handlers import Variant
from lpar.cpu.ir import Module
from lpar.cpu.native_flow import SPECIALS
from lpar.cpu.plan import Plan, discover
from lpar.cpu.region import trace_region
from lpar.isa.registry import INSTRUCTIONS, Instruction
from lpar.isa.routine import ROUTINES

MEMORY = ("fixed_load", "fixed_store", "float_memory", "vmx_memory", "vsx_memory", "vsx_scalar_memory")
GROUPS = {
    "fixed": (
        "fixed_arithmetic", "fixed_bits", "fixed_compare", "fixed_logical", "fixed_multiply", "fixed_rotate",
        "condition",
    ),
    "float": (
        "decimal_float", "decimal_float_arith", "float_arith", "float_move", "vsx_scalar", "vsx_convert",
        "fpscr",
    ),
    "vector": (
        "vmx_integer", "vmx_logic", "vmx_permute", "vmx_compare", "vmx_float", "vsx_logical", "vsx_permute",
        "vsx_arithmetic",
    ),
    "memory": (*MEMORY, "storage"),
}  # fmt: skip
GPRS = (0, 3, 6, 7, 8, 9, 10, 11)  #: what programs compute with; r4 and r5 are addresses
EXTRA = ("srr0", "dar", "dsisr", "resv_addr")


def pool(group: str) -> list[Instruction]:
    """The instructions of a group that a region may hold."""
    files = GROUPS[group]
    return [i for i in INSTRUCTIONS if i.body.__module__.rsplit(".", 1)[1] in files and not i.prefix]


def word_of(found: Instruction, rng: random.Random) -> int:
    """A random word with registers from the pool."""
    given = {}
    for f in found.fields:
        if f.name in ("RT", "RS", "RB", "RTe", "RTo") or f.name in ("RA", "RA0"):
            given[f.name] = rng.choice(GPRS)
    if found.body.__module__.endswith((*MEMORY, "storage")):
        names = {f.name for f in found.fields}
        given |= {n: v for n, v in {"RA": 4, "RA0": rng.choice((0, 4, 4)), "RB": 5}.items() if n in names}
        given |= {n: rng.randrange(-64, 64) // 16 * 16 for n in ("D", "DS", "DQ") if n in names}
        given |= {n: 4 for n in ("RA0",) if n in names and not {"RB"} & names}
    return random_word(found, rng, **given)


def program(rng: random.Random, instructions: list[Instruction], length: int) -> Case:
    """A loop of ``length`` random instructions, some of them skipped by forward branches, run a few times."""
    words = []
    for n in range(length):
        words.append(word_of(rng.choice(instructions), rng))
        if n < length - 1 and rng.random() < 0.25:
            words.append(0x40000000 | rng.choice((4, 12)) << 21 | rng.randrange(32) << 16 | 8)  # bc +8
    words += assemble([f"bdnz .-{4 * len(words)}"])
    state = random_state(rng, memory=0x1000, vsr=True)
    state.gpr[4], state.gpr[5] = BUFFER + rng.choice((0x800, 0x7F8, 0x801)), rng.choice((0, 16, 64, BUFFER))
    state.ctr = rng.choice((1, 2, 3))
    return Case(words, state)


@pytest.fixture(scope="module")
def cases() -> Iterator[Cases]:
    """A bench with the compiled tier, which compiles only what the tests hand it."""
    made = Cases()
    if not made.bench.start_jit():
        pytest.skip("no compiled tier here")
    yield made
    made.bench.close()


def run_both(cases: Cases, case: Case) -> tuple[list[str], bool]:
    """How the compiled program differs from the interpreted one, and whether a region was installed."""
    interpreted = cases.run(case, little=True, wide=True)
    extra = [cases.state.get(n) for n in EXTRA]
    installed = cases.bench.compile(CODE)
    cases.load(case, little=True, wide=True, keep_code=True)
    compiled = cases.go(case)
    differences = compare(interpreted, compiled)
    pairs = zip(EXTRA, extra, [cases.state.get(n) for n in EXTRA], strict=True)
    differences += [f"{n}: expected {a:#x}, got {b:#x}" for n, a, b in pairs if a != b]
    return differences, installed


@pytest.mark.parametrize("group", [*GROUPS, "all"])
def test_random_programs(cases: Cases, group: str) -> None:
    rng = random.Random(group)
    groups = GROUPS if group == "all" else (group,)
    instructions = [i for g in groups for i in pool(g)]
    problems, installed, count = [], 0, 40
    for _ in range(count):
        case = program(rng, instructions, rng.randrange(2, 12))
        differences, compiled = run_both(cases, case)
        installed += compiled
        if differences:
            problems.append(report(case, "compiled", differences))
    assert not problems, f"{len(problems)} of {count}\n" + "\n".join(problems[:3])
    assert installed > count // 2


def test_comparisons_leave_their_order() -> None:
    """The loop makes no CR field; an instruction that writes SO, which fields hold, stays out."""
    words = dict(enumerate(assemble(["add 3, 3, 4", "cmpd 3, 5", "blt .-8", "addo 3, 3, 4"])))
    plan = discover(0, words.get, Decoder(310))
    links = {name: n for n, name in enumerate([*SPECIALS, *("rt_" + name for name in ROUTINES)])}
    module = Module()
    assert trace_region(module, "loop", plan, links, {}) == 3
    assert module.functions[0].count("call i8 @llvm.scmp.i8.i64") == 1
    plan = Plan(3, {3: (words[3], plan_variant(words[3]))})
    assert trace_region(Module(), "overflow", plan, links, {}) == 0


def plan_variant(word: int) -> Variant:
    """An instruction's variant."""
    found = Decoder(310)(word)
    assert found is not None
    return found
