# SPDX-License-Identifier: GPL-2.0-only
"""Debian's kernel and installer initrd, booted as a user would: the acceptance of the first boot."""

from __future__ import annotations

import os
import re
import signal
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lpar import accel
from lpar.cli.guests import Guest
from lpar.testing.console import Session

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif(not hasattr(accel, "choose"), reason="no accelerator in this tree yet"),
]

PROMPT = r"~ # "
BARE_PROMPT = r"\n/ # "  #: of rdinit=/bin/sh
BOOT = 240.0  #: seconds to a prompt; a slow machine that tests other things beside
LPAR = (sys.executable, "-m", "lpar")

Start = Callable[..., Session]


@pytest.fixture
def start(debian: Guest) -> Iterator[Start]:
    """Starts the shell guest (``shell``), or the initrd as Debian ships it; kills it in the end."""
    sessions: list[Session] = []

    def start(*args: str, shell: bool = True, params: str = "", terminal: bool = False) -> Session:
        initrd = debian.shell_initrd if shell else debian.initrd
        own = debian.params if shell else "console=hvc0"
        command = [*LPAR, "run", "-k", str(debian.kernel), "-i", str(initrd), "-p", f"{own} {params}".strip()]
        sessions.append(Session([*command, *args], terminal=terminal))
        return sessions[-1]

    yield start
    for session in sessions:
        session.close()


def answer(session: Session, line: str, pattern: str) -> str:
    """Type a line at the shell; the text that ``pattern`` finds before the next prompt.

    The echo of the line must not match: it is expected first.
    """
    session.send(line)
    session.expect(r"\n")
    found = session.expect(pattern)[0]
    session.expect(PROMPT)
    return found


def power_off(session: Session) -> None:
    session.send("poweroff -f")
    assert session.wait() == 0


def test_boot_debian_on_a_terminal(debian: Guest) -> None:
    """``lpar boot debian`` as a user at a terminal; the terminal is then as it was."""
    with Session([*LPAR, "boot", "debian"], terminal=True) as session:
        assert session.terminal is not None
        before = termios.tcgetattr(session.terminal)
        session.expect(PROMPT, BOOT)
        assert termios.tcgetattr(session.terminal) != before
        assert answer(session, "uname -a", r"Linux debian 6\.1\.\S+ .* ppc64le GNU/Linux")
        assert answer(
            session, "cat /proc/cpuinfo", r"cpu\s+: POWER9[\s\S]*platform\s+: pSeries[\s\S]*machine\s+:.*"
        )
        assert answer(session, "sleep 100 & jobs", r"\[1\]\+? +Running +sleep 100")
        power_off(session)
        assert termios.tcgetattr(session.terminal) == before
        assert session.stderr.splitlines()[0].startswith("# lpar run -k ")


def test_only_the_guest_on_stdout(debian: Guest) -> None:
    """Input from a pipe that ends; the guest's output, and nothing else, on stdout."""
    files = ["-k", str(debian.kernel), "-i", str(debian.initrd)]
    with Session([*LPAR, "run", *files, "-m", "2G", "-p", "console=hvc0 rdinit=/bin/sh"]) as session:
        session.send("mount -t proc proc /proc; cat /proc/cmdline; poweroff -f")
        session.close_input()
        assert session.wait(BOOT) == 0
        assert re.match(rb"[\0\r\n]*(Linux ppc64le|\[    0\.000000\])", session.output)
        assert b"console=hvc0 rdinit=/bin/sh\r\n" in session.output
        assert b"lpar run" not in session.output
        assert session.stderr.splitlines()[0].startswith("# lpar run -k ")


