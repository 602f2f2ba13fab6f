# SPDX-License-Identifier: GPL-2.0-only
"""The tables, for the terminal, as Markdown and as JSON; the verdict on the checksums."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import statistics
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.contenders import CONTENDERS, REFERENCE
from benchmarks.measure import Sample, Samples, failed
from benchmarks.plot import plot
from benchmarks.rows import ALL, GROUPS

HEAD = ("row", "contender", "median", "min", "max", "speed")
FAILED = "FAILED"


def compare(samples: Samples) -> Samples:
    """The samples, with an error in each whose checksum differs from the reference's (else most)."""
    checked: Samples = {}
    for row, by_contender in samples.items():
        right = _right(by_contender)
        checked[row] = {
            name: [_compared(sample, right) for sample in each] for name, each in by_contender.items()
        }
    return checked


def _right(by_contender: dict[str, list[Sample]]) -> str:
    voters = by_contender.get(REFERENCE) or [sample for each in by_contender.values() for sample in each]
    votes = Counter(sample.checksum for sample in voters if not sample.error)
    return votes.most_common(1)[0][0] if votes else ""


def _compared(sample: Sample, right: str) -> Sample:
    if sample.error or not right or sample.checksum == right:
        return sample
    return failed(f"WRONG RESULT: {sample.checksum} in place of {right}")


def errors(samples: Samples) -> list[str]:
    """One line for each sample without a figure."""
    return [
        f"{row}, {name}: {sample.error}"
        for row, by_contender in samples.items()
        for name, each in by_contender.items()
        for sample in each
        if sample.error
    ]


def figures(each: Sequence[Sample]) -> list[float]:
    """A contender's figures of a row; none at all when one of them failed."""
    return [] if any(sample.error for sample in each) else [sample.figure for sample in each]


def speed(by_contender: dict[str, list[Sample]], name: str) -> float | None:
    """How many times as fast as the reference, by medians; None when there is nothing to compare."""
    own, reference = figures(by_contender.get(name, [])), figures(by_contender.get(REFERENCE, []))
    if not own or not reference or not statistics.median(own):
        return None
    return statistics.median(reference) / statistics.median(own)


def scaling(samples: Samples, row: str, name: str) -> float | None:
    """How many times one CPU's work two CPUs do, by medians."""
    half = ALL[row].half
    if half is None or half not in samples:
        return None
    one, two = figures(samples[half].get(name, [])), figures(samples[row].get(name, []))
    return 2 * statistics.median(one) / statistics.median(two) if one and two else None


def means(samples: Samples, name: str) -> dict[str, tuple[float, int]]:
    """Geometric means of the speeds of each group, and over how many rows."""
    found: dict[str, tuple[float, int]] = {}
    for group in GROUPS:
        members = [row for row in samples if ALL[row].group == group and ALL[row].in_total]
        speeds = [value for row in members if (value := speed(samples[row], name)) is not None]
        if speeds:
            found[group] = (statistics.geometric_mean(speeds), len(speeds))
    return found


def lines_of(samples: Samples) -> list[tuple[str, ...]]:
    """The table's lines, figures with two digits."""
    lines: list[tuple[str, ...]] = []
    for row, by_contender in samples.items():
        for name, each in by_contender.items():
            if not (own := figures(each)):
                lines.append((row, name, FAILED, "", "", ""))
                continue
            over = speed(by_contender, name)
            numbers = [f"{f(own):.2f}" for f in (statistics.median, min, max)]
            lines.append((row, name, *numbers, "" if over is None else f"{over:.2f}"))
    return lines


def mean_lines(samples: Samples, names: Sequence[str]) -> list[tuple[str, ...]]:
    """(group, contender, geometric mean, rows)."""
    return [
        (group, name, f"{mean:.2f}", str(rows))
        for name in names
        if name != REFERENCE
        for group, (mean, rows) in means(samples, name).items()
    ]


