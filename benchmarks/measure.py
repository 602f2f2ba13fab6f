# SPDX-License-Identifier: GPL-2.0-only
"""Rounds of measurements, row by row in turn: a host that changes its pace hits all contenders alike."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.contenders import Contender, Machine
from benchmarks.rows import BOOT, MEMORY, POWER_OFF, START, Row
from lpar.testing.console import ConsoleError, Session
from lpar.testing.shell import BOOT_TIMEOUT, PROMPT, Shell

LIMIT = 300.0  #: seconds that one row may take
STARTED = "lpar-run"  #: what the smallest kernel prints
SLACK = 0.5  #: seconds that the console and the shell may add to what the guest's clock says
RESULT = re.compile(r"^lparbench row=(\S+) jobs=\d+ count=(\d+) seconds=([\d.]+) sum=([0-9a-f]+)$", re.M)


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure of one row, in the row's unit; ``error`` says why there is none."""

    figure: float
    checksum: str = ""
    error: str = ""

    def save(self) -> dict[str, Any]:
        """As plain data."""
        return {name: value for name, value in asdict(self).items() if value != ""}


Samples = dict[str, dict[str, list[Sample]]]  #: row -> contender -> its samples
Told = Callable[[str, str, Sample], None]  #: (contender, row, sample), as soon as it is known
Plan = list[tuple[Machine, list[Row]]]  #: guests to start, and the rows to measure in each


def failed(why: object) -> Sample:
    """No figure."""
    return Sample(0.0, error=str(why).strip().partition("\n")[0] or "failed")


def plan_of(rows: Sequence[Row], machine_for: Callable[[str, int], Machine]) -> Plan:
    """Rows of the same image and number of CPUs share a guest."""
    ordered = sorted(rows, key=lambda row: (row.cpus, row.image))
    groups = groupby(ordered, key=lambda row: (row.image, row.cpus))
    return [(machine_for(*key), sorted(members, key=rows.index)) for key, members in groups]


def measure(contenders: Sequence[Contender], plan: Plan, rounds: int, told: Told) -> Samples:
    """All rows for all contenders; a row that fails leaves the others alone."""
    samples: Samples = {row.name: {each.name: [] for each in contenders} for _, rows in plan for row in rows}
    for _ in range(rounds):
        for machine, rows in plan:
            for contender, row, sample in in_turn(contenders, machine, rows):
                samples[row.name][contender.name].append(sample)
                told(contender.name, row.name, sample)
    return samples


def in_turn(
    contenders: Sequence[Contender], machine: Machine, rows: Sequence[Row]
) -> Iterator[tuple[Contender, Row, Sample]]:
    """A row of each contender, then the next row of each: their guests wait beside each other meanwhile.

    On a host whose cores others use, two guests measured minutes apart saw two different hosts (QEMU's boot
    14 s, then 24).
    """
    running = [(contender, run_all(contender, machine, rows)) for contender in contenders]
    while running:
        for contender, results in tuple(running):
            found = next(results, None)
            if found is None:
                running.remove((contender, results))
            else:
                yield contender, *found


def run_all(contender: Contender, machine: Machine, rows: Sequence[Row]) -> Iterator[tuple[Row, Sample]]:
    """The rows in one guest, or, after one that brings the guest down, in the next."""
    with contender.environment() as environment:
        left = list(rows)
        while left:
            begin = len(left)
            for row, sample in _run_some(contender.command(machine), tuple(left), environment):
                left.remove(row)
                yield row, sample
            if len(left) == begin:  # even the boot failed
                break
    for row in left:
        yield row, failed("the guest does not start")


