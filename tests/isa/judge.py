# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's user-mode emulator as a judge: many programs, each on many states, in one process of ``driver.s``.

The newest emulator that can be had is taken: what ``scripts/judge`` fetched, else the installed one.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.isa.case import BLOCK_SIZE, CODE, CODE_WORDS, Case, State, pack, unpack

DONE = 0x2000  #: where a program goes at its end
TIMEOUT = 600  #: seconds for one process


def tool(little: bool, name: str) -> str:
    """A cross tool of binutils; skips the test where it is not installed."""
    return installed(f"powerpc64{'le' if little else ''}-linux-gnu-{name}")


def installed(program: str) -> str:
    """The path of a program; skips the test where there is none."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


def fetched() -> Path:
    """Where ``scripts/judge`` puts Debian's newer QEMU."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "lpar", "judge")


def emulator(little: bool) -> str:
    """The emulator for a byte order."""
    name = f"qemu-ppc64{'le' if little else ''}"
    newer = fetched() / "usr/bin" / name
    return str(newer) if newer.exists() else installed(name + "-static")


def system() -> list[str]:
    """The command of qemu-system-ppc64: what ``scripts/judge system`` fetched and its libraries, or ours."""
    root = fetched()
    program = root / "usr/bin/qemu-system-ppc64"
    if not program.exists():
        return [installed("qemu-system-ppc64")]
    library = root / "usr/lib/x86_64-linux-gnu"
    loader = [str(library / "ld-linux-x86-64.so.2"), "--library-path", str(library)]
    return [*loader, str(program), "-L", str(root / "usr/share/qemu")]


@functools.cache
def version(little: bool = True) -> int:
    """The emulator's major version."""
    text = subprocess.run([emulator(little), "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"version (\d+)", text)
    return int(found[1]) if found else 0


@functools.cache
def driver(little: bool) -> Path:
    """The assembled ``driver.s``; it lives as long as the process."""
    directory = Path(_directory().name)
    made, program = directory / f"driver{little:d}.o", directory / f"driver{little:d}"
    source = Path(__file__).with_name("driver.s")
    subprocess.run([tool(little, "as"), "-mpower9", "-o", made, source], check=True)
    linking = [
        "--section-start=.run=0x1000",
        "-z",
        "max-page-size=4096",
        "-e",
        "_start",
        "--no-warn-rwx-segments",
    ]
    subprocess.run([tool(little, "ld"), *linking, "-o", program, made], check=True)
    return program


@functools.cache
def _directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="lpar-isa-")


def _leave(index: int) -> int:
    """A branch from the program's word ``index`` to its end."""
    return 0x48000000 | (DONE - CODE - 4 * index & 0x03FFFFFC)


def _program(words: Sequence[int], states: Sequence[bytes], order: str) -> bytes:
    """One program as ``driver.s`` reads it; whatever lies behind it leads to the end."""
    total = max(CODE_WORDS, len(words) + 1)
    code = [*words, *(_leave(n) for n in range(len(words), total))]
    return struct.pack(f"{order}2Q{total}I", len(states), 4 * total, *code) + b"".join(states)


def run_programs(
    programs: Sequence[tuple[Sequence[int], Sequence[bytes]]],
    size: int,
    *,
    little: bool = True,
    cpu: str = "power10",
    timeout: float = TIMEOUT,
) -> list[list[bytes]]:
    """Run each program on each of its states (packed, with ``size`` bytes of buffer): the packed results.

    Raises RuntimeError when the process does not come to the end, TimeoutExpired when it takes too long.
    """
    order = "<" if little else ">"
    command = [emulator(little), "-cpu", cpu, str(driver(little))]
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as got:
        given.write(struct.pack(order + "Q", size))
        given.writelines(_program(words, states, order) for words, states in programs)
        given.seek(0)
        done = subprocess.run(command, stdin=given, stdout=got, stderr=subprocess.PIPE, timeout=timeout)
        got.seek(0)
        rows = _rows(got.read(), BLOCK_SIZE + size)
    counts = [len(states) for _, states in programs]
    if len(rows) != sum(counts) or done.returncode:
        raise RuntimeError(f"qemu stopped ({done.returncode}) in case {len(rows)}: {done.stderr.decode()}")
    ends = list(itertools.accumulate(counts))
    return [rows[end - n : end] for end, n in zip(ends, counts, strict=True)]


def _rows(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data) - size + 1, size)]


def run_qemu(cases: Sequence[Case], *, little: bool = True, cpu: str = "power10") -> list[State]:
    """The states after all cases, run in one process (which sends a fault as a signal).

    Raises RuntimeError when the process does not come to the end of the cases.
    """
    order = "<" if little else ">"
    size = max((len(c.before.memory) for c in cases), default=0)
    programs = [(c.words, [pack(c.before, order, size)]) for c in cases]
    results = run_programs(programs, size, little=little, cpu=cpu)
    return [unpack(row, order, len(c.before.memory)) for c, (row,) in zip(cases, results, strict=True)]