@pytest.mark.parametrize(
    ("args", "params", "checks"),
    [
        pytest.param(["-c", "2"], "", {"grep -c ^processor /proc/cpuinfo": "2"}, id="2 CPUs"),
        pytest.param(
            ["-c", "4", "-m", "4G"],
            "",
            {"grep -c ^processor /proc/cpuinfo": "4", "cat /sys/devices/system/cpu/online": "0-3"},
            id="4 CPUs, 4G",
        ),
        pytest.param(
            ["-m", "512M"], "disable_radix", {"grep MMU /proc/cpuinfo": r"MMU\s+: Hash"}, id="hash, 512M"
        ),
        pytest.param(
            ["--cpu", "POWER8", "-c", "2"],
            "",
            {"grep cpu /proc/cpuinfo": r"cpu\s+: POWER8", "grep MMU /proc/cpuinfo": r"MMU\s+: Hash"},
            id="POWER8, 2 CPUs",
        ),
        pytest.param(["--cpu", "POWER10"], "", {"grep MMU /proc/cpuinfo": r"MMU\s+: Radix"}, id="POWER10"),
    ],
)
def test_machines(start: Start, args: list[str], params: str, checks: dict[str, str]) -> None:
    session = start(*args, params=params)
    session.expect(PROMPT, BOOT)
    for line, pattern in checks.items():
        assert answer(session, line, pattern)
    power_off(session)


def test_large_memory_is_free_until_touched(start: Start) -> None:
    session = start("-m", "16G")
    session.expect(PROMPT, BOOT)
    total = answer(session, "grep MemTotal /proc/meminfo", r"\d+ kB")
    assert 15.5e6 < int(total.split()[0]) < 16.8e6
    assert _resident(session.process.pid) < 2 << 30
    power_off(session)


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_idle_and_clock(start: Start) -> None:
    """An idle guest costs under 3 % of a core; its clock runs as the host's within 0.1 %."""
    seconds = 20.0
    session = start()
    session.expect(PROMPT, BOOT)
    time.sleep(2.0)  # let the guest finish what it does after the boot
    host, guest, used = time.monotonic(), _uptime(session), _cpu_seconds(session.process.pid)
    time.sleep(seconds)
    busy = (_cpu_seconds(session.process.pid) - used) / seconds
    passed, ticked = time.monotonic() - host, _uptime(session) - guest
    power_off(session)
    assert busy < 0.03
    assert abs(ticked - passed) < 0.001 * seconds + 0.05  # the answer's way to us


def _uptime(session: Session) -> float:
    return float(answer(session, "cat /proc/uptime", r"\d+\.\d+"))


def test_panic(start: Start) -> None:
    """Init that ends is a panic: status 255, one line."""
    session = start(shell=False, params="rdinit=/bin/false")
    assert session.wait(BOOT) == 255
    assert "Kernel panic" in session.output.decode(errors="replace")
    assert "lpar: error: the guest panicked" in session.stderr


def test_reboot(start: Start) -> None:
    session = start()
    session.expect(PROMPT, BOOT)
    session.send("reboot -f")
    session.expect("Linux version", BOOT)
    session.expect(PROMPT, BOOT)
    power_off(session)


def test_no_reboot(start: Start) -> None:
    session = start("--no-reboot")
    session.expect(PROMPT, BOOT)
    session.send("reboot -f")
    assert session.wait() == 0


def test_timeout(start: Start) -> None:
    session = start("--timeout", "3")
    assert session.wait() == 124
    assert "did not end within 3 s" in session.stderr


@pytest.mark.parametrize("end", ["keys", "signal"])
def test_ended_from_outside(start: Start, end: str) -> None:
    """Ctrl-a x and SIGTERM, in the middle of the boot: the terminal is as it was."""
    session = start(terminal=True)
    assert session.terminal is not None
    before = termios.tcgetattr(session.terminal)
    session.expect("Linux version", BOOT)
    assert termios.tcgetattr(session.terminal) != before
    if end == "keys":
        session.send_bytes(b"\x01x")
        assert session.wait() == 0
    else:
        session.kill(signal.SIGTERM)
        assert session.wait() == 128 + signal.SIGTERM
    assert termios.tcgetattr(session.terminal) == before


def test_console_under_load(start: Start) -> None:
    """Much output and pasted input: nothing lost, nothing out of order."""
    session = start()
    session.expect(PROMPT, BOOT)
    lines = 2000
    session.send(f"seq 1 {lines}; echo done")
    session.expect(r"\n")
    session.expect("\r\n".join(str(n) for n in range(1, lines + 1)) + "\r\ndone")
    session.expect(PROMPT)
    session.send("stty -echo; cat > /tmp/pasted")
    session.send_bytes(b"".join(b"line %05d\n" % n for n in range(1000)) + b"\x04")
    assert answer(session, "stty echo; wc -l < /tmp/pasted; tail -n 1 /tmp/pasted", r"1000\r\nline 00999")
    power_off(session)