def _run_some(
    command: Sequence[str], rows: Sequence[Row], environment: Mapping[str, str]
) -> Iterator[tuple[Row, Sample]]:
    """Start one guest and measure in it until a row gets no answer."""
    if rows[0].image == START:
        yield rows[0], _first_instructions(command, environment)
        return
    begin = time.perf_counter()
    with Session(command, env=environment) as session:
        try:
            session.expect(PROMPT, BOOT_TIMEOUT)
            booted = Sample(time.perf_counter() - begin)
            shell = Shell(session)
            shell.run("dmesg -n 1")
        except ConsoleError as err:
            if BOOT in rows:
                yield BOOT, failed(err)
            return
        for row in rows:
            try:
                yield row, booted if row == BOOT else _sample(shell, row)
            except ConsoleError as err:  # no answer in time, or no guest any more
                yield row, failed(err)
                return


def _first_instructions(command: Sequence[str], environment: Mapping[str, str]) -> Sample:
    begin = time.perf_counter()
    with Session(command, env=environment) as session:
        try:
            session.expect(STARTED, BOOT_TIMEOUT)
        except ConsoleError as err:
            return failed(err)
        return Sample(time.perf_counter() - begin)


def _sample(shell: Shell, row: Row) -> Sample:
    """Measure one row.  Raises ConsoleError when the guest does not answer."""
    try:
        if row == MEMORY:
            return Sample(overhead(shell.session.process.pid) / 2**20)
        begin = time.perf_counter()
        if row == POWER_OFF:
            shell.power_off()
            return Sample(time.perf_counter() - begin)
        status, output = shell.try_run(row.line, LIMIT)
        return judge(row, status, output, time.perf_counter() - begin)
    except OSError as err:
        return failed(err)


def judge(row: Row, status: int, output: str, seconds: float) -> Sample:
    """The sample that a line's status and output make; ``seconds`` are the host's.

    The guest's own figure counts if there is one, and must fit the host's: a guest whose clock is
    slow would look fast.
    """
    if status:
        return failed(f"status {status}: {output.strip().rpartition(chr(10))[2]}")
    if "lparbench" not in row.line:
        if row.answer is not None and output != row.answer:
            return failed(f"{output!r} in place of {row.answer!r}")
        return Sample(seconds, checksum=output if len(output) < 80 else "")
    found = RESULT.search(output)
    if not found:
        return failed(f"no result in {output!r}")
    figure = float(found[3])
    if not 0.8 * seconds - SLACK <= figure <= seconds * 1.02 + 0.05:
        return failed(f"{figure:.2f} s by the guest's clock, {seconds:.2f} by the host's")
    return Sample(figure, checksum=f"{found[2]}:{found[4]}")


def overhead(pid: int) -> int:
    """Bytes at the peak of what a process and those that it started held, without the guest's RAM.

    The guest's RAM is its largest run of mappings without a gap, and is not given back while it runs.
    Raises OSError.
    """
    own = largest_run(Path(f"/proc/{pid}/smaps").read_text())
    return sum(peak(each) for each in family(pid)) - own


def peak(pid: int) -> int:
    """Bytes of memory that a process has held at most.  Raises OSError."""
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)
    if not found:
        raise OSError(f"/proc/{pid}/status tells no peak")
    return int(found[1]) << 10


def family(pid: int) -> Iterator[int]:
    """A process and all those that it started and that still run."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from family(int(child))


def largest_run(smaps: str) -> int:
    """Resident bytes of the largest run of anonymous mappings that can be written.

    >>> largest_run("1000-3000 rw-p 0 00:00 0 \\nRss: 4 kB\\n3000-4000 r--p 0 00:00 0 \\nRss: 2 kB\\n")
    4096
    """
    runs: list[list[int]] = []  # [begin, end, resident]
    inside = False
    for line in smaps.splitlines():
        if head := re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ (\d+)", line):
            begin, end = int(head[1], 16), int(head[2], 16)
            inside = head[3].startswith("rw") and head[4] == "0"
            if inside and runs and runs[-1][1] == begin:
                runs[-1][1] = end
            elif inside:
                runs.append([begin, end, 0])
        elif inside and (resident := re.match(r"Rss:\s+(\d+) kB", line)):
            runs[-1][2] += int(resident[1]) << 10
    return max(runs, key=lambda run: run[1] - run[0], default=[0, 0, 0])[2]
