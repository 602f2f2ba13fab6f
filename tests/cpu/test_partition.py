# SPDX-License-Identifier: GPL-2.0-only
"""Interrupts of what a partition has in part or not at all, on the interpreter."""

from __future__ import annotations

import pytest
from tests.cpu.runner import LE, ME, PR, RI, SF, Bench
from tests.isa.harness import CODE

MSR = SF | ME | RI | LE
PRIVILEGED = 1 << 18


@pytest.mark.parametrize(
    ("line", "dsisr", "ea"),
    [
        ("paste. 0, 4", 1 << 19, 0x4000),
        ("lwat 6, 4, 9", 1 << 18, 0x4000),
        ("stdat 6, 4, 31", 1 << 18, 0x4000),
    ],
)
def test_data_storage_interrupts(bench: Bench, line: str, dsisr: int, ea: int) -> None:
    assert bench.execute(["nop", line], msr=MSR, r4=ea) == 0x300
    assert (bench["dsisr"], bench["dar"], bench["srr0"]) == (dsisr, ea, CODE + 4)


@pytest.mark.parametrize(
    ("line", "cause", "msr"),
    [
        ("tbegin.", 5, MSR | PR),
        ("treclaim. 3", 5, MSR),
        ("rfebb 1", 7, MSR | PR),
        ("mtspr 804, 3", 7, MSR | PR),
        ("mfbhrbe 3, 0", 4, MSR | PR),
    ],
)
def test_facilities(bench: Bench, line: str, cause: int, msr: int) -> None:
    assert bench.execute(["nop", ".machine power8", line], msr=msr) == 0xF60
    assert (bench["fscr"] >> 56, bench["srr0"]) == (cause, CODE + 4)


@pytest.mark.parametrize("line", ["msgsnd 3", "lwzcix 3, 4, 5", ".machine power8; nap"])
@pytest.mark.parametrize("problem", [0, PR])
def test_hypervisors_instructions(bench: Bench, line: str, problem: int) -> None:
    assert bench.execute(["nop", line], msr=MSR | problem) == 0x700
    assert bench["srr1"] & 0x783F0000 == PRIVILEGED


def test_event_handler_registers_and_return(bench: Bench) -> None:
    """rfebb goes to EBBRR and sets BESCR[GE]; the sc there ends the run."""
    lines = ["mtspr 805, 4", "mtspr 803, 3", "rfebb 1", "trap"]
    bench.start(lines, msr=MSR, r3=0, r4=CODE + 16, fscr=1 << 7)
    assert bench.go() == CODE + 16
    assert bench["bescr"] == 1 << 63
