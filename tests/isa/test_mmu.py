# SPDX-License-Identifier: GPL-2.0-only
"""The radix MMU against qemu-system-ppc64: random PTEs, keys and accesses; interrupts and PTEs after."""

from __future__ import annotations

import random
from collections import Counter

from tests.isa.judge import installed
from tests.isa.mmu_trials import Trial, random_trial, run_here, run_qemu

COUNT = 500


def test_radix_against_qemu() -> None:
    """Page sizes, protection, storage keys, R and C bits, instruction fetches, bad addresses."""
    installed("qemu-system-ppc64")
    rng = random.Random(1)
    trials = [random_trial(rng) for _ in range(COUNT)]
    ours, theirs = run_here(trials), run_qemu(trials)
    wrong = [(t, a, b) for t, a, b in zip(trials, ours, theirs, strict=True) if a != b]
    assert not wrong, "\n".join(f"{shown(t)}\n  {a}\n  {b}" for t, a, b in wrong[:5])
    seen = Counter(row["vector"] for row in ours)
    assert min(seen[v] for v in (0x300, 0x400, 0x380, 0x480, 0xC00)) > 0
    assert len({row["dsisr"] for row in ours if "dsisr" in row}) > 2


def shown(trial: Trial) -> str:
    """In hexadecimal."""
    return ", ".join(f"{name}={getattr(trial, name):#x}" for name in trial.__dataclass_fields__)
