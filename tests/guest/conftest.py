# SPDX-License-Identifier: GPL-2.0-only
"""Guests for the tests of this directory: booted once where that will do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from lpar.cli.guests import Guest
from lpar.cli.kernels import Kernel
from lpar.testing.console import Session
from lpar.testing.shell import LPAR, Shell, boot_debian

Boot = Callable[..., Shell]


@dataclass(frozen=True)
class Idle:
    """A guest that has done nothing since ``host`` (time.monotonic), its uptime then in ``guest``."""

    shell: Shell
    host: float
    guest: float


@pytest.fixture(scope="session", autouse=True)
def _idle_first(request: pytest.FixtureRequest) -> None:
    """Have the idle guest up before all others, so that its minute passes beside them."""
    if any("idle" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("idle")


@pytest.fixture(scope="session")
def idle(debian: Guest) -> Iterator[Idle]:
    """A guest with a shell and nothing to do."""
    shell = boot_debian().ready()
    host, guest = shell.uptime()
    yield Idle(shell, host, guest)
    shell.session.close()


@pytest.fixture(scope="session")
def shared(debian: Guest) -> Iterator[Shell]:
    """A guest with a shell on a pipe, for all tests that leave it as it was."""
    shell = boot_debian().ready()
    yield shell
    shell.session.close()


@pytest.fixture
def boot(debian: Guest) -> Iterator[Boot]:
    """Starts ``lpar boot debian`` with options, as many as wanted; kills what is left in the end."""
    shells: list[Shell] = []

    def start(*args: str, terminal: bool = False) -> Shell:
        shells.append(boot_debian(*args, terminal=terminal))
        return shells[-1]

    yield start
    for shell in shells:
        shell.session.close()


@pytest.fixture
def linux(debian_kernel: Kernel) -> Iterator[Boot]:
    """Starts ``lpar boot linux`` with options, as ``boot`` does."""
    shells: list[Shell] = []

    def start(*args: str, terminal: bool = False) -> Shell:
        shells.append(Shell(Session([*LPAR, "boot", "linux", *args], terminal=terminal)))
        return shells[-1]

    yield start
    for shell in shells:
        shell.session.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here boots a real guest."""
    for item in items:
        if "tests/guest/" in item.nodeid:
            item.add_marker(pytest.mark.guest)


def wait_until(moment: float) -> None:
    """Sleep until ``time.monotonic()`` is ``moment``."""
    time.sleep(max(moment - time.monotonic(), 0.0))
