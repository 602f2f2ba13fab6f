# SPDX-License-Identifier: GPL-2.0-only
"""Runs batches of programs on all sides and finds where they differ."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.isa.case import CODE, Case, unpack
from tests.isa.fuzz.frames import NIP_AT, Engine, as_judged, run_oracle, run_qemu
from tests.isa.fuzz.program import Program, make, names
from tests.isa.fuzz.state import SIZE, Values
from tests.isa.harness import compare, disassemble


@dataclass(slots=True)
class Item:
    """A program and the frames that it begins with."""

    program: Program
    frames: list[bytes]


@dataclass(slots=True)
class Mismatch:
    """Two sides that leave different states of a program's frame."""

    program: Program
    frame: bytes
    sides: tuple[str, str]
    results: tuple[bytes, bytes]

    def differences(self) -> list[str]:
        """One line for each register that differs, the first side's value first."""
        first, second = (unpack(r, "<", SIZE) for r in self.results)
        found = compare(first, second)
        at = slice(8 * NIP_AT, 8 * NIP_AT + 8)
        if self.results[0][at] != self.results[1][at]:
            found.append("address of the fault: {}, {}".format(*(r[at][::-1].hex() for r in self.results)))
        return found

    def report(self) -> str:
        """A case ready to paste."""
        words = self.program.words()
        case = Case(words, unpack(self.frame, "<", SIZE), self.program.units[-1].name)
        lines = "\n    ".join(disassemble(words) + self.differences()[:8])
        return f"{self.sides[0]} and {self.sides[1]} differ:\n{case!r}\n    {lines}"


@dataclass(slots=True)
class Sides:
    """What runs in one byte order: the judge, the tiers, the oracle on some frames."""

    tiers: Sequence[str]
    little: bool = True
    qemu: int = 0  #: its major version; 0: not asked
    oracle_share: float = 0.0
    engines: list[Engine] = field(default_factory=list)
    executed: Counter[str] = field(default_factory=Counter)  #: instructions by side, near enough

    def __post_init__(self) -> None:
        self.engines = [Engine(t, little=self.little) for t in self.tiers]

    def close(self) -> None:
        """Stop the engines."""
        for engine in self.engines:
            engine.close()

    def batch(self, items: Sequence[Item], rng: random.Random) -> list[Mismatch]:
        """Run a batch: the mismatches, one at most for each program."""
        judged = iter(self._judge(items))
        found = []
        for item in items:
            words = item.program.words()
            results = {e.name: r for e in self.engines if (r := e.run(words, item.frames)) is not None}
            reference = results[self.engines[0].name]
            if item.program.judged and self.qemu:
                results["qemu"] = next(judged)
            if rng.random() < self.oracle_share and not item.program.relative:
                results["oracle"] = [run_oracle(words, f, little=self.little) for f in item.frames[:1]]
            for name, got in results.items():
                self.executed[name] += sum(_steps(r, len(words)) for r in got)
            found += self._differing(item, reference, results)[:1]
        return found

    def _judge(self, items: Sequence[Item]) -> list[list[bytes]]:
        work = [(i.program.words(), i.frames) for i in items if i.program.judged]
        return run_qemu(work, little=self.little) if work and self.qemu else []

    def _differing(
        self, item: Item, reference: list[bytes], results: dict[str, list[bytes]]
    ) -> list[Mismatch]:
        found = []
        for name, got in results.items():
            adjust: Callable[[bytes], bytes] = as_judged if name == "qemu" else bytes
            for frame, a, b in zip(item.frames, reference, got, strict=False):
                if a != b and adjust(a) != adjust(b):
                    sides = (self.engines[0].name, name)
                    found.append(Mismatch(item.program, frame, sides, (a, b)))
        return found


def _steps(result: bytes, length: int) -> int:
    """How many instructions a frame took at least: all, or those before the fault; loops count once."""
    nip = int.from_bytes(result[8 * NIP_AT : 8 * NIP_AT + 8], "little")
    return max(0, min((nip - CODE) // 4, length)) if nip else length


def items(
    rng: random.Random, values: Values, count: int, *, qemu: int, little: bool, length: int, states: int
) -> list[Item]:
    """Programs with their states."""
    made = []
    for _ in range(count):
        who = names(rng)
        program = make(rng, rng.randrange(2, length), who, qemu=qemu, little=little)
        made.append(Item(program, [values.frame(program, who) for _ in range(states)]))
    values.renew()
    return made
