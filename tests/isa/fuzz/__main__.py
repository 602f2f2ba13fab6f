# SPDX-License-Identifier: GPL-2.0-only
"""Random programs on QEMU and on every tier: ``make fuzz-isa``; see ``docs/design/conformance.md``."""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from collections.abc import Sequence

from tests.cpu.runner import TIERS
from tests.isa import judge
from tests.isa.fuzz.compare import Item, Mismatch, Sides, items
from tests.isa.fuzz.frames import Work, run_oracle, run_qemu
from tests.isa.fuzz.shrink import Run, Shrinker, history
from tests.isa.fuzz.state import Values

CHUNK = 400_000  #: instructions of one process: compiled code is never given back
BATCH = 2000  #: states of one batch


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.isa.fuzz", description=__doc__)
    parser.add_argument("-n", "--instructions", type=int, default=100_000, help="judged instructions to run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--length", type=int, default=40, help="units of a program, at most")
    parser.add_argument("--states", type=int, default=64, help="states that each program begins in")
    parser.add_argument("--tiers", default=",".join(TIERS), help="all others are compared with the first")
    parser.add_argument("--big", action="store_true", help="big-endian")
    parser.add_argument("--oracle", type=float, default=0.01, help="share of programs for the oracle")
    parser.add_argument("--keep-going", type=int, default=10, help="mismatches to show before giving up")
    parser.add_argument("--chunk", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def side(sides: Sides, name: str) -> Run:
    """How to run a side once more, for shrinking."""
    if name == "qemu":
        return lambda work: run_qemu(work, little=sides.little)
    if name == "oracle":
        return lambda work: [[run_oracle(w, f, little=sides.little) for f in fs] for w, fs in work]
    engine = next(e for e in sides.engines if e.name == name)

    def run(work: Work) -> list[list[bytes]]:
        return [engine.run(words, frames) or list(frames) for words, frames in work]

    return run


def show(sides: Sides, found: Mismatch, batch: Sequence[Item] = ()) -> None:
    """Shrink and print a mismatch, with the programs of its batch that must have run before it."""
    shrinker = Shrinker(*(side(sides, name) for name in found.sides))
    if shrinker.failing([(found.program, found.frame)]) is None:
        before = history(found, batch, shrinker.runs[1])
        print("behind earlier programs only:", [[f"{w:#x}" for w in p.words()] for p in before])
    print(shrinker.shrink(found).report(), flush=True)


def chunk(given: argparse.Namespace) -> int:
    """One process's share: the number of mismatches."""
    rng = random.Random(given.seed)
    values = Values(rng)
    qemu = judge.version(not given.big)
    sides = Sides(given.tiers.split(","), not given.big, qemu, given.oracle)
    shown = 0
    while sides.executed["qemu"] < given.instructions and shown < given.keep_going:
        batch = next_batch(rng, values, qemu, given)
        for found in sides.batch(batch, rng):
            shown += 1
            if shown <= given.keep_going:
                show(sides, found, batch)
    print("executed:", dict(sides.executed), flush=True)
    sides.close()
    return shown


def next_batch(rng: random.Random, values: Values, qemu: int, given: argparse.Namespace) -> list[Item]:
    """Mostly judged programs; some with what QEMU is no judge of, for the tiers among themselves."""
    judged = rng.random() < 0.85
    qemu = qemu if judged else 0
    return items(
        rng,
        values,
        BATCH // given.states,
        qemu=qemu,
        little=not given.big,
        length=given.length,
        states=given.states,
    )


def main() -> int:
    """Run chunks in processes of their own; 1 if there was a mismatch."""
    given = options()
    if given.chunk:
        return int(chunk(given) > 0)
    left, seed, failed, start = given.instructions, given.seed, 0, time.monotonic()
    while left > 0:
        words = [*sys.argv[1:], "--chunk", "--seed", str(seed), "-n", str(min(left, CHUNK))]
        failed += subprocess.run([sys.executable, "-m", "tests.isa.fuzz", *words]).returncode != 0
        left, seed = left - CHUNK, seed + 1
        print(
            f"{given.instructions - max(left, 0)} instructions, {failed} chunks failed, "
            f"{time.monotonic() - start:.0f} s",
            flush=True,
        )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
