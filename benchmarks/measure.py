# SPDX-License-Identifier: GPL-2.0-only
"""Rounds of measurements: each contender in turn, so that a host that changes its pace hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from benchmarks.contenders import Contender, Machine
from benchmarks.rows import BOOT, POWER_OFF, Row
from lpar.testing.console import ConsoleError, Session
from lpar.testing.shell import BOOT_TIMEOUT, PROMPT, Shell

Times = dict[str, dict[str, list[float]]]  #: row -> contender -> seconds of each round
Told = Callable[[str, str, float], None]  #: (contender, row, seconds), as soon as it is known

LIMIT = 600.0  #: seconds that one row may take


def measure(
    contenders: Sequence[Contender], rows: Sequence[Row], machine: Machine, rounds: int, told: Told
) -> Times:
    """All rows for all contenders.  Raises ConsoleError when a guest fails."""
    times: Times = {row.name: {} for row in rows}
    for _ in range(rounds):
        for contender in contenders:
            wanted = [BOOT] if contender.cold else rows
            for name, seconds in run_once(contender, wanted, machine).items():
                times.setdefault(name, {}).setdefault(contender.name, []).append(seconds)
                told(contender.name, name, seconds)
    return times


def run_once(contender: Contender, rows: Sequence[Row], machine: Machine) -> dict[str, float]:
    """Start one guest and take the time of each row in it."""
    with contender.environment() as environment:
        begin = time.perf_counter()
        with Session(contender.command(machine), env=environment) as session:
            session.expect(PROMPT, BOOT_TIMEOUT)
            times = {BOOT.name: time.perf_counter() - begin}
            shell = Shell(session)
            shell.run("dmesg -n 1")
            for row in rows:
                if row.line:
                    times[row.name] = time_of(shell, row)
            begin = time.perf_counter()
            shell.power_off()
            times[POWER_OFF.name] = time.perf_counter() - begin
    return {row.name: times[row.name] for row in rows}


def time_of(shell: Shell, row: Row) -> float:
    """Seconds of one row.  Raises ConsoleError when the guest gives another answer."""
    begin = time.perf_counter()
    output = shell.run(row.line, LIMIT)
    seconds = time.perf_counter() - begin
    if row.answer is not None and output != row.answer:
        raise ConsoleError(f"row {row.name}: {output!r} in place of {row.answer!r}")
    return seconds
