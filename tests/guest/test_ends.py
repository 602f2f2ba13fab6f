# SPDX-License-Identifier: GPL-2.0-only
"""How a run can end: the exit status, what is said, and the terminal as it was."""

from __future__ import annotations

import signal
import termios

import pytest
from tests.guest.conftest import Boot

from lpar.cli.guests import Guest
from lpar.testing.console import Session
from lpar.testing.shell import BOOT_TIMEOUT, LPAR, Shell


def test_panic(debian: Guest) -> None:
    """An init that ends is a panic: status 255, one line."""
    files = ["-k", str(debian.kernel), "-i", str(debian.initrd)]
    with Session([*LPAR, "run", *files, "-p", "console=hvc0 rdinit=/bin/false"]) as session:
        assert session.wait(BOOT_TIMEOUT) == 255
        assert b"Kernel panic - not syncing: Attempted to kill init!" in session.output
        assert session.stderr.splitlines()[-1].startswith("lpar: error: the guest panicked")


def test_panic_with_reboot(boot: Boot) -> None:
    """``panic=1`` asks Linux to reboot after a panic, but it tells the partition of the panic first."""
    shell = boot("-p", "panic=1").ready()
    shell.session.send("echo c > /proc/sysrq-trigger")
    assert shell.session.wait() == 255
    assert shell.session.stderr.endswith("lpar: error: the guest panicked: OS panic: sysrq triggered crash\n")


def test_reboot(boot: Boot) -> None:
    """The second boot is a whole one; what the guest left in RAM is gone."""
    shell = boot("-c", "1").ready()
    first = shell.run("cat /proc/sys/kernel/random/boot_id; touch /run/mark")
    shell.session.send("reboot -f")
    shell.session.expect("Linux version", BOOT_TIMEOUT)
    shell.ready()
    assert shell.run("cat /proc/sys/kernel/random/boot_id") != first
    assert shell.try_run("test -e /run/mark")[0] == 1
    assert shell.power_off() == 0


def test_no_reboot(boot: Boot) -> None:
    shell = boot("--no-reboot").ready()
    shell.session.send("reboot -f")
    assert shell.session.wait() == 0
    assert shell.session.output.count(b"Linux version") == 1


def test_timeout(boot: Boot) -> None:
    shell = boot("--timeout", "3")
    assert shell.session.wait() == 124
    assert shell.session.stderr.splitlines()[-1] == "lpar: error: the guest did not end within 3 s"


def test_halt_is_a_power_off(boot: Boot) -> None:
    """Linux on this platform halts by RTAS power-off (rtas_halt)."""
    shell = boot().ready()
    shell.session.send("halt -f")
    assert shell.session.wait() == 0
    assert b"System halted" in shell.session.output


@pytest.mark.parametrize(
    ("end", "when"),
    [(end, "boot") for end in ("keys", "TERM", "HUP", "INT")] + [("keys", "shell"), ("TERM", "shell")],
)
def test_ended_from_outside(boot: Boot, end: str, when: str) -> None:
    """Ctrl-a x and signals, in the middle of the boot and at the prompt: the terminal is as it was."""
    shell = boot(terminal=True)
    session = shell.session
    assert session.terminal is not None
    before = termios.tcgetattr(session.terminal)
    _reach(shell, when)
    assert termios.tcgetattr(session.terminal) != before
    if end == "keys":
        session.send_bytes(b"\x01x")
    else:
        session.kill(signal.Signals[f"SIG{end}"])
    assert session.wait() == (0 if end == "keys" else 128 + signal.Signals[f"SIG{end}"])
    assert termios.tcgetattr(session.terminal) == before


def _reach(shell: Shell, when: str) -> None:
    if when == "boot":
        shell.session.expect("Linux version", BOOT_TIMEOUT)
    else:
        shell.ready()


def test_stdout_closed(boot: Boot) -> None:
    """Nobody reads the console any more: the run ends and says why."""
    shell = boot()
    shell.session.expect("Linux version", BOOT_TIMEOUT)
    shell.session.close_output()
    assert shell.session.wait() == 1
    assert shell.session.stderr.splitlines()[-1].startswith("lpar: error: nobody reads the guest's console")