def scaling_lines(samples: Samples, names: Sequence[str]) -> list[tuple[str, ...]]:
    """(row, contender, times one CPU's work)."""
    return [
        (row, name, f"{value:.2f}")
        for row in samples
        for name in names
        if (value := scaling(samples, row, name)) is not None
    ]


def table(lines: Sequence[tuple[str, ...]], head: tuple[str, ...]) -> str:
    """For the terminal: the first two columns to the left, numbers to the right."""
    lines = [head, *lines]
    widths = [max(len(line[n]) for line in lines) for n in range(len(head))]
    return "\n".join(_aligned(line, widths) for line in lines)


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.ljust(width) if n < 2 else cell.rjust(width)
        for n, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def sections(samples: Samples) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """(title, head, lines) of all tables that have lines."""
    names = list(next(iter(samples.values()), {}))
    found = [
        ("Rows (seconds, host memory in MiB; speed: QEMU's median over this one)", HEAD, lines_of(samples)),
        ("Geometric means of the speed", ("group", "contender", "speed", "rows"), mean_lines(samples, names)),
        ("Work of two CPUs over one's", ("row", "contender", "times"), scaling_lines(samples, names)),
    ]
    return [section for section in found if section[2]]


def text(samples: Samples) -> str:
    """All tables for the terminal."""
    return "\n\n".join(f"{title}\n\n{table(lines, head)}" for title, head, lines in sections(samples))


def circumstances(rounds: int, memory: str, params: str) -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _first_line("git", "rev-parse", "--short", "HEAD"),
        "host": {"cpu": _cpu_name(), "cores": os.cpu_count(), "kernel": platform.release()},
        "load": round(os.getloadavg()[1], 2),
        "qemu": _first_line("qemu-system-ppc64", "--version"),
        "machine": {"memory": memory, "params": params},
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


def write(where: Path, samples: Samples, about: dict[str, Any]) -> None:
    """``results.json`` with every sample, ``results.md`` with the tables, ``speed.svg``."""
    where.mkdir(parents=True, exist_ok=True)
    plain = {
        row: {name: [sample.save() for sample in each] for name, each in by_contender.items()}
        for row, by_contender in samples.items()
    }
    (where / "results.json").write_text(json.dumps({**about, "samples": plain}, indent=1) + "\n")
    (where / "results.md").write_text(markdown(samples, about))
    (where / "speed.svg").write_text(_plot(samples))


def _plot(samples: Samples) -> str:
    names = [name for name in next(iter(samples.values()), {}) if name != REFERENCE]
    bars = {
        (ALL[row].group, row): {name: value for name in names if (value := speed(by, name)) is not None}
        for row, by in samples.items()
        if ALL[row].in_total
    }
    return plot("lpar's speed over QEMU's", bars, names)


def markdown(samples: Samples, about: dict[str, Any]) -> str:
    """The tables and what they depend on."""
    host, machine = about["host"], about["machine"]
    words = [
        "# Benchmark results",
        "",
        f"{about['date']}, commit {about['commit']}, {about['rounds']} rounds in turn;",
        f"{host['cpu']}, {host['cores']} cores, Linux {host['kernel']}, load {about['load']};",
        f"{about['qemu']}; guest: Debian 12's kernel for ppc64el, {machine['memory']}.",
        "",
        "![speed](speed.svg)",
    ]
    for title, head, lines in sections(samples):
        words += ["", f"## {title}", "", _markdown_line(head), "|---|---|" + "---:|" * (len(head) - 2)]
        words += [_markdown_line(line) for line in lines]
    if wrong := errors(samples):
        words += ["", "## Failures", "", *(f"- {line}" for line in wrong)]
    words += ["", "## What the rows are", "", *(f"- {row}: {ALL[row].about}" for row in samples)]
    contenders = next(iter(samples.values()), {})
    for name in contenders:
        if name != REFERENCE:
            words.append(f"- {name}: lpar's cache holds {CONTENDERS[name].cache.value}")
    return "\n".join(words) + "\n"


def _markdown_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
