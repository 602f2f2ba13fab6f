# SPDX-License-Identifier: GPL-2.0-only
"""TestFloat level 1, in the guest: ``make testfloat``; all operations, formats and rounding modes."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence

import numpy as np
from tests.cpu.runner import TIERS
from tests.isa.testfloat.check import differing, expect
from tests.isa.testfloat.guest import ROWS, Guest
from tests.isa.testfloat.operands import Array, integers, level1
from tests.isa.testfloat.operations import FORMATS, Operation, all_operations


def operands_of(op: Operation, rng: np.random.Generator) -> tuple[Array, ...]:
    """All level-1 cases of an operation."""
    kind = op.kinds[0]
    if kind not in FORMATS:
        values = integers(32 if "32" in kind else 64, rng)
        return (values,)
    return level1(FORMATS[kind], len(op.kinds), rng)


def report(op: Operation, line: str, rn: int, operands: Sequence[Array], wrong: Array) -> str:
    """The first wrong case."""
    n = int(wrong[0])
    shown = ", ".join(f"{int(o[n, 1]) << 64 | int(o[n, 0]):#x}" for o in operands)
    return f"{line} (RN {rn}): {len(wrong)} cases differ from {op.function}; the first: {shown}"


def run(guest: Guest, op: Operation, operands: Sequence[Array]) -> Iterator[tuple[str, int, list[str]]]:
    """For each instruction: its line, the number of cases, reports of what is wrong."""
    problems: dict[str, list[str]] = {line: [] for line, _ in op.lines}
    for at in range(0, len(operands[0]), ROWS):
        part = [o[at : at + ROWS] for o in operands]
        expected = [expect(op, part, rn) for rn in range(4)]
        for line, how in op.lines:
            for rn in range(4):
                wrong = differing(guest, op, line, how, part, rn, expected[rn])
                if len(wrong):
                    problems[line].append(report(op, line, rn, part, wrong))
    for line, found in problems.items():
        yield line, 4 * len(operands[0]), found


def main() -> int:
    """Run everything, print a table; 1 if there was an error."""
    parser = argparse.ArgumentParser(prog="python -m tests.isa.testfloat", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tier", choices=TIERS, default="interpreter")
    parser.add_argument("--only", default="", help="operations of SoftFloat that begin so")
    given = parser.parse_args()
    guest, rng, total, failed, start = (
        Guest(given.tier),
        np.random.default_rng(given.seed),
        0,
        0,
        time.monotonic(),
    )
    for op in all_operations():
        if not op.function.startswith(given.only):
            continue
        for line, count, problems in run(guest, op, operands_of(op, rng)):
            total, failed = total + count, failed + len(problems)
            print(f"{line:24} {op.function:18} {count:>10} {'wrong' if problems else 'right'}", flush=True)
            for problem in problems:
                print(f"    {problem}", flush=True)
    print(f"{total} cases, {failed} instructions and modes wrong, {time.monotonic() - start:.0f} s")
    guest.close()
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
