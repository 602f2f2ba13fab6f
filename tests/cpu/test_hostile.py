# SPDX-License-Identifier: GPL-2.0-only
"""A guest that executes garbage never crashes or stops the monitor (see ``tests.cpu.hostile``)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("jit", [[], ["jit"]], ids=["interp", "jit"])
@pytest.mark.parametrize("seed", [0, 1001, 2000])
def test_garbage(seed: int, jit: list[str]) -> None:
    command = [sys.executable, "-m", "tests.cpu.hostile", str(seed), "60", *jit]
    paths = f"{ROOT / 'src'}:{ROOT}"
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**__import__("os").environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout.split()[-1:]) == (0, ["end"]), (
        f"status {done.returncode} after {done.stdout.split()[-1:]}: {done.stderr[-2000:]}"
    )
