# SPDX-License-Identifier: GPL-2.0-only
"""Makes a mismatch small: fewer units, then zeros in place of registers, as long as the two sides differ."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from tests.isa.case import BLOCK_SIZE
from tests.isa.fuzz.compare import Item, Mismatch
from tests.isa.fuzz.frames import Work, as_judged
from tests.isa.fuzz.program import Program

Run = Callable[[Work], list[list[bytes]]]
BATCH = 64
CTR = 35  #: its doubleword


class Shrinker:
    """Shrinks the mismatches of two sides, each a function that runs (words, frames) pairs."""

    def __init__(self, first: Run, second: Run) -> None:
        self.runs = first, second

    def failing(self, candidates: Sequence[tuple[Program, bytes]]) -> Mismatch | None:
        """The first candidate on which the sides differ."""
        work = [(program.words(), [frame]) for program, frame in candidates]
        ours, theirs = (run(work) for run in self.runs)
        for (program, frame), [a], [b] in zip(candidates, ours, theirs, strict=True):
            if as_judged(a) != as_judged(b) or (a != b and not program.judged):
                return Mismatch(program, frame, ("", ""), (a, b))
        return None

    def shrink(self, found: Mismatch) -> Mismatch:
        """A smaller mismatch of the same sides, or the same."""
        best = found
        for step in (_without_tail, _without_one, _without_one, _zeroed):
            best = self._while_smaller(best, step)
        return replace(best, sides=found.sides)

    def _while_smaller(
        self, best: Mismatch, step: Callable[[Program, bytes], Iterator[tuple[Program, bytes]]]
    ) -> Mismatch:
        tried: set[tuple[Program, bytes]] = set()
        while True:
            candidates = [c for c in step(best.program, best.frame) if c not in tried]
            smaller = None
            for at in range(0, len(candidates), BATCH):
                part = candidates[at : at + BATCH]
                smaller = self.failing(part)
                if smaller is not None:
                    tried.update(part[: part.index((smaller.program, smaller.frame))])
                    break
                tried.update(part)
            if smaller is None:
                return best
            best = smaller


def history(found: Mismatch, batch: Sequence[Item], run: Run) -> list[Program]:
    """The judged programs that must run before it, so that ``run`` has the result that was seen."""
    at = next((n for n, item in enumerate(batch) if item.program is found.program), 0)
    before = [item for item in batch[:at] if item.program.judged]
    if batch:
        before.append(Item(found.program, batch[at].frames[: batch[at].frames.index(found.frame)]))

    def again(items: Sequence[Item]) -> bool:
        work = [*((i.program.words(), i.frames) for i in items), (found.program.words(), [found.frame])]
        return as_judged(run(work)[-1][0]) == as_judged(found.results[1])

    if not again(before):
        return []
    for item in list(before):
        fewer = [i for i in before if i is not item]
        before = fewer if again(fewer) else before
    return [i.program for i in before]


def _without_tail(program: Program, frame: bytes) -> Iterator[tuple[Program, bytes]]:
    """The shorter beginnings, shortest first."""
    if program.loop:
        yield replace(program, loop=False), frame
    for n in range(1, len(program.units)):
        yield replace(program, units=program.units[:n]), frame


def _without_one(program: Program, frame: bytes) -> Iterator[tuple[Program, bytes]]:
    """Halves, quarters and single units left out."""
    count = len(program.units)
    for width in (8, 4, 2, 1):
        for n in range(0, count - width + 1, width):
            if count > width:
                yield replace(program, units=program.units[:n] + program.units[n + width :]), frame


def _zeroed(program: Program, frame: bytes) -> Iterator[tuple[Program, bytes]]:
    """One doubleword of the state, or all of the buffer, zero."""
    values = list(struct.unpack_from("<170Q", frame))
    if any(frame[BLOCK_SIZE:]):
        yield program, frame[:BLOCK_SIZE] + bytes(len(frame) - BLOCK_SIZE)
    for start, end in ((42, 170), (0, 36)):
        yield from _zeroed_range(program, frame, values, range(start, end))
    for n in range(170):
        yield from _zeroed_range(program, frame, values, range(n, n + 1))


def _zeroed_range(
    program: Program, frame: bytes, values: list[int], which: Sequence[int]
) -> Iterator[tuple[Program, bytes]]:
    kept = (*program.addresses, CTR) if program.loop else program.addresses
    which = [n for n in which if n not in kept]
    if any(values[n] for n in which):
        changed = [0 if n in which else v for n, v in enumerate(values)]
        yield program, struct.pack("<170Q", *changed) + frame[BLOCK_SIZE:]
