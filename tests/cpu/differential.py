# SPDX-License-Identifier: GPL-2.0-only
"""The engine's part of a differential test: what ``tests.isa.harness.check`` asks besides the oracle.

The same cases run on the interpreter in the mode that qemu ran them in; without a memory buffer also in
big-endian mode, which takes the slow flavour of every handler; and a sample in the 32-bit modes, where the
oracle is what to compare with.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence

from tests.cpu.runner import HAS_UNITS, run_engine
from tests.isa.harness import Case, State, compare, disassemble, run_oracle

from lpar.cpu import handlers

MODELS = {"power8": "POWER8", "power9": "POWER9", "power10": "POWER10"}
SAMPLE = 300  #: cases of one check that also run in a 32-bit mode


@functools.cache
def knows_prefixes() -> bool:
    """Whether the engine executes prefixed instructions."""
    return any(v.instruction.prefix for v in handlers.all_variants())


def runnable(case: Case) -> bool:
    """Whether the engine is meant to run the case."""
    return knows_prefixes() or all(w >> 26 != 1 for w in case.words)


def report(case: Case, mode: str, differences: list[str]) -> str:
    """One mismatch, ready to paste."""
    return f"{mode}: {case!r}\n    {disassemble(case.words)}\n    " + "\n    ".join(differences[:8])


def differing(
    mode: str, cases: Sequence[Case], expected: Iterable[State], got: Iterable[State], ignore: tuple[str, ...]
) -> list[str]:
    """A report of each case whose states differ."""
    rows = zip(cases, expected, got, strict=True)
    return [report(c, mode, d) for c, a, b in rows if (d := compare(a, b, ignore))]


def engine_problems(
    cases: Sequence[Case],
    expected: Sequence[State],
    *,
    little: bool,
    cpu: str,
    ignore: tuple[str, ...],
    adjust: Callable[[State], State],
) -> list[str]:
    """Mismatches of the interpreter; ``expected`` is what qemu left."""
    rows = [(c, e) for c, e in zip(cases, expected, strict=True) if runnable(c)]
    cases, model = [c for c, _ in rows], MODELS[cpu]
    wanted = [adjust(e) for _, e in rows]
    got = map(adjust, run_engine(cases, little=little, model=model))
    problems = differing("interpreter, LE" if little else "interpreter, BE", cases, wanted, got, ignore)
    if little and HAS_UNITS:
        got = map(adjust, run_engine(cases, model=model, tier="units"))
        problems += differing("units", cases, wanted, got, ignore)
    if little and not any(c.before.memory for c in cases):
        got = map(adjust, run_engine(cases, little=False, model=model))
        problems += differing("interpreter, BE", cases, wanted, got, ignore)
    return problems + narrow_problems(cases[:: len(cases) // SAMPLE + 1], model)


def narrow_problems(cases: Sequence[Case], model: str = "POWER10") -> list[str]:
    """Mismatches of the interpreter with the oracle in both 32-bit modes."""
    problems = []
    for little in (True, False):
        wanted = [run_oracle(c, little=little, wide=False) for c in cases]
        got = run_engine(cases, little=little, wide=False, model=model)
        problems += differing(f"interpreter, {'LE' if little else 'BE'} 32-bit", cases, wanted, got, ())
    return problems
