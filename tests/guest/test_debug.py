# SPDX-License-Identifier: GPL-2.0-only
"""Linux's hardware watchpoints (DAWR by H_SET_MODE) and single steps (MSR[SE]), by ptrace in a real guest."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lpar.cli.cpio import append_to, regular
from lpar.cli.guests import Guest
from lpar.testing.shell import Shell, boot_debian

COMPILER = "powerpc64le-linux-gnu-gcc"
SOURCE = Path(__file__).parent / "programs" / "debug.c"
ROUNDS = 50  #: of the program


@pytest.fixture(scope="module", params=["POWER8", "POWER10"])
def guest(
    request: pytest.FixtureRequest, debian: Guest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shell]:
    """A shell with the program in it (on POWER9 Linux leaves DAWR alone: an erratum of the processor)."""
    if shutil.which(COMPILER) is None:
        pytest.skip("no cross compiler")
    where = tmp_path_factory.mktemp("debug")
    flags = ("-static", "-O2", "-Wall", "-Wextra", "-Werror")
    subprocess.run([COMPILER, *flags, "-o", str(where / "debug"), str(SOURCE)], check=True)
    program = regular("debug", (where / "debug").read_bytes(), 0o755)
    initrd = where / "initrd"
    initrd.write_bytes(append_to(debian.shell_initrd.read_bytes(), [program]))
    shell = boot_debian("--cpu", request.param, "-i", str(initrd), "-p", debian.params).ready()
    yield shell
    shell.session.close()


@pytest.mark.parametrize("what", ["write", "read"])
def test_every_access_stops(guest: Shell, what: str) -> None:
    assert guest.run(f"/debug {what}", 120) == f"right {ROUNDS}"


def test_single_steps(guest: Shell) -> None:
    word, count = guest.run("/debug step", 120).split()
    assert word == "right"
    assert int(count) > 4 * ROUNDS
