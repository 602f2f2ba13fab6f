# SPDX-License-Identifier: GPL-2.0-only
"""Bare-metal programs in both byte orders, built from assembler; ``lpar run`` runs them as for a user."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.baremetal.build import build

LPAR = [sys.executable, "-c", "from lpar.cli.main import entry; entry()"]
ORDERS = pytest.mark.parametrize("little", [False, True], ids=["BE", "LE"])
ACCELERATORS = pytest.mark.parametrize("accel", ["interp", "auto"])


def run(name: str, directory: Path, *options: str, little: bool) -> list[str]:
    """What the program printed, by lines, when it has powered off."""
    program = build(name, directory, little=little)
    command = [*LPAR, "run", "-k", str(program), "-m", "256M", "--timeout", "60", "-q", *options]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout.splitlines()


def numbers(lines: list[str]) -> list[int]:
    """Lines of hexadecimal digits."""
    return [int(line, 16) for line in lines]


@ORDERS
@pytest.mark.parametrize("cpu", ["POWER8", "POWER9", "POWER10"])
def test_hello(tmp_path: Path, cpu: str, little: bool) -> None:
    first, *rest = run("hello", tmp_path, "--cpu", cpu, little=little)
    assert first == "Hello from a partition in its own byte order."
    number, byte, msr = numbers(rest)
    assert number == 0x0123456789ABCDEF
    assert byte == (0xEF if little else 0x01)
    assert msr & ~0x1000 == 1 << 63 | little


@ORDERS
@ACCELERATORS
def test_code_that_changes(tmp_path: Path, accel: str, little: bool) -> None:
    lines = run("smc", tmp_path, "--accel", accel, little=little)
    assert numbers(lines) == [500500, 500500, 1200, 75, 12_000_000]


@ORDERS
@ACCELERATORS
def test_two_processors(tmp_path: Path, accel: str, little: bool) -> None:
    *counts, last = run("smp", tmp_path, "-c", "2", "--accel", accel, little=little)
    assert numbers(counts) == [0, 100_000, 200_000, 100_000, 100, 100]
    assert last == "stopped"


@ORDERS
def test_decrementer_interrupts_come_at_their_rate(tmp_path: Path, little: bool) -> None:
    """200 interrupts 1 ms apart take at least 200 ms of timebase (each is armed in its handler)."""
    started = time.monotonic()
    ticks, unit = run("clock", tmp_path, little=little)
    passed = time.monotonic() - started
    assert unit == "ticks"
    assert 200 * 512_000 <= int(ticks, 16) < passed * 512_000_000


@ORDERS
@ACCELERATORS
def test_groups(tmp_path: Path, accel: str, little: bool) -> None:
    """Fixed point, storage, reservations, binary and decimal floating point, VMX, cipher, VSX, quad."""
    lines = run("groups", tmp_path, "--cpu", "POWER9", "--accel", accel, little=little)
    a, b = 0x0123456789ABCDEF, 0xFEDCBA9876543210
    wide, other = a << 64 | b, b << 64 | a
    total = wide + other & (1 << 128) - 1
    assert numbers(lines) == [
        (a * (b - (1 << 64)) >> 64) & (1 << 64) - 1,
        b // a,
        b & 0xFFFF0000000000FF | a << 8 & 0x0000FFFFFFFFFF00,
        0xEFCDAB8967452301,
        0xCDEF if little else 0x0123,
        0x01234567 if little else 0x89ABCDEF,
        a + 1,
        0x3FF6A09E667F3BCD,
        8,
        12345**2,
        b if little else a,
        total >> 64,
        total & (1 << 64) - 1,
        0xA49C7FF2689F352B,
        0x6B5BEA43026A5049,
        a,
        0x89ABCDEF01234567 if little else a,
        0x3FFF6A09E667F3BC,
        0xC908B2FB1366EA95,
    ]
