# SPDX-License-Identifier: GPL-2.0-only
"""What the KVM rig makes of failed tests: tried once more, and told at the end if they fail again."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.kvm.rig.inside import tests as run_tests

PASSES = "def test_fine(): pass\n"
ONCE = """
from pathlib import Path

def test_once():
    mark = Path('mark')
    been, _ = mark.exists(), mark.touch()
    assert been
"""
ALWAYS = """
import pytest

@pytest.mark.parametrize('a', ['2 CPUs'])
def test_always(a):
    assert 'it' == 'other'
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a tests directory, the one we are in."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(tree: Path, text: str) -> list[str]:
    (tree / "tests" / "test_a.py").write_text(text)
    return run_tests("tests of mine", ["tests"])


def test_all_pass(tree: Path) -> None:
    assert _run(tree, PASSES) == []


def test_an_accident_is_shown_and_no_failure(tree: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert _run(tree, PASSES + ONCE) == []
    shown = capfd.readouterr().out
    assert "rig: FAILED tests/test_a.py::test_once - assert False" in shown
    assert "rig: what failed, once more" in shown


def test_a_failure_is_told(tree: Path) -> None:
    [told] = _run(tree, PASSES + ONCE + ALWAYS)
    assert told.startswith("the second time too: FAILED tests/test_a.py::test_always[2 CPUs] - ")


def test_many_failures_are_not_tried_again(tree: Path) -> None:
    many = "\n".join(f"def test_{n}(): assert False" for n in range(6))
    told = _run(tree, many)
    assert told[0] == "tests of mine: pytest ended with status 1"
    assert len(told) == 7


def test_no_tests_at_all_is_a_failure(tree: Path) -> None:
    assert _run(tree, "") == ["tests of mine: pytest ended with status 5"]
