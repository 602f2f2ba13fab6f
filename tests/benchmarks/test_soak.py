# SPDX-License-Identifier: GPL-2.0-only
"""What the soak test takes for wrong."""

from __future__ import annotations

import pytest
from benchmarks.soak import GROWTH, PAIRS, Verdict, line_of

from benchmarks import rows


def right(*names: str) -> str:
    return "\n".join(f"<{name} 0 {len(name):x}>" for name in names)


def test_all_right() -> None:
    verdict = Verdict(memory=[100, 110, 100 + GROWTH])
    for _ in range(2):
        verdict.take(right("storm", "storm"), ("storm", "storm"))
        verdict.take("<unxz 0 5>\nnoise\n<gunzip 0 5>", ("gunzip", "unxz"))
    assert (verdict.judge(), verdict.runs) == ([], 8)


@pytest.mark.parametrize(
    "output",
    [
        "<gcc 0 aa>\n<xz 1 bb>",
        "<gcc 0 aa>\n<xz 0 >",
        "<gcc 0 ab>\n<xz 0 bb>",
        "<gcc 0 aa>",
        "",
        "<gcc 0 aa>" * 2,
    ],
)
def test_wrong_results(output: str) -> None:
    verdict = Verdict()
    verdict.take("<gcc 0 aa>\n<xz 0 bb>", ("gcc", "xz"))
    assert verdict.judge() == []
    verdict.take(output, ("gcc", "xz"))
    assert verdict.judge()


def test_memory_that_grows_and_files_that_differ() -> None:
    assert Verdict(memory=[100, 101 + GROWTH]).judge()
    assert Verdict(sums={"gunzip": {"1"}, "unxz": {"2"}}).judge()


def test_lines_exist() -> None:
    for name in {name for pair in PAIRS for name in pair}:
        assert name == "storm" or name in rows.ALL
        assert "/tmp/x." not in line_of(name, 1)
