# SPDX-License-Identifier: GPL-2.0-only
"""The table, for the terminal, as Markdown and as JSON."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.contenders import REFERENCE, Machine
from benchmarks.measure import Times
from benchmarks.rows import ALL

HEAD = ("row", "contender", "median", "min", "max", f"/ {REFERENCE}")


def ratio(by_contender: dict[str, list[float]], name: str) -> float | None:
    """Median of a contender over the reference's (below 1: faster); None without a reference."""
    reference = by_contender.get(REFERENCE)
    return statistics.median(by_contender[name]) / statistics.median(reference) if reference else None


def lines_of(times: Times) -> list[tuple[str, ...]]:
    """The table's lines, seconds with two digits."""
    lines = []
    for row, by_contender in times.items():
        for name, seconds in by_contender.items():
            over = ratio(by_contender, name)
            figures = [f"{f(seconds):.2f}" for f in (statistics.median, min, max)]
            lines.append((row, name, *figures, "" if over is None else f"{over:.2f}"))
    return lines


def table(times: Times) -> str:
    """For the terminal."""
    lines = [HEAD, *lines_of(times)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(HEAD))]
    return "\n".join(_aligned(line, widths) for line in lines)


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.ljust(width) if n < 2 else cell.rjust(width)
        for n, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def circumstances(machine: Machine, rounds: int) -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _first_line("git", "rev-parse", "--short", "HEAD"),
        "host": {"cpu": _cpu_name(), "cores": os.cpu_count(), "kernel": platform.release()},
        "qemu": _first_line("qemu-system-ppc64", "--version"),
        "machine": {"cpus": machine.cpus, "memory": machine.memory, "params": machine.all_params},
        "rounds": rounds,
    }


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.partition("\n")[0]


def _cpu_name() -> str:
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def write(where: Path, times: Times, about: dict[str, Any]) -> None:
    """``results.json`` with every figure, ``results.md`` with the table."""
    where.mkdir(parents=True, exist_ok=True)
    (where / "results.json").write_text(json.dumps({**about, "seconds": times}, indent=1) + "\n")
    (where / "results.md").write_text(markdown(times, about))


def markdown(times: Times, about: dict[str, Any]) -> str:
    """The table and what it depends on."""
    rows = ["| " + " | ".join(line) + " |" for line in (HEAD, *lines_of(times))]
    rows.insert(1, "|---|---|---:|---:|---:|---:|")
    host, machine = about["host"], about["machine"]
    words = [
        "# Benchmark results",
        "",
        f"Seconds; rounds in turn: {about['rounds']}; last column: median over {REFERENCE}'s.",
        f"{about['date']}, commit {about['commit']};",
        f"{host['cpu']}, {host['cores']} cores, Linux {host['kernel']};",
        f"{about['qemu']}; guest: Debian 12's installer, {machine['cpus']} CPU, {machine['memory']}.",
        "",
        *rows,
        "",
        *(f"- {row}: {ALL[row].about}" for row in times),
    ]
    return "\n".join(words) + "\n"
