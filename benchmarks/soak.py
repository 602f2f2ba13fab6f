# SPDX-License-Identifier: GPL-2.0-only
"""Minutes of mixed load in one guest of two CPUs: every result right, the host's memory flat.

    python -m benchmarks.soak [--minutes 10] [-- LPAR OPTIONS]

Pairs of lines run at once, compressing beside compiling beside storms of processes; each prints the checksum
of what it made.  A line must always make the same, and gunzip and unxz the same as each other.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.contenders import lpar
from benchmarks.images import machine_of
from benchmarks.measure import overhead
from benchmarks.rows import ALL, USERLAND
from lpar.testing.console import ConsoleError, Session
from lpar.testing.shell import BOOT_TIMEOUT, PROMPT, Shell

MEMORY = "2G"
LIMIT = 600.0  #: seconds for a pair of lines
GROWTH = 64  #: MiB of the host's memory that may come after the first pass: the compiler's process, mostly
PAIRS = (
    ("gcc", "gzip"),
    ("xz", "storm"),
    ("unxz", "gunzip"),
    ("storm", "gcc"),
    ("openssl-sha", "py-text"),
    ("sqlite", "storm"),
    ("storm", "storm"),
)
STORM = "/lparbench forkexec 100"
RESULT = re.compile(r"<(\S+) (\d+) (\S*)>")


@dataclass
class Verdict:
    """What was seen: checksums by line, MiB of host memory after each pass, what was wrong."""

    sums: dict[str, set[str]] = field(default_factory=dict)
    memory: list[int] = field(default_factory=list)
    runs: int = 0
    wrong: list[str] = field(default_factory=list)

    def take(self, output: str, pair: Sequence[str]) -> None:
        """The output of one pair of lines."""
        found = RESULT.findall(output)
        if sorted(name for name, *_ in found) != sorted(pair):
            self.wrong.append(f"{'+'.join(pair)}: no result in {output[-300:]!r}")
        for name, status, checksum in found:
            self.runs += 1
            known = self.sums.setdefault(name, {checksum})
            if status != "0" or checksum not in known or not checksum:
                self.wrong.append(f"{name}: status {status}, checksum {checksum} in place of {known}")

    def judge(self) -> list[str]:
        """All that is wrong in the end."""
        wrong = list(self.wrong)
        if self.sums.get("gunzip") != self.sums.get("unxz"):
            wrong.append("gunzip and unxz made different files of the same one")
        if self.memory and self.memory[-1] > self.memory[0] + GROWTH:
            wrong.append(f"the host's memory grew from {self.memory[0]} to {self.memory[-1]} MiB")
        return wrong


def line_of(name: str, slot: int) -> str:
    """A shell line that runs ``name`` and prints <NAME STATUS CHECKSUM>."""
    command = STORM if name == "storm" else ALL[name].line.replace("/tmp/x.", f"/tmp/{slot}.")
    command = re.sub(r"( /data/text\.[gx]z)\1+", r"\1", command)  # once: both must make the same file
    return f'r=$({command} 2>&1); s=$?; echo "<{name} $s ${{r##*sum=}}>"'


def run(minutes: float, options: Sequence[str]) -> Verdict:
    """Load a guest for some minutes."""
    verdict = Verdict()
    with Session(lpar(machine_of(USERLAND, 2, MEMORY), *options)) as session:
        session.expect(PROMPT, BOOT_TIMEOUT)
        shell = Shell(session)
        shell.run("dmesg -n 1")
        end = time.monotonic() + 60 * minutes
        while not verdict.wrong and (not verdict.runs or time.monotonic() < end):
            for pair in PAIRS:
                first, second = (line_of(name, slot) for slot, name in enumerate(pair))
                verdict.take(shell.run(f"({first}) & {second}; wait", LIMIT), pair)
            verdict.memory.append(overhead(session.process.pid) >> 20)
            left = max(end - time.monotonic(), 0) / 60
            print(f"{verdict.runs} lines right, {verdict.memory[-1]} MiB, {left:.1f} min left", flush=True)
        problems = shell.run("dmesg | grep -iE 'BUG|Oops|lockup|stall|Call Trace' || true")
        if problems:
            verdict.wrong.append(f"the kernel complains: {problems[:300]}")
        if shell.power_off() != 0:
            verdict.wrong.append("the guest did not power off")
    return verdict


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="benchmarks.soak", description="Mixed load, every result checked.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("options", nargs="*", help="for lpar run, behind --")
    given = parser.parse_args()
    try:
        verdict = run(given.minutes, given.options)
    except ConsoleError as err:
        print(f"soak: {err}", file=sys.stderr)
        return 1
    wrong = verdict.judge()
    for line in wrong:
        print(f"soak: {line}", file=sys.stderr)
    print(f"{verdict.runs} lines, memory {verdict.memory} MiB: {'WRONG' if wrong else 'all right'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
