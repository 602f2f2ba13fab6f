# SPDX-License-Identifier: GPL-2.0-only
"""Code that changes while it runs, in a real guest of two CPUs: a program's JIT, patches by another CPU,
the kernel's BPF JIT."""

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
SOURCE = Path(__file__).parent / "programs" / "changing.c"


@pytest.fixture(scope="module")
def initrd(debian: Guest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shell's initrd with the program in it."""
    if shutil.which(COMPILER) is None:
        pytest.skip("no cross compiler")
    where = tmp_path_factory.mktemp("changing")
    program = where / "changing"
    flags = ("-static", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread")
    subprocess.run([COMPILER, *flags, "-o", str(program), str(SOURCE)], check=True)
    made = where / "initrd"
    made.write_bytes(
        append_to(debian.shell_initrd.read_bytes(), [regular("changing", program.read_bytes(), 0o755)])
    )
    return made


@pytest.fixture(scope="module", params=["jit", "interp", "all regions"])
def guest(request: pytest.FixtureRequest, initrd: Path, debian: Guest) -> Iterator[Shell]:
    """Compiled as usual; interpreted; a region wherever a sample was taken."""
    forced = request.param == "all regions"
    words = ("-c", "2", "-i", str(initrd), "-p", debian.params, "--accel", "jit" if forced else request.param)
    with pytest.MonkeyPatch.context() as patch:
        if forced:
            patch.setenv("LPAR_TIERS", "regions")
        shell = boot_debian(*words).ready()
    yield shell
    shell.session.close()


@pytest.mark.parametrize(("what", "least"), [("jit", 21_000), ("patch", 100), ("bpf", 6000)])
def test_changing_code(guest: Shell, what: str, least: int) -> None:
    """The program checks each result itself, and says how many they were."""
    if what == "bpf":
        guest.run("echo 1 > /proc/sys/net/core/bpf_jit_enable")
    said = guest.run(f"/changing {what}", 120)
    assert said.startswith("right "), said
    assert int(said.split()[1]) >= least, "a thread that the host did not let run checks little"
