# SPDX-License-Identifier: GPL-2.0-only
"""What holds for the whole tree: layers, licences, no compiled things, functions of a readable size."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src" / "lpar").rglob("*.py"))
MAX_LINES = 600
MAX_FUNCTION = 80

sys.path.insert(0, str(ROOT / "src"))


def test_layers() -> None:
    """The import-linter contracts of pyproject.toml."""
    lint = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    done = subprocess.run(
        lint, cwd=ROOT, env={"PYTHONPATH": "src", "PATH": ""}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_source_file(path: Path) -> None:
    """Licence line, length of the file, length of its functions."""
    text = path.read_text()
    assert text.startswith("# SPDX-License-Identifier: GPL-2.0-only\n")
    assert text.count("\n") <= MAX_LINES
    too_long = [f"{name}: {lines} lines" for name, lines in _functions(text) if lines > MAX_FUNCTION]
    assert not too_long


def _functions(text: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def test_start_is_light() -> None:
    """Showing the version imports nothing heavy."""
    code = (
        "import sys\nfrom lpar.cli.main import main\nassert main(['version']) == 0\n"
        "heavy = {'rich', 'llvmlite', 'elftools', 'numpy', 'asyncio', 'subprocess'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
