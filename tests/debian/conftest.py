# SPDX-License-Identifier: GPL-2.0-only
"""A whole Debian, set up once and kept in the cache: ``make test-debian``."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lpar.cli.guests import cache_dir
from lpar.testing.shell import LPAR

SETUP_LIMIT = 3600  #: seconds
COMMAND_LIMIT = 900

Lpar = Callable[..., "subprocess.CompletedProcess[bytes]"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These take minutes: they have a target of their own."""
    if os.environ.get("LPAR_TEST_DEBIAN"):
        return
    for item in items:
        if "tests/debian/" in item.nodeid:
            item.add_marker(pytest.mark.skip(reason="make test-debian runs it"))


@pytest.fixture(scope="session")
def data() -> Path:
    """Where the root file systems of these tests are."""
    where = cache_dir() / "test-data"
    where.mkdir(parents=True, exist_ok=True)
    return where


@pytest.fixture(scope="session")
def environment(data: Path) -> dict[str, str]:
    """The environment of all commands."""
    return {**os.environ, "XDG_DATA_HOME": str(data)}


@pytest.fixture(scope="session")
def debian(environment: dict[str, str]) -> str:
    """The name of a root that is set up."""
    done = subprocess.run(
        [*LPAR, "setup", "debian", "test"],
        env=environment,
        stderr=subprocess.PIPE,
        timeout=SETUP_LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return "test"


@pytest.fixture
def lpar(environment: dict[str, str], debian: str) -> Lpar:
    """Run a command line of lpar; its status, output and errors."""

    def run(*words: str, stdin: bytes = b"", cwd: str | Path = ".") -> subprocess.CompletedProcess[bytes]:
        command: Sequence[str] = [*LPAR, *words]
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            env=environment,
            cwd=cwd,
            timeout=COMMAND_LIMIT,
            check=False,
        )

    return run
