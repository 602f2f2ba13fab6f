# SPDX-License-Identifier: GPL-2.0-only
"""The first thing a user does: ``make boot``, and a kernel and an initrd of one's own on a pipe."""

from __future__ import annotations

import platform
import re
import subprocess
import termios
from pathlib import Path

import pytest

from lpar.cli.guests import Guest
from lpar.testing.console import Session
from lpar.testing.shell import BOOT_TIMEOUT, LPAR, PROMPT, Shell

ROOT = Path(__file__).resolve().parents[2]
BARE_SHELL = "console=hvc0 rdinit=/bin/sh"


def _expected_accelerator() -> str:
    """What ``auto`` takes here, and why."""
    machine = platform.machine()
    power = machine.startswith("ppc64")
    return "kvm: this host has it" if power else f"jit: no KVM for POWER guests on {machine}"


def own_kernel(debian: Guest, *args: str, params: str = BARE_SHELL) -> Session:
    """``lpar run`` of Debian's kernel with the initrd as Debian ships it."""
    files = ["-k", str(debian.kernel), "-i", str(debian.initrd)]
    return Session([*LPAR, "run", *files, "-p", params, *args])


@pytest.mark.engine
def test_make_boot(debian: Guest) -> None:
    """At a terminal, which is afterwards as it was."""
    with Session(["make", "-s", "-C", str(ROOT), "boot"], terminal=True) as session:
        assert session.terminal is not None
        before = termios.tcgetattr(session.terminal)
        shell = Shell(session).ready()
        assert termios.tcgetattr(session.terminal) != before
        assert re.fullmatch(r"Linux debian 6\.1\.\S+ .* ppc64le GNU/Linux", shell.run("uname -a"))
        about = shell.run("cat /proc/cpuinfo")
        assert re.search(r"^cpu\s+: POWER9", about, re.M) and re.search(r"^platform\s+: pSeries", about, re.M)
        assert re.search(r"Running\s+sleep 100", shell.run("sleep 100 & jobs"))
        assert shell.power_off() == 0
        assert termios.tcgetattr(session.terminal) == before
        assert session.stderr.splitlines()[0].startswith("# lpar run -k ")


def test_interrupt_key(debian: Guest) -> None:
    """Ctrl-C at a terminal is for the guest's program, not for lpar."""
    with Session([*LPAR, "boot", "debian"], terminal=True) as session:
        shell = Shell(session).ready()
        session.send("sh -c \"echo '<'asleep'>'; exec sleep 1000\"")  # whoever prints is in front already
        session.expect("<asleep>")
        session.send_bytes(b"\x03")
        session.expect(PROMPT)
        assert shell.run("echo still here") == "still here"
        assert shell.power_off() == 0


def test_only_the_guest_on_stdout(debian: Guest) -> None:
    """Input from a pipe that ends; the guest's output, and nothing else, on stdout."""
    with own_kernel(debian, "-m", "2G") as session:
        session.send("mount -t proc proc /proc; cat /proc/cmdline; poweroff -f")
        session.close_input()
        assert session.wait(BOOT_TIMEOUT) == 0
        assert re.match(rb"[\0\r\n]*(Linux ppc64le|\[    0\.000000\])", session.output)
        assert BARE_SHELL.encode() + b"\r\n" in session.output
        assert b"lpar" not in session.output.split(b"Run /bin/sh as init process")[1]
        assert session.stderr.splitlines()[0].startswith("# lpar run -k ")
        *preparation, accelerator = session.stderr.splitlines()[1:]
        assert all("preparing the CPU engine" in line for line in preparation)
        assert accelerator == f"lpar: accelerator {_expected_accelerator()}"


@pytest.mark.engine
def test_the_printed_line_runs_the_same_machine(debian: Guest, tmp_path: Path) -> None:
    """The ``# lpar run`` line, given to a shell, makes the same device tree."""
    trees = [tmp_path / "first", tmp_path / "second"]
    files = f"-k {debian.kernel} -i {debian.initrd}"
    first = f"{' '.join(LPAR)} run {files} -p '{BARE_SHELL} a=\"b c\"' -c 3 --cpu POWER10 --name x --dry-run"
    done = subprocess.run(["sh", "-c", f"{first} --dump-dtb {trees[0]}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    line = done.stderr.splitlines()[0].removeprefix("# lpar").replace(str(trees[0]), str(trees[1]))
    again = subprocess.run(["sh", "-c", " ".join(LPAR) + line], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    sizes = [tree.stat().st_size for tree in trees]
    assert sizes[0] == sizes[1] > 1000
